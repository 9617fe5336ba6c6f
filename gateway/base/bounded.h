/**
 * A count that many threads add to, with a bound.
 */
#ifndef CORRAL_BASE_BOUNDED_H
#define CORRAL_BASE_BOUNDED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Add unless the sum would exceed `most`; false: nothing was added. The count itself is exact, but
 * while one is refused another may be refused that would have fitted.
 */
static inline bool bounded_add(atomic_size_t *count, size_t number, uint64_t most)
{
    size_t before = atomic_fetch_add_explicit(count, number, memory_order_relaxed);

    if (before + number > most) {
        atomic_fetch_sub_explicit(count, number, memory_order_relaxed);
        return false;
    }
    return true;
}

#endif
