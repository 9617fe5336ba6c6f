/**
 * One limit as the configuration states it: how many requests or tokens, in which window, for whom.
 *
 * Declared here, filled by config/, hung on the tenant it belongs to. Immutable in a snapshot.
 */
#ifndef CORRAL_LIMIT_RULE_H
#define CORRAL_LIMIT_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIMIT_RULES_MAX = 16, LIMIT_NAME_MAX = 32, LIMIT_DAY_MS = 24 * 60 * 60 * 1000 };

/** Budgets end with the day or month in UTC; everything else has a window of seconds. */
enum limit_calendar { LIMIT_NO_CALENDAR, LIMIT_DAY, LIMIT_MONTH };

/** Whose counter it is beside the tenant's: each user, each model, or each pair has one. */
enum limit_per { LIMIT_PER_USER = 1u << 0, LIMIT_PER_MODEL = 1u << 1 };

/** What the rule's name brings to its counters' keys; good for one seed (limiter_prepare). */
struct limit_rule_key {
    bool known;
    uint64_t seed;
    uint64_t half[2];
};

/** Exactly one of requests and tokens, and one of window_s and calendar, is set. */
struct limit_rule {
    char *name;        /* owned; unique in its tenant, at most LIMIT_NAME_MAX bytes */
    uint32_t id;       /* interned name, for the metric; set when the snapshot is taken into use */
    uint64_t requests; /* so many in a window, evenly refilled (GCRA); 0: a limit of tokens */
    uint64_t burst;    /* requests: so many at once; 0: as many as `requests` */
    uint64_t tokens;   /* input and output together; 0: a limit of requests */
    uint64_t window_s;
    uint32_t calendar; /* enum limit_calendar; tokens only */
    uint32_t per;      /* mask of enum limit_per */
    char **models;     /* owned; only requests for these count; none: all */
    size_t model_count;
    bool shadow; /* tells what it would refuse, counts the rest, refuses nothing */
    /* worked out once, when the snapshot is taken into use; until then for each request */
    uint64_t interval_ns; /* requests: what one costs */
    struct limit_rule_key key;
};

/** Frees what a rule owns; the struct is the caller's. */
void limit_rule_finish(struct limit_rule *r);

/** Nominal length of the window in milliseconds; a month counts 31 days. */
static inline uint64_t limit_rule_length_ms(const struct limit_rule *r)
{
    switch (r->calendar) {
    case LIMIT_DAY:
        return LIMIT_DAY_MS;
    case LIMIT_MONTH:
        return UINT64_C(31) * LIMIT_DAY_MS;
    default:
        return r->window_s * 1000;
    }
}

/** When a window ends that begins now, in wall milliseconds. */
uint64_t limit_rule_end_ms(const struct limit_rule *r, uint64_t now_ms);

#endif
