/**
 * The limiter's inside: shared by the files of limit/ only.
 */
#ifndef CORRAL_LIMIT_IMPL_H
#define CORRAL_LIMIT_IMPL_H

#include <stdatomic.h>

#include "limit/account.h"
#include "limit/limit.h"

struct limiter {
    uint64_t seed; /* of counter keys; from the state file when there is one */
    uint32_t max_tenants;
    uint32_t counters;
    bool kept;                                 /* budgets are written to a file */
    _Atomic(struct limit_account *) *accounts; /* by tenant; written by main, once each */
};

/** NULL: the tenant has no limits. */
struct limit_account *limiter_account(struct limiter *l, uint32_t tenant);

/** From now on budgets are kept, and keys are made with `seed`. Before the first counter. */
void limiter_keep(struct limiter *l, uint64_t seed);

/** Keyed hashes of who asks for what, made once for all rules of a request. */
struct limit_who {
    uint64_t user[2];
    uint64_t model[2];
};

/** @param per  enum limit_per of all rules together; what is in none of them stays 0. */
struct limit_who limiter_who(const struct limiter *l, uint32_t per, struct slice user,
                             struct slice model);

/** The part of a key that comes of the rule's name, where limiter_prepare has not left it. */
struct counter_key limiter_name_key(const struct limiter *l, const struct limit_rule *rule);

/**
 * A key is a sum of three hashes of 128 bits, two of them times an odd number of their own
 * (limiter_who): as even as one of them, and no two users or models that change places meet. Keys
 * stand in the state file: another way to make them wants another SCHEMA_VERSION there.
 */
static inline struct counter_key limiter_key(const struct limiter *l, const struct limit_rule *rule,
                                             const struct limit_who *who)
{
    bool ready = rule->key.known && rule->key.seed == l->seed;
    struct counter_key key = ready ? (struct counter_key){{rule->key.half[0], rule->key.half[1]}}
                                   : limiter_name_key(l, rule);

    if ((rule->per & LIMIT_PER_USER) != 0) {
        key.half[0] += who->user[0];
        key.half[1] += who->user[1];
    }
    if ((rule->per & LIMIT_PER_MODEL) != 0) {
        key.half[0] += who->model[0];
        key.half[1] += who->model[1];
    }
    return key;
}

#endif
