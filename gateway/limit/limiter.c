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
        atomic_store_explicit(&l->accounts[tenant], limit_account_create(l->counters),
                              memory_order_release);
    }
}

/* Name, user and model with their lengths in front: no two triples make the same bytes. */
struct counter_key limiter_key(const struct limiter *l, const struct limit_rule *rule,
                               struct slice user, struct slice model)
{
    enum { ROOM = 1024 };
    const struct slice parts[] = {
        slice_str(rule->name),
        (rule->per & LIMIT_PER_USER) != 0 ? user : slice_of(NULL, 0),
        (rule->per & LIMIT_PER_MODEL) != 0 ? model : slice_of(NULL, 0),
    };
    char text[ROOM];
    size_t at = 0;
    struct counter_key key = {{0}};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t most = ROOM / ARRAY_LEN(parts) - sizeof(uint16_t);
        uint16_t len = (uint16_t)(parts[i].len < most ? parts[i].len : most);

        memcpy(text + at, &len, sizeof(len));
        at += sizeof(len);
        if (len > 0) {
            memcpy(text + at, parts[i].ptr, len);
        }
        at += len;
    }
    hash_bytes_wide(slice_of(text, at), l->seed, key.half);
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
