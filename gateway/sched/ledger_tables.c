/*
 * What the ledger has by number: models, replicas, tenants. Called with the lock held by all other
 * files of the ledger. A pointer holds until the next call for a number that is new.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/ledger_impl.h"

/* Zeroed room for item `number` in a vector that numbers index directly. */
static void *reach(void *items, size_t *count, uint32_t number, size_t item_size)
{
    if (number < *count) {
        return items;
    }
    size_t next = (size_t)number + 1 + number / 2;

    items = xrealloc(items, next * item_size);
    memset((char *)items + *count * item_size, 0, (next - *count) * item_size);
    *count = next;
    return items;
}

struct model *ledger_model(struct ledger *l, uint32_t number)
{
    l->models = reach(l->models, &l->model_count, number, sizeof(*l->models));
    return &l->models[number];
}

struct replica *ledger_replica(struct ledger *l, uint32_t number)
{
    l->replicas = reach(l->replicas, &l->replica_count, number, sizeof(*l->replicas));
    return &l->replicas[number];
}

struct tenant *ledger_tenant(struct ledger *l, uint32_t number)
{
    l->tenants = reach(l->tenants, &l->tenant_count, number, sizeof(struct tenant *));
    if (l->tenants[number] == NULL) {
        struct tenant *t = xcalloc(1, sizeof(*t));

        list_init(&t->flows);
        t->settings = (struct ledger_tenant_settings){1, UINT32_MAX, UINT32_MAX};
        l->tenants[number] = t;
    }
    return l->tenants[number];
}
