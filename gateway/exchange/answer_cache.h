/**
 * Merged lists of models (/api/tags, /api/ps, /v1/models) of one worker, as text.
 *
 * A list is written once for each state of the replicas and each set of rights, and shared by all
 * who get it: so a client that asks for it a thousand times and reads none holds it once. When the
 * replicas or the configuration change, everything is dropped. Not shared between threads.
 */
#ifndef CORRAL_EXCHANGE_ANSWER_CACHE_H
#define CORRAL_EXCHANGE_ANSWER_CACHE_H

#include "base/shared.h"
#include "ollama/route.h"

enum {
    ANSWER_CACHE_ENTRIES = 64,
    ANSWER_CACHE_BYTES = 16 * 1024 * 1024, /* of all of them; larger ones push others out */
    ANSWER_RIGHTS_BYTES = 4096,            /* of a credential's own rights; with more, no cache */
};

/** What a list depends on. */
struct answer_key {
    enum route_id route;
    uint32_t tenant;
    struct slice rights;   /* what the credential limits by itself; "" when it does not */
    unsigned view_version; /* of the replicas */
    uint64_t generation;   /* of the configuration */
};

struct answer_cache;

struct answer_cache *answer_cache_create(void);
void answer_cache_destroy(struct answer_cache *c);

/** The list, borrowed until the next call, or NULL. */
struct shared_bytes *answer_cache_find(struct answer_cache *c, const struct answer_key *key);

/** Keep a list (with a reference of the cache's own) until something changes. */
void answer_cache_put(struct answer_cache *c, const struct answer_key *key,
                      struct shared_bytes *body);

#endif
