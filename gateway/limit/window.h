/**
 * Tokens in a window: what was used, what is reserved, what is owed.
 *
 * A window begins with the first request after the last one ended (budgets: with the UTC day or
 * month). used + reserved never exceeds the limit: what cannot be known before (a prompt that was
 * longer than estimated) is put into `debt` when there is no room, and the next windows begin with
 * it. Reservations outlive their window, so a stream that began in one counts in the next what it
 * puts out there. Pure; times are wall milliseconds. A clock set back shortens no count and leaves
 * at most one more window to wait.
 */
#ifndef CORRAL_LIMIT_WINDOW_H
#define CORRAL_LIMIT_WINDOW_H

#include <stdint.h>

#include "limit/rule.h"

struct window {
    uint64_t ends_ms; /* 0: never used */
    uint64_t used;
    uint64_t reserved;
    uint64_t debt;
};

/** Begin a new window if this one is over: true. Called before all others. */
bool window_roll(struct window *w, const struct limit_rule *r, uint64_t now_ms);

/** Tokens that may still be reserved in this window. The window is rolled. */
uint64_t window_room(const struct window *w, const struct limit_rule *r);

void window_reserve(struct window *w, uint64_t tokens);

/** Count tokens that were reserved, after window_roll. */
void window_use(struct window *w, uint64_t tokens);

/** Give reserved tokens back. */
void window_release(struct window *w, uint64_t tokens);

/** Count tokens that were not reserved, after window_roll: into this window while there is room. */
void window_owe(struct window *w, const struct limit_rule *r, uint64_t tokens);

/** Take back tokens that were used in this very window. */
void window_credit(struct window *w, uint64_t tokens);

#endif
