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

struct limit_who limiter_who(const struct limiter *l, struct slice user, struct slice model)
{
    struct limit_who who = {{0}, {0}};

    hash_bytes_wide(user, l->seed, who.user);
    hash_bytes_wide(model, l->seed, who.model);
    return who;
}

/*
 * Three hashes of 128 bits, each times an odd number of its own: as even as one of them, and no two
 * users or models that change places meet. Keys stand in the state file: another way to make them
 * wants another SCHEMA_VERSION there.
 */
struct counter_key limiter_key(const struct limiter *l, const struct limit_rule *rule,
                               const struct limit_who *who)
{
    const uint64_t of_user = (rule->per & LIMIT_PER_USER) != 0 ? 0x9e3779b97f4a7c15u : 0;
    const uint64_t of_model = (rule->per & LIMIT_PER_MODEL) != 0 ? 0xc2b2ae3d27d4eb4fu : 0;
    char text[1 + LIMIT_NAME_MAX];
    size_t len = strlen(rule->name);
    struct counter_key key = {{0}};

    assert(len <= LIMIT_NAME_MAX);
    text[0] = rule->requests > 0 ? 'r' : 't'; /* their numbers are no tokens */
    memcpy(text + 1, rule->name, len);
    hash_bytes_wide(slice_of(text, 1 + len), l->seed, key.half);
    for (size_t i = 0; i < ARRAY_LEN(key.half); i++) {
        key.half[i] += who->user[i] * of_user + who->model[i] * of_model;
    }
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
