/**
 * Tokens in a window: what was used, what is reserved, what is owed.
 *
 * A window begins with the first request after the last one ended (budgets: with the UTC day or
 * month). used + reserved never exceeds the limit: what cannot be known before (a prompt that was
 * longer than estimated) is put into `debt` when there is no room, and the next windows begin with
 * it. Reservations outlive their window, so a stream that began in one counts in the next what it
 * puts out there. Pure; times are wall milliseconds. A clock set back shortens no count and leaves
 * at most one more window to wait. Bodies stand here because each request calls all of them, for
 * each rule.
 */
#ifndef CORRAL_LIMIT_WINDOW_H
#define CORRAL_LIMIT_WINDOW_H

#include <assert.h>
#include <stdint.h>

#include "limit/rule.h"

struct window {
    uint64_t ends_ms; /* 0: never used */
    uint64_t used;
    uint64_t reserved;
    uint64_t debt;
};

static inline uint64_t tokens_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/** What window_roll does once the window is over, or ends later than it may. */
bool window_begin(struct window *w, const struct limit_rule *r, uint64_t now_ms);

/** Begin a new window if this one is over: true. Called before all others. */
static inline bool window_roll(struct window *w, const struct limit_rule *r, uint64_t now_ms)
{
    bool lasts = now_ms < w->ends_ms && w->ends_ms - now_ms <= limit_rule_length_ms(r);

    return !lasts && window_begin(w, r, now_ms);
}

/** Tokens that may still be reserved in this window. The window is rolled. */
static inline uint64_t window_room(const struct window *w, const struct limit_rule *r)
{
    uint64_t taken = w->used + w->reserved;

    return taken < r->tokens ? r->tokens - taken : 0;
}

static inline void window_reserve(struct window *w, uint64_t tokens)
{
    w->reserved += tokens;
}

/** Count tokens that were reserved, after window_roll. */
static inline void window_use(struct window *w, uint64_t tokens)
{
    assert(w->reserved >= tokens);
    w->reserved -= tokens;
    w->used += tokens;
}

/** Give reserved tokens back. */
static inline void window_release(struct window *w, uint64_t tokens)
{
    assert(w->reserved >= tokens);
    w->reserved -= tokens;
}

/** Count tokens that were not reserved, after window_roll: into this window while there is room. */
static inline void window_owe(struct window *w, const struct limit_rule *r, uint64_t tokens)
{
    uint64_t now = tokens_least(tokens, window_room(w, r));

    w->used += now;
    w->debt += tokens_least(tokens - now, UINT64_MAX - w->debt); /* the count is a replica's word */
}

/** Take back tokens that were used in this very window. */
static inline void window_credit(struct window *w, uint64_t tokens)
{
    uint64_t of_debt = tokens_least(tokens, w->debt);

    w->debt -= of_debt;
    w->used -= tokens_least(tokens - of_debt, w->used);
}

#endif
