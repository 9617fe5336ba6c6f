/**
 * Requests in a window: the generic cell rate algorithm (ITU-T I.371, annex A), which is a token
 * bucket kept in one number, the theoretical arrival time of the next request.
 *
 * So many at once as `burst` says; then one comes free every window / requests. Any stretch of time
 * t sees at most burst + t x requests / window. Pure; times are wall nanoseconds.
 */
#ifndef CORRAL_LIMIT_GCRA_H
#define CORRAL_LIMIT_GCRA_H

#include <stdbool.h>
#include <stdint.h>

#include "limit/rule.h"

struct gcra_level {
    bool open;          /* a request would pass now */
    uint64_t remaining; /* requests that would pass now, this one included */
    uint64_t wait_ns;   /* until one passes; 0 when open */
    uint64_t reset_ns;  /* until all of `burst` would pass */
};

/** What one request costs. */
uint64_t gcra_interval_ns(const struct limit_rule *r);

/**
 * The time to keep from now on, called before the others: when the clock went back, nobody waits
 * longer than a whole refill. Never before now.
 */
uint64_t gcra_roll(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns);

/** Look, take nothing. */
struct gcra_level gcra_look(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns);

/** Count one request, whether open or not. Returns the new time to keep. */
uint64_t gcra_take(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns);

#endif
