/**
 * One tenant's counters: found by a hash of (rule, user, model), bounded, old ones reused.
 *
 * limit.c is the only caller on the request path; state.c copies budgets out and puts them back.
 * All calls but create and destroy want the account's mutex.
 */
#ifndef CORRAL_LIMIT_ACCOUNT_H
#define CORRAL_LIMIT_ACCOUNT_H

#include <pthread.h>
#include <stdint.h>

#include "base/slice.h"
#include "limit/rule.h"
#include "limit/window.h"

enum { COUNTER_NONE = UINT32_MAX };

/** What names a counter: 128 bits of a keyed hash, so that no user's name is kept. */
struct counter_key {
    uint64_t half[2];
};

/** 72 bytes: what a user costs for each rule, beside 4 bytes of the table. */
struct counter {
    struct counter_key key;
    struct window window; /* of tokens; of requests: used is the GCRA's time in ns */
    uint32_t next;        /* in its bucket, + 1; 0: last */
    uint32_t holds;       /* grants that point here: not to be reused */
    bool budget;          /* of a calendar rule: kept over a restart */
    bool dirty;           /* changed since it was copied out */
};

struct limit_account {
    pthread_mutex_t lock;
    uint32_t capacity; /* counters */
    uint32_t used;     /* of the chunks; all before it are in a bucket */
    uint32_t live;     /* counters in a bucket */
    uint32_t grants;   /* not settled yet */
    uint32_t hand;     /* where the search for an old one goes on */
    uint32_t bucket_mask;
    uint32_t *buckets;       /* counter + 1; 0: empty */
    struct counter **chunks; /* owned, made as needed */
};

struct limit_account *limit_account_create(uint32_t capacity);
void limit_account_destroy(struct limit_account *a);

struct counter *limit_account_at(struct limit_account *a, uint32_t index);

/** The counter's index, or COUNTER_NONE. */
uint32_t limit_account_find(const struct limit_account *a, const struct counter_key *key);

/**
 * The counter's index; a fresh one when there was none. COUNTER_NONE: all are in use, none is old.
 * May reuse a counter without holds whose window is over: not one returned before and still held.
 */
uint32_t limit_account_get(struct limit_account *a, const struct counter_key *key, uint64_t now_ms);

#endif
