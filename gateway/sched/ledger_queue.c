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

/*
 * Counters. One for each (model, tenant): a flow's virtual time grows by what the tenant was served
 * on that model, and goes down when a correction shows that less was served. The heap's keys are
 * lower bounds of it: a charge leaves the key as it is until the flow comes to the top, a refund
 * lowers both at once.
 *
 * A flow that could not be served for a while, because it had nothing waiting or because its tenant
 * was at max_running, is lifted to the least counter of those that could: absence earns no credit.
 * So the counters of two flows that can be served never differ by more than U, the dearest that all
 * slots of the model can be at once, and over any time in which both can, their service differs by
 * at most 2 U (Sheng et al., section 4; tests/unit/sched/test_fairness.c).
 */

/* The flow with the least counter, or NULL. Keys on the way are corrected, flows of tenants at
 * max_running are parked. */
static struct flow *least_flow(struct ledger *l, struct model *m)
{
    while (m->heap_count > 0) {
        struct flow *f = m->heap[0];
        const struct tenant *t = ledger_tenant(l, f->tenant);

        if (t->running >= t->settings.max_running) {
            heap_remove(m, f); /* parked until one of the tenant's requests ends */
        } else if (f->key != f->virtual_time) {
            f->key = f->virtual_time;
            heap_down(m, 0, f);
        } else {
            return f;
        }
    }
    return NULL;
}

/*
 * Put a flow that could not be served back among those that can. One that was parked goes ahead of
 * its equals: it was its turn already, and it shall have max_running requests on their way.
 */
enum { BEHIND_EQUALS = 0, AHEAD_OF_EQUALS = 1 };

static void lift(struct ledger *l, struct model *m, struct flow *f, uint64_t ahead)
{
    const struct flow *least = least_flow(l, m);
    uint64_t at_least = least == NULL ? m->floor : least->virtual_time;

    at_least -= at_least < ahead ? at_least : ahead;
    f->virtual_time = f->virtual_time < at_least ? at_least : f->virtual_time;
    f->key = f->virtual_time;
    heap_push(m, f);
}

void ledger_flow_push(struct ledger *l, struct flow *f, struct ticket *k, enum flow_end end)
{
    struct model *m = ledger_model(l, f->model);
    struct tenant *t = ledger_tenant(l, f->tenant);

    if (end == FLOW_BACK) {
        list_push_back(&f->tickets, &k->link);
    } else {
        list_push_front(&f->tickets, &k->link);
    }
    f->waiting++;
    m->waiting++;
    t->waiting++;
    l->waiting++;
    if (f->heap_index == FLOW_NOT_IN_HEAP && t->running < t->settings.max_running) {
        lift(l, m, f, BEHIND_EQUALS);
    }
}

void ledger_flow_remove(struct ledger *l, struct ticket *k)
{
    struct flow *f = k->flow;

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
    struct flow *f = least_flow(l, m);

    if (f != NULL) {
        m->floor = f->key;
    }
    return f;
}

bool ledger_flow_unpark(struct ledger *l, struct flow *f)
{
    if (f->waiting == 0 || f->heap_index != FLOW_NOT_IN_HEAP) {
        return false;
    }
    lift(l, ledger_model(l, f->model), f, AHEAD_OF_EQUALS);
    return true;
}

static uint64_t virtual_units(const struct tenant *t, uint64_t units)
{
    return units * VIRTUAL_SCALE / t->settings.weight;
}

void ledger_flow_charge(struct ledger *l, struct flow *f, uint64_t units)
{
    struct tenant *t = ledger_tenant(l, f->tenant);
    uint64_t refunded = units < t->refunds ? units : t->refunds;

    t->refunds -= refunded;
    t->service += units - refunded;
    f->virtual_time += virtual_units(t, units);
}

void ledger_flow_refund(struct ledger *l, struct flow *f, uint64_t units)
{
    struct tenant *t = ledger_tenant(l, f->tenant);
    uint64_t back = virtual_units(t, units);

    t->refunds += units;
    f->virtual_time -= f->virtual_time < back ? f->virtual_time : back;
    if (f->heap_index != FLOW_NOT_IN_HEAP && f->key > f->virtual_time) {
        f->key = f->virtual_time;
        heap_up(ledger_model(l, f->model), f->heap_index, f);
    }
}
