/* See answer_cache.h. Called by answer.c. A few entries, searched one by one. */
#include "exchange/answer_cache.h"

#include <stdlib.h>

#include "base/mem.h"

struct entry {
    struct shared_bytes *body; /* counted; NULL: the place is free */
    char *rights;              /* owned */
    size_t rights_len;
    uint32_t tenant;
    enum route_id route;
};

struct answer_cache {
    struct entry entries[ANSWER_CACHE_ENTRIES];
    size_t next; /* the place that is taken next */
    size_t bytes;
    unsigned view_version;
    uint64_t generation;
};

struct answer_cache *answer_cache_create(void)
{
    return xcalloc(1, sizeof(struct answer_cache));
}

static void clear(struct answer_cache *c, struct entry *e)
{
    c->bytes -= shared_bytes_slice(e->body).len;
    shared_bytes_unref(e->body);
    free(e->rights);
    *e = (struct entry){0};
}

static void clear_all(struct answer_cache *c)
{
    for (size_t i = 0; i < ANSWER_CACHE_ENTRIES; i++) {
        clear(c, &c->entries[i]);
    }
}

void answer_cache_destroy(struct answer_cache *c)
{
    if (c != NULL) {
        clear_all(c);
        free(c);
    }
}

/* Drop everything that was written in another state of replicas or configuration. */
static void follow(struct answer_cache *c, const struct answer_key *key)
{
    if (c->view_version != key->view_version || c->generation != key->generation) {
        clear_all(c);
        c->view_version = key->view_version;
        c->generation = key->generation;
    }
}

struct shared_bytes *answer_cache_find(struct answer_cache *c, const struct answer_key *key)
{
    follow(c, key);
    for (size_t i = 0; i < ANSWER_CACHE_ENTRIES; i++) {
        const struct entry *e = &c->entries[i];

        if (e->body != NULL && e->route == key->route && e->tenant == key->tenant &&
            slice_eq(slice_of(e->rights, e->rights_len), key->rights)) {
            return e->body;
        }
    }
    return NULL;
}

void answer_cache_put(struct answer_cache *c, const struct answer_key *key,
                      struct shared_bytes *body)
{
    size_t len = shared_bytes_slice(body).len;

    follow(c, key);
    if (len > ANSWER_CACHE_BYTES / 2) {
        return;
    }
    struct entry *e = &c->entries[c->next];

    clear(c, e);
    for (size_t i = 1; c->bytes + len > ANSWER_CACHE_BYTES; i++) {
        clear(c, &c->entries[(c->next + i) % ANSWER_CACHE_ENTRIES]);
    }
    *e = (struct entry){.body = shared_bytes_ref(body),
                        .rights = xstrndup(key->rights.ptr, key->rights.len),
                        .rights_len = key->rights.len,
                        .tenant = key->tenant,
                        .route = key->route};
    c->bytes += len;
    c->next = (c->next + 1) % ANSWER_CACHE_ENTRIES;
}
