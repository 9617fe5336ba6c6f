#include "limit/window.h"

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
    w->used = tokens_least(w->debt, window_room(w, r));
    w->debt -= w->used;
}

bool window_begin(struct window *w, const struct limit_rule *r, uint64_t now_ms)
{
    bool over = now_ms >= w->ends_ms; /* else the clock was set back */

    if (over) {
        pay_debt(w, r, now_ms);
    }
    w->ends_ms = limit_rule_end_ms(r, now_ms);
    return over;
}
