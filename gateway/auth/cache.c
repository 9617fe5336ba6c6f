#include <stdlib.h>

#include "auth/impl.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rand.h"

enum { FIRST_SLOTS = 64 };

/*
 * The whole token is compared, never its hash alone. Two spellings of one signature (ECDSA r, n-s)
 * are two entries: both were verified, and nothing is revoked by a token's bytes.
 */
struct entry {
    struct list used_link; /* auth_cache.used */
    uint64_t hash;
    uint64_t generation;
    uint64_t exp;
    uint64_t nbf;
    size_t bytes;               /* of this entry, for the bound */
    struct principal principal; /* user and models point into `text`; the rest into the snapshot */
    size_t token_len;
    char text[]; /* token, user, models */
};

struct auth_cache {
    struct list used;     /* entry.used_link; latest first */
    struct entry **slots; /* owned; open addressing, linear probing */
    size_t slot_count;    /* a power of two; 0 before the first entry */
    size_t count;
    size_t bytes;
};

struct auth_cache *auth_cache_create(void)
{
    struct auth_cache *c = xcalloc(1, sizeof(*c));

    list_init(&c->used);
    return c;
}

size_t auth_cache_count(const struct auth_cache *c)
{
    return c->count;
}

size_t auth_cache_bytes(const struct auth_cache *c)
{
    return c->bytes + c->slot_count * sizeof(*c->slots);
}

static void entry_free(struct entry *e)
{
    if (e != NULL) {
        explicit_bzero(e->text, e->token_len);
        free((void *)e->principal.models);
        free(e);
    }
}

void auth_cache_destroy(struct auth_cache *c)
{
    if (c == NULL) {
        return;
    }
    LIST_EACH(link, next, &c->used)
    {
        entry_free(CONTAINER_OF(link, struct entry, used_link));
    }
    free(c->slots);
    free(c);
}

static bool entry_is(const struct entry *e, uint64_t hash, struct slice token)
{
    return e->hash == hash && slice_eq(slice_of(e->text, e->token_len), token);
}

/* The slot of a token: its own, or the free one where it would go. Needs slots. */
static size_t probe(const struct auth_cache *c, uint64_t hash, struct slice token)
{
    size_t mask = c->slot_count - 1;
    size_t i = hash & mask;

    while (c->slots[i] != NULL && !entry_is(c->slots[i], hash, token)) {
        i = (i + 1) & mask;
    }
    return i;
}

/* Knuth 6.4 algorithm R: close the gap, so that no tombstones are needed. */
static void slot_clear(struct auth_cache *c, size_t gap)
{
    size_t mask = c->slot_count - 1;

    for (size_t i = (gap + 1) & mask; c->slots[i] != NULL; i = (i + 1) & mask) {
        size_t home = c->slots[i]->hash & mask;

        if (((i - home) & mask) >= ((i - gap) & mask)) {
            c->slots[gap] = c->slots[i];
            gap = i;
        }
    }
    c->slots[gap] = NULL;
}

static void drop(struct auth_cache *c, struct entry *e)
{
    slot_clear(c, probe(c, e->hash, slice_of(e->text, e->token_len)));
    list_unlink(&e->used_link);
    c->count--;
    c->bytes -= e->bytes;
    entry_free(e);
}

/* Room for one more entry at a load of at most 3/4. False without memory: nothing changed. */
static bool grow(struct auth_cache *c)
{
    if (c->slot_count > 0 && (c->count + 1) * 4 <= c->slot_count * 3) {
        return true;
    }
    size_t wanted = c->slot_count == 0 ? FIRST_SLOTS : c->slot_count * 2;
    struct entry **slots = calloc(wanted, sizeof(struct entry *));

    if (slots == NULL) {
        return false;
    }
    free(c->slots);
    c->slots = slots;
    c->slot_count = wanted;
    LIST_EACH(link, next, &c->used)
    {
        struct entry *e = CONTAINER_OF(link, struct entry, used_link);

        c->slots[probe(c, e->hash, slice_of(e->text, e->token_len))] = e;
    }
    return true;
}

static struct slice append(char **at, struct slice bytes)
{
    struct slice copy = slice_of(*at, bytes.len);

    if (bytes.len > 0) {
        memcpy(*at, bytes.ptr, bytes.len);
    }
    *at += bytes.len;
    return copy;
}

static struct entry *entry_make(struct slice token, const struct principal *p)
{
    size_t text = token.len + p->user.len;
    size_t list = p->model_count * sizeof(*p->models);

    for (size_t i = 0; i < p->model_count; i++) {
        text += p->models[i].len;
    }
    struct entry *e = calloc(1, sizeof(*e) + text);
    struct slice *models = list == 0 ? NULL : malloc(list);

    if (e == NULL || (list > 0 && models == NULL)) {
        free(models);
        free(e);
        return NULL;
    }
    char *at = e->text;

    append(&at, token);
    e->token_len = token.len;
    e->bytes = sizeof(*e) + text + list;
    e->principal = *p;
    e->principal.user = append(&at, p->user);
    e->principal.models = models;
    for (size_t i = 0; i < p->model_count; i++) {
        models[i] = append(&at, p->models[i]);
    }
    return e;
}

bool auth_cache_find(struct auth_cache *c, struct slice token, uint64_t generation, uint64_t now_s,
                     struct arena *arena, struct principal *out)
{
    if (c->count == 0) {
        return false;
    }
    struct entry *e = c->slots[probe(c, hash_bytes(token), token)];

    if (e == NULL) {
        return false;
    }
    bool expired = now_s >= e->exp && now_s - e->exp >= AUTH_SKEW_S;

    if (expired || e->generation < generation) {
        drop(c, e);
        return false;
    }
    /* An exchange of an older snapshot finds nothing, but does not throw out the newer entry. */
    if (e->generation != generation || e->nbf > now_s + AUTH_SKEW_S) {
        return false;
    }
    list_unlink(&e->used_link);
    list_push_front(&c->used, &e->used_link);
    *out = principal_copy(&e->principal, arena);
    return true;
}

void auth_cache_put(struct auth_cache *c, struct slice token, uint64_t generation,
                    const struct verified *v)
{
    struct entry *e = entry_make(token, &v->principal);

    if (e == NULL) {
        return;
    }
    e->hash = hash_bytes(token);
    e->generation = generation;
    e->exp = v->exp;
    e->nbf = v->nbf;
    if (c->count > 0) {
        struct entry *old = c->slots[probe(c, e->hash, token)];

        if (old != NULL && old->generation > generation) {
            entry_free(e);
            return;
        }
        if (old != NULL) {
            drop(c, old);
        }
    }
    while (c->count > 0 &&
           (c->count >= AUTH_CACHE_ENTRIES || c->bytes + e->bytes > AUTH_CACHE_MAX_BYTES)) {
        drop(c, CONTAINER_OF(c->used.prev, struct entry, used_link));
    }
    if (!grow(c)) {
        entry_free(e);
        return;
    }
    c->slots[probe(c, e->hash, token)] = e;
    list_push_front(&c->used, &e->used_link);
    c->count++;
    c->bytes += e->bytes;
}
