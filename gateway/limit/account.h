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
enum { COUNTER_CHUNK = 64 };

/** A debt is forgotten so long after its window: longer than any window is. */
#define COUNTER_DEBT_MS (UINT64_C(32) * 24 * 60 * 60 * 1000)

/** What names a counter: 128 bits of a keyed hash, so that no user's name is kept. */
struct counter_key {
    uint64_t half[2];
};

/** 64 bytes: what a user costs for each rule, beside 4 to 8 bytes of the table. */
struct counter {
    struct counter_key key;
    struct window window; /* of tokens; of requests: used is the GCRA's time in ns */
    uint32_t next;        /* in its bucket, + 1; 0: last */
    uint32_t next_dirty;  /* + 1; 0: last */
    uint32_t holds;       /* grants that point here: not to be reused */
    uint16_t windows;     /* begun so far, mod 2^16: no grant lives that long */
    bool budget;          /* of a calendar rule: kept over a restart */
    bool dirty;           /* in the list: changed since it was copied out */
};

struct limit_account {
    pthread_mutex_t lock;
    uint32_t capacity;    /* counters */
    uint32_t used;        /* of the chunks; all before it are in a bucket */
    uint32_t live;        /* counters in a bucket */
    uint32_t grants;      /* not settled yet */
    uint32_t hand;        /* where the search for an old one goes on */
    uint32_t dirty_first; /* + 1; 0: none */
    uint32_t dirty_last;
    uint32_t dirty_count;
    bool kept; /* state.c empties the list; else nothing is put into it */
    uint32_t bucket_mask;
    uint32_t *buckets;       /* counter + 1; 0: empty */
    struct counter **chunks; /* owned, made as needed */
};

struct limit_account *limit_account_create(uint32_t capacity);
void limit_account_destroy(struct limit_account *a);

/** It stays where it is as long as the account lives. */
static inline struct counter *limit_account_at(const struct limit_account *a, uint32_t index)
{
    return &a->chunks[index / COUNTER_CHUNK][index % COUNTER_CHUNK];
}

/** The counter's index, or COUNTER_NONE. */
uint32_t limit_account_find(const struct limit_account *a, const struct counter_key *key);

/** Nothing is lost with it: no grant, no debt to be paid, its window is over, its budget written.
 */
bool counter_is_old(const struct counter *c, uint64_t now_ms);

/**
 * The counter's index; a fresh one when there was none. COUNTER_NONE: all are in use, and of those
 * that were looked at now (a few; the next call goes on) none is old. Reuses old ones only.
 */
uint32_t limit_account_get(struct limit_account *a, const struct counter_key *key, uint64_t now_ms);

/** A counter was changed: if it is a budget that is kept, state.c shall copy it out. */
void limit_account_mark(struct limit_account *a, uint32_t index);

/** The index of the counter marked first, no longer marked; or COUNTER_NONE. */
uint32_t limit_account_unmark(struct limit_account *a);

#endif
