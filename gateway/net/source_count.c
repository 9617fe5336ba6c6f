#include "net/source_count.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"

enum { SHARDS = 64, BUCKETS = 64 };

struct entry {
    struct entry *next; /* owned */
    uint64_t source;
    uint32_t count;
};

struct shard {
    pthread_mutex_t lock;           /* guards the buckets */
    struct entry *buckets[BUCKETS]; /* owned */
};

struct source_count {
    struct shard shards[SHARDS];
};

struct source_count *source_count_create(void)
{
    struct source_count *s = xcalloc(1, sizeof(*s));

    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&s->shards[i].lock, NULL);
    }
    return s;
}

void source_count_destroy(struct source_count *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        for (size_t b = 0; b < BUCKETS; b++) {
            while (s->shards[i].buckets[b] != NULL) {
                struct entry *next = s->shards[i].buckets[b]->next;

                free(s->shards[i].buckets[b]);
                s->shards[i].buckets[b] = next;
            }
        }
        pthread_mutex_destroy(&s->shards[i].lock);
    }
    free(s);
}

/* Locks the shard. */
static struct entry **find(struct source_count *s, uint64_t source, struct shard **out_shard)
{
    uint64_t hash = hash_bytes(slice_of((const char *)&source, sizeof(source)));
    struct shard *shard = &s->shards[hash % SHARDS];
    struct entry **at = &shard->buckets[hash / SHARDS % BUCKETS];

    pthread_mutex_lock(&shard->lock);
    while (*at != NULL && (*at)->source != source) {
        at = &(*at)->next;
    }
    *out_shard = shard;
    return at;
}

bool source_count_take(struct source_count *s, uint64_t source, uint32_t cap)
{
    struct shard *shard;
    struct entry **at = find(s, source, &shard);

    if (*at == NULL) {
        *at = xcalloc(1, sizeof(**at));
        (*at)->source = source;
    }
    bool free_place = (*at)->count < cap;

    if (free_place) {
        (*at)->count++;
    }
    pthread_mutex_unlock(&shard->lock);
    return free_place;
}

void source_count_release(struct source_count *s, uint64_t source)
{
    struct shard *shard;
    struct entry **at = find(s, source, &shard);

    assert(*at != NULL && (*at)->count > 0);
    if (--(*at)->count == 0) {
        struct entry *gone = *at;

        *at = gone->next;
        free(gone);
    }
    pthread_mutex_unlock(&shard->lock);
}
