/**
 * How much: the limits of one caller, asked once before a request goes out, told while its answer
 * passes, settled at its end.
 *
 * Model: every tenant with limits has an account, a table of counters: one for each rule, or for
 * each rule and user, model or both. limit_reserve looks at all counters of a request under the
 * account's mutex and takes from all or none. Tokens are reserved as prompt estimate + output bound
 * (docs/CONFIGURATION.md, tenants.limits); limit_meter turns reserved ones into used ones as chunks
 * pass; limit_settle corrects by Ollama's own counts and gives back the rest. So no window holds
 * more output than its limit, however many streams run.
 *
 * Called by exchange/ on every worker. Never blocks but for that mutex, which is held over no I/O
 * and no callback. Another store may stand behind these calls: then limit_reserve answers
 * CE_PENDING and the verdict comes as mail.
 */
#ifndef CORRAL_LIMIT_LIMIT_H
#define CORRAL_LIMIT_LIMIT_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"
#include "limit/rule.h"

struct limiter;
struct limit_account;
struct limit_grant;

enum { LIMIT_NO_BOUND = -1 };

/**
 * @param max_tenants  tenant numbers are below this.
 * @param counters     counters one tenant may have; memory is taken as they come into use.
 */
struct limiter *limiter_create(uint32_t max_tenants, uint32_t counters);
void limiter_destroy(struct limiter *l);

/** Make the account of a tenant that has limits, if it has none yet. Accounts live on. Main only.
 */
void limiter_add_tenant(struct limiter *l, uint32_t tenant);

/** Work out what a rule of a snapshot costs and its name's hash: once, before anybody asks. */
void limiter_prepare(const struct limiter *l, struct limit_rule *rule);

/** Who asks, for what. All borrowed; `rules` until the grant is settled. */
struct limit_request {
    uint32_t tenant;
    const struct limit_rule *rules;
    const bool *applies; /* one for each rule: the model is one of the rule's; NULL: all apply */
    size_t rule_count;
    struct slice user;       /* who it is within the tenant */
    struct slice model;      /* canonical; empty when there is none */
    uint64_t prompt_tokens;  /* estimate */
    int64_t output_asked;    /* by the client; LIMIT_NO_BOUND: nothing, or no limit */
    uint64_t output_default; /* when nothing was asked */
    bool has_output;         /* the answer costs tokens of its own */
    uint64_t now_ms;         /* wall clock */
};

/** The tightest rule of a kind, for the answer's header fields. */
struct limit_level {
    const struct limit_rule *rule; /* NULL: none of this kind */
    uint64_t remaining;
    uint64_t reset_ms;
};

struct limit_verdict {
    struct limit_level requests; /* shadow rules are not told */
    struct limit_level tokens;
    const struct limit_rule *refused_by; /* of a refusal */
    uint64_t wait_ms;                    /* of a refusal: until the same request may pass */
    int64_t output_bound;                /* what may be put out; LIMIT_NO_BOUND: no token limit */
    unsigned shadowed;                   /* bit i: shadow rule i would have refused */
};

/**
 * Ask for one request.
 *
 * @param arena  of the exchange; holds the grant.
 * @param out    [out] written on every return.
 * @param grant  [out] on CE_OK: to be settled exactly once; NULL when nothing was reserved.
 * @return CE_OK; CE_LIMIT_REQUESTS, CE_LIMIT_TOKENS, CE_LIMIT_BUDGET: refused for now, nothing was
 *         taken; CE_LIMIT_PROMPT: the prompt alone is larger than the limit, it can never pass;
 *         CE_LIMIT_STORE: the tenant has more counters in use than it may.
 */
MUST_USE enum corral_err limit_reserve(struct limiter *l, const struct limit_request *request,
                                       struct arena *arena, struct limit_verdict *out,
                                       struct limit_grant **grant);

/**
 * Tokens that went by. `prompt` once, when the replica has taken the request: its estimate.
 * NULL grant: nothing.
 */
void limit_meter(struct limit_grant *grant, bool prompt, uint64_t output, uint64_t now_ms);

/** Ollama's own counts, where it told them; -1: what was metered stands. */
struct limit_counts {
    int64_t prompt;
    int64_t output;
};

/** The end: correct what was metered by the counts, give back the rest. NULL grant: nothing. */
void limit_settle(struct limit_grant *grant, struct limit_counts counts, uint64_t now_ms);

/** Where one counter stands; takes nothing. */
struct limit_usage {
    uint64_t used;
    uint64_t reserved;
    uint64_t debt;
    uint64_t remaining;
    uint64_t reset_ms; /* until the window ends, or until the burst is full again */
};

/** @param user, model  as in limit_request; looked at when the rule is per user or model. */
struct limit_usage limit_look(struct limiter *l, uint32_t tenant, const struct limit_rule *rule,
                              struct slice user, struct slice model, uint64_t now_ms);

/** Over all tenants, for the scrape and for tests. */
struct limit_totals {
    uint64_t counters; /* in use */
    uint64_t grants;   /* not settled yet */
};
struct limit_totals limiter_totals(struct limiter *l);

#endif
