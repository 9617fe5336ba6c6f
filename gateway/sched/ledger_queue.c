#include "sched/ledger_impl.h"

#include <assert.h>

#include "base/mem.h"

/* A binary heap of flows by key; every flow knows its place, so that it can leave at any time. */
static void heap_put(struct model *m, size_t i, struct flow *f)
{
    m->heap[i] = f;
    f->heap_index = i;
}

static void heap_up(struct model *m, size_t i, struct flow *f)
{
    while (i > 0 && m->heap[(i - 1) / 2]->key > f->key) {
        heap_put(m, i, m->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_put(m, i, f);
}

static void heap_down(struct model *m, size_t i, struct flow *f)
{
    while (true) {
        size_t child = 2 * i + 1;

        if (child + 1 < m->heap_count && m->heap[child + 1]->key < m->heap[child]->key) {
            child++;
        }
        if (child >= m->heap_count || m->heap[child]->key >= f->key) {
            break;
        }
        heap_put(m, i, m->heap[child]);
        i = child;
    }
    heap_put(m, i, f);
}

static void heap_push(struct model *m, struct flow *f)
{
    m->heap = xgrow(m->heap, m->heap_count, &m->heap_capacity, sizeof(struct flow *));
    heap_up(m, m->heap_count++, f);
}

static void heap_remove(struct model *m, struct flow *f)
{
    size_t i = f->heap_index;
    struct flow *last = m->heap[--m->heap_count];

    f->heap_index = FLOW_NOT_IN_HEAP;
    if (last == f) {
        return;
    }
    if (i > 0 && m->heap[(i - 1) / 2]->key > last->key) {
        heap_up(m, i, last);
    } else {
        heap_down(m, i, last);
    }
}

/* A tenant uses few models, so its own list is the short way to the flow. */
struct flow *ledger_flow(struct ledger *l, uint32_t model, uint32_t tenant)
{
    struct model *m = ledger_model(l, model);
    struct tenant *t = ledger_tenant(l, tenant);

    LIST_EACH(link, next, &t->flows)
    {
        struct flow *f = CONTAINER_OF(link, struct flow, of_tenant);

        if (f->model == model) {
            return f;
        }
    }
    struct flow *f = xcalloc(1, sizeof(*f));

    list_init(&f->tickets);
    list_init(&f->of_tenant);
    f->tenant = tenant;
    f->model = model;
    f->heap_index = FLOW_NOT_IN_HEAP;
    m->flows = xgrow(m->flows, m->flow_count, &m->flow_capacity, sizeof(struct flow *));
    m->flows[m->flow_count++] = f;
    list_push_back(&t->flows, &f->of_tenant);
    return f;
}

static void raise_to(uint64_t *value, uint64_t at_least)
{
    *value = *value < at_least ? at_least : *value;
}

/* The least counter among those waiting for this model, or of the last one served. */
static uint64_t lift_of(struct ledger *l, struct model *m)
{
    uint64_t least = m->floor;

    if (m->heap_count > 0) {
        raise_to(&least, m->heap[0]->key);
    }
    return least;
}

void ledger_flow_push(struct ledger *l, struct flow *f, struct ticket *k)
{
    struct model *m = ledger_model(l, f->model);
    struct tenant *t = ledger_tenant(l, f->tenant);

    if (t->waiting == 0 && t->running == 0) {
        raise_to(&t->virtual_time, lift_of(l, m));
    }
    list_push_back(&f->tickets, &k->link);
    f->waiting++;
    m->waiting++;
    t->waiting++;
    l->waiting++;
    if (f->heap_index == FLOW_NOT_IN_HEAP && t->running < t->settings.max_running) {
        f->key = t->virtual_time;
        heap_push(m, f);
    }
}

void ledger_flow_remove(struct ledger *l, struct ticket *k)
{
    struct flow *f = ledger_flow(l, k->model, k->tenant);

    list_unlink(&k->link);
    f->waiting--;
    ledger_model(l, k->model)->waiting--;
    ledger_tenant(l, k->tenant)->waiting--;
    l->waiting--;
    if (f->waiting == 0 && f->heap_index != FLOW_NOT_IN_HEAP) {
        heap_remove(ledger_model(l, k->model), f);
    }
}

struct flow *ledger_next_flow(struct ledger *l, struct model *m)
{
    while (m->heap_count > 0) {
        struct flow *f = m->heap[0];
        struct tenant *t = ledger_tenant(l, f->tenant);

        if (t->running >= t->settings.max_running) {
            heap_remove(m, f); /* parked until one of the tenant's requests ends */
        } else if (f->key != t->virtual_time) {
            f->key = t->virtual_time;
            heap_down(m, 0, f);
        } else {
            m->floor = f->key;
            return f;
        }
    }
    return NULL;
}

void ledger_unpark(struct ledger *l, struct tenant *t)
{
    LIST_EACH(link, next, &t->flows)
    {
        struct flow *f = CONTAINER_OF(link, struct flow, of_tenant);

        if (f->waiting > 0 && f->heap_index == FLOW_NOT_IN_HEAP) {
            f->key = t->virtual_time;
            heap_push(ledger_model(l, f->model), f);
            ledger_dispatch(l, f->model);
        }
    }
}

void ledger_charge_tenant(struct tenant *t, uint64_t units)
{
    uint64_t paid = units < t->credit ? units : t->credit;

    t->credit -= paid;
    units -= paid;
    t->service += units;
    t->virtual_time += units * VIRTUAL_SCALE / t->settings.weight;
}
