#include "limit/window.h"

#include <assert.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whole windows between two times; only months differ in length, and are few. */
static uint64_t count_windows(const struct limit_rule *r, uint64_t from_ms, uint64_t to_ms)
{
    uint64_t count = 0;

    if (r->calendar != LIMIT_MONTH) {
        return (to_ms - from_ms) / limit_rule_length_ms(r);
    }
    for (uint64_t end = limit_rule_end_ms(r, from_ms); end <= to_ms; count++) {
        end = limit_rule_end_ms(r, end);
    }
    return count;
}

/* Windows that went by unused have paid of the debt what they could hold. */
static void pay_debt(struct window *w, const struct limit_rule *r, uint64_t now_ms)
{
    if (w->debt > 0) {
        uint64_t passed = count_windows(r, w->ends_ms, now_ms);

        w->debt = passed > w->debt / r->tokens ? 0 : w->debt - passed * r->tokens;
    }
    w->used = 0;
    w->used = least(w->debt, window_room(w, r));
    w->debt -= w->used;
}

bool window_roll(struct window *w, const struct limit_rule *r, uint64_t now_ms)
{
    bool over = now_ms >= w->ends_ms;

    if (over) {
        pay_debt(w, r, now_ms);
    }
    if (over || w->ends_ms - now_ms > limit_rule_length_ms(r)) { /* the clock was set back */
        w->ends_ms = limit_rule_end_ms(r, now_ms);
    }
    return over;
}

uint64_t window_room(const struct window *w, const struct limit_rule *r)
{
    uint64_t taken = w->used + w->reserved;

    return taken < r->tokens ? r->tokens - taken : 0;
}

void window_reserve(struct window *w, uint64_t tokens)
{
    w->reserved += tokens;
}

void window_use(struct window *w, uint64_t tokens)
{
    assert(w->reserved >= tokens);
    w->reserved -= tokens;
    w->used += tokens;
}

void window_release(struct window *w, uint64_t tokens)
{
    assert(w->reserved >= tokens);
    w->reserved -= tokens;
}

void window_owe(struct window *w, const struct limit_rule *r, uint64_t tokens)
{
    uint64_t now = least(tokens, window_room(w, r));

    w->used += now;
    w->debt += least(tokens - now, UINT64_MAX - w->debt); /* the count is a replica's word */
}

void window_credit(struct window *w, uint64_t tokens)
{
    uint64_t of_debt = least(tokens, w->debt);

    w->debt -= of_debt;
    w->used -= least(tokens - of_debt, w->used);
}
