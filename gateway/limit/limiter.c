#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "limit/gcra.h"
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

static void hash_name(const struct limit_rule *rule, uint64_t seed, uint64_t out[static 2])
{
    char text[1 + LIMIT_NAME_MAX];
    size_t len = strlen(rule->name);

    assert(len <= LIMIT_NAME_MAX);
    text[0] = rule->requests > 0 ? 'r' : 't'; /* their numbers are no tokens */
    memcpy(text + 1, rule->name, len);
    hash_bytes_wide(slice_of(text, 1 + len), seed, out);
}

void limiter_prepare(const struct limiter *l, struct limit_rule *rule)
{
    rule->interval_ns = rule->requests > 0 ? gcra_interval_ns(rule) : 0;
    rule->key = (struct limit_rule_key){.known = true, .seed = l->seed};
    hash_name(rule, l->seed, rule->key.half);
}

static void hash_times(struct slice text, uint64_t seed, uint64_t factor, uint64_t out[static 2])
{
    hash_bytes_wide(text, seed, out);
    out[0] *= factor;
    out[1] *= factor;
}

struct limit_who limiter_who(const struct limiter *l, uint32_t per, struct slice user,
                             struct slice model)
{
    struct limit_who who = {{0}, {0}};

    if ((per & LIMIT_PER_USER) != 0) {
        hash_times(user, l->seed, 0x9e3779b97f4a7c15u, who.user);
    }
    if ((per & LIMIT_PER_MODEL) != 0) {
        hash_times(model, l->seed, 0xc2b2ae3d27d4eb4fu, who.model);
    }
    return who;
}

struct counter_key limiter_name_key(const struct limiter *l, const struct limit_rule *rule)
{
    struct counter_key key = {{0}};

    hash_name(rule, l->seed, key.half);
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
