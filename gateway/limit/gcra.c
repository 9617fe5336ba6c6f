#include "limit/gcra.h"

/* Rounded up: a shorter one would let more through than the rule says. */
uint64_t gcra_interval_ns(const struct limit_rule *r)
{
    uint64_t window_ns = r->window_s * 1000000000u;

    return window_ns / r->requests + (window_ns % r->requests != 0 ? 1 : 0);
}

static uint64_t interval_ns(const struct limit_rule *r)
{
    return r->interval_ns != 0 ? r->interval_ns : gcra_interval_ns(r);
}

/* At most the window and a nanosecond for each request: burst <= requests. */
static uint64_t burst_ns(const struct limit_rule *r)
{
    return (r->burst == 0 ? r->requests : r->burst) * interval_ns(r);
}

/* How far the theoretical arrival time lies ahead: what was taken and has not refilled yet. */
static uint64_t ahead_ns(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns)
{
    uint64_t ahead = tat_ns > now_ns ? tat_ns - now_ns : 0;
    uint64_t most = burst_ns(r);

    return ahead < most ? ahead : most;
}

uint64_t gcra_roll(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns)
{
    return now_ns + ahead_ns(r, tat_ns, now_ns);
}

struct gcra_level gcra_look(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns)
{
    uint64_t step = interval_ns(r);
    uint64_t ahead = ahead_ns(r, tat_ns, now_ns);
    uint64_t room = burst_ns(r) - ahead;
    struct gcra_level level = {.remaining = room / step, .reset_ns = ahead};

    level.open = level.remaining > 0;
    level.wait_ns = level.open ? 0 : step - room;
    return level;
}

uint64_t gcra_take(const struct limit_rule *r, uint64_t tat_ns, uint64_t now_ns)
{
    return gcra_roll(r, tat_ns, now_ns) + interval_ns(r);
}
