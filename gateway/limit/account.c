#include "limit/account.h"

#include <stdlib.h>

#include "base/mem.h"

enum { CHUNK = COUNTER_CHUNK, SEARCH = 64 };

static uint32_t chunk_count(const struct limit_account *a)
{
    return (a->capacity + CHUNK - 1) / CHUNK;
}

/* The two tables are as large as they ever get; the kernel gives their pages when touched. */
struct limit_account *limit_account_create(uint32_t capacity)
{
    struct limit_account *a = xcalloc(1, sizeof(*a));
    uint32_t buckets = 64;

    while (buckets < capacity) {
        buckets *= 2;
    }
    pthread_mutex_init(&a->lock, NULL);
    a->capacity = capacity;
    a->bucket_mask = buckets - 1;
    a->buckets = xcalloc(buckets, sizeof(*a->buckets));
    a->chunks = xcalloc(chunk_count(a), sizeof(struct counter *));
    return a;
}

void limit_account_destroy(struct limit_account *a)
{
    if (a == NULL) {
        return;
    }
    for (uint32_t i = 0; i < chunk_count(a); i++) {
        free(a->chunks[i]);
    }
    free(a->chunks);
    free(a->buckets);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static bool same(const struct counter_key *a, const struct counter_key *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

static inline uint32_t find(const struct limit_account *a, const struct counter_key *key)
{
    uint32_t at = a->buckets[key->half[0] & a->bucket_mask];

    while (at != 0) {
        const struct counter *c = limit_account_at(a, at - 1);

        if (same(&c->key, key)) {
            return at - 1;
        }
        at = c->next;
    }
    return COUNTER_NONE;
}

uint32_t limit_account_find(const struct limit_account *a, const struct counter_key *key)
{
    return find(a, key);
}

static void unlink_counter(struct limit_account *a, uint32_t index)
{
    struct counter *c = limit_account_at(a, index);
    uint32_t *link = &a->buckets[c->key.half[0] & a->bucket_mask];

    while (*link != index + 1) {
        link = &limit_account_at(a, *link - 1)->next;
    }
    *link = c->next;
}

bool counter_is_old(const struct counter *c, uint64_t now_ms)
{
    uint64_t keep_ms = c->window.debt == 0 ? 0 : COUNTER_DEBT_MS;

    return c->holds == 0 && !c->dirty && c->window.ends_ms + keep_ms <= now_ms;
}

static uint32_t reuse_old(struct limit_account *a, uint64_t now_ms)
{
    for (uint32_t i = 0; i < SEARCH && i < a->used; i++) {
        uint32_t index = a->hand;

        a->hand = (a->hand + 1) % a->used;
        if (counter_is_old(limit_account_at(a, index), now_ms)) {
            unlink_counter(a, index);
            a->live--;
            return index;
        }
    }
    return COUNTER_NONE;
}

static uint32_t take_place(struct limit_account *a, uint64_t now_ms)
{
    if (a->used == a->capacity) {
        return reuse_old(a, now_ms);
    }
    if (a->used % CHUNK == 0) {
        a->chunks[a->used / CHUNK] = xcalloc(CHUNK, sizeof(struct counter));
    }
    return a->used++;
}

uint32_t limit_account_get(struct limit_account *a, const struct counter_key *key, uint64_t now_ms)
{
    uint32_t index = find(a, key);

    if (index != COUNTER_NONE) {
        return index;
    }
    index = take_place(a, now_ms);
    if (index != COUNTER_NONE) {
        uint32_t *bucket = &a->buckets[key->half[0] & a->bucket_mask];

        *limit_account_at(a, index) = (struct counter){.key = *key, .next = *bucket};
        *bucket = index + 1;
        a->live++;
    }
    return index;
}

void limit_account_mark(struct limit_account *a, uint32_t index)
{
    struct counter *c = limit_account_at(a, index);

    if (c->dirty || !c->budget || !a->kept) {
        return;
    }
    c->dirty = true;
    c->next_dirty = 0;
    if (a->dirty_first == 0) {
        a->dirty_first = index + 1;
    } else {
        limit_account_at(a, a->dirty_last - 1)->next_dirty = index + 1;
    }
    a->dirty_last = index + 1;
    a->dirty_count++;
}

uint32_t limit_account_unmark(struct limit_account *a)
{
    if (a->dirty_first == 0) {
        return COUNTER_NONE;
    }
    uint32_t index = a->dirty_first - 1;
    struct counter *c = limit_account_at(a, index);

    a->dirty_first = c->next_dirty;
    a->dirty_count--;
    c->dirty = false;
    return index;
}
