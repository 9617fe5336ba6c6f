/**
 * What limits mean, written down once more: slow, exact, with a list of every charge of a window.
 *
 * Shares struct limit_rule with gateway/limit/ and nothing else. Token buckets instead of arrival
 * times, sums over lists instead of counts, a calendar of its own.
 */
#ifndef CORRAL_UNIT_LIMIT_MODEL_H
#define CORRAL_UNIT_LIMIT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "limit/rule.h"

enum { M_USERS = 3, M_MODELS = 2, M_RULES = 4, M_GRANTS = 96, M_CHARGES = 512 };

struct m_charge {
    int grant; /* -1: debt of the window before */
    bool output;
    int64_t tokens; /* below 0: given back */
    int64_t owed;
};

struct m_counter {
    uint64_t end_ms;
    unsigned windows; /* begun so far */
    uint64_t debt;
    uint64_t settled; /* what all grants should have been charged in the end */
    /* of requests */
    bool filled;
    int64_t available_ns;
    uint64_t seen_ns;
    /* lists */
    int charge_count;
    int passed_count;
    struct m_charge charges[M_CHARGES];
    uint64_t passed_ms[M_CHARGES]; /* since the clock went back the last time */
};

struct m_grant {
    bool live;
    int user;
    int model;
    bool holds[M_RULES];
    uint64_t prompt_left;
    uint64_t output_left;
    uint64_t prompt_metered;
    uint64_t output_metered;
};

struct model {
    const struct limit_rule *rules;
    int rule_count;
    struct m_counter counters[M_RULES][M_USERS][M_MODELS];
    struct m_grant grants[M_GRANTS];
    int grant_count;
};

struct m_ask {
    int user;
    int model;
    unsigned applies; /* bit for each rule */
    uint64_t prompt;
    int64_t asked; /* -1: nothing */
    uint64_t fallback;
    bool has_output;
};

enum m_result { M_OK, M_REQUESTS, M_TOKENS, M_BUDGET, M_PROMPT };

struct m_answer {
    enum m_result result;
    uint64_t wait_ms;
    int64_t bound; /* -1: none */
    unsigned shadowed;
    int64_t tokens_left; /* least of the enforced rules; -1: none of the kind */
    int64_t requests_left;
};

/** Nothing used yet; `rules` are borrowed. */
void m_begin(struct model *m, const struct limit_rule *rules, int rule_count);

struct m_answer m_reserve(struct model *m, const struct m_ask *ask, uint64_t now_ms);

void m_meter(struct model *m, int grant, bool prompt, uint64_t output, uint64_t now_ms);
void m_settle(struct model *m, int grant, int64_t prompt, int64_t output, uint64_t now_ms);

/** The clock was set back. */
void m_clock_back(struct model *m);

struct m_counter *m_counter_of(struct model *m, int rule, int user, int model);

/** Bring one counter to now. */
void m_touch(struct model *m, int rule, struct m_counter *c, uint64_t now_ms);

int64_t m_used(const struct m_counter *c);
int64_t m_output(const struct m_counter *c);
uint64_t m_reserved(struct model *m, int rule, const struct m_counter *c);

/** Did more than burst + t x rate pass in some stretch t? */
bool m_too_many(const struct limit_rule *r, const struct m_counter *c);

#endif
