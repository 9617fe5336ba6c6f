#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "limit/impl.h"

struct limiter *limiter_create(uint32_t max_tenants, uint32_t counters)
{
    struct limiter *l = xcalloc(1, sizeof(*l));

    l->seed = rand_u64();
    l->max_tenants = max_tenants;
    l->counters = counters;
    l->accounts = xcalloc(max_tenants, sizeof(*l->accounts));
    return l;
}

void limiter_destroy(struct limiter *l)
{
    if (l == NULL) {
        return;
    }
    for (uint32_t i = 0; i < l->max_tenants; i++) {
        limit_account_destroy(limiter_account(l, i));
    }
    free(l->accounts);
    free(l);
}

struct limit_account *limiter_account(struct limiter *l, uint32_t tenant)
{
    return tenant < l->max_tenants
               ? atomic_load_explicit(&l->accounts[tenant], memory_order_acquire)
               : NULL;
}

void limiter_add_tenant(struct limiter *l, uint32_t tenant)
{
    if (tenant < l->max_tenants && limiter_account(l, tenant) == NULL) {
        struct limit_account *a = limit_account_create(l->counters);

        a->kept = l->kept;
        atomic_store_explicit(&l->accounts[tenant], a, memory_order_release);
    }
}

void limiter_keep(struct limiter *l, uint64_t seed)
{
    l->seed = seed;
    l->kept = true;
    for (uint32_t i = 0; i < l->max_tenants; i++) {
        struct limit_account *a = limiter_account(l, i);

        if (a != NULL) {
            assert(a->live == 0); /* its key would be another one now */
            a->kept = true;
        }
    }
}

enum { PART = 128, PARTS = 3 };

/* Its length in front: no two rows of parts make the same bytes. Long ones are hashed. */
static char *put_part(char *at, struct slice part, uint64_t seed)
{
    uint32_t len = (uint32_t)part.len;
    uint64_t hash[2];

    memcpy(at, &len, sizeof(len));
    at += sizeof(len);
    if (len > PART) {
        hash_bytes_wide(part, seed, hash);
        part = slice_of((const char *)hash, sizeof(hash));
    }
    if (part.len > 0) {
        memcpy(at, part.ptr, part.len);
    }
    return at + part.len;
}

/* Keys stand in the state file: another way to make them wants another SCHEMA_VERSION there. */
struct counter_key limiter_key(const struct limiter *l, const struct limit_rule *rule,
                               struct slice user, struct slice model)
{
    const struct slice none = {NULL, 0};
    char text[1 + PARTS * (sizeof(uint32_t) + PART)];
    char *at = text;
    struct counter_key key = {{0}};

    *at++ = rule->requests > 0 ? 'r' : 't'; /* their numbers are no tokens */
    at = put_part(at, slice_str(rule->name), l->seed);
    at = put_part(at, (rule->per & LIMIT_PER_USER) != 0 ? user : none, l->seed);
    at = put_part(at, (rule->per & LIMIT_PER_MODEL) != 0 ? model : none, l->seed);
    hash_bytes_wide(slice_of(text, (size_t)(at - text)), l->seed, key.half);
    return key;
}

struct limit_totals limiter_totals(struct limiter *l)
{
    struct limit_totals totals = {0};

    for (uint32_t i = 0; i < l->max_tenants; i++) {
        struct limit_account *a = limiter_account(l, i);

        if (a != NULL) {
            pthread_mutex_lock(&a->lock);
            totals.counters += a->live;
            totals.grants += a->grants;
            pthread_mutex_unlock(&a->lock);
        }
    }
    return totals;
}
