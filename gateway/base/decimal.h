/**
 * Numbers as decimal digits, without the cost of printf.
 */
#ifndef CORRAL_BASE_DECIMAL_H
#define CORRAL_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { DECIMAL_BYTES = 20 }; /* of the largest number */

extern const char decimal_pairs[200];

/** Write two digits; `value` is below 100. */
static inline void decimal_pair(char *out, unsigned value)
{
    memcpy(out, decimal_pairs + (size_t)2 * value, 2);
}

/** Write `value` so that its last digit stands before `end`. Returns the first digit. */
char *decimal_before(char *end, uint64_t value);

/** Write `value` at `at`, where DECIMAL_BYTES have room. Returns the place behind it. */
char *decimal_put(char *at, uint64_t value);

/** Write the last `width` digits of `value`, with zeros in front. */
void decimal_fixed(char *out, uint64_t value, unsigned width);

#endif
