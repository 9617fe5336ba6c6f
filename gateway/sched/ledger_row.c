#include <string.h>

#include "base/mem.h"
#include "sched/ledger_impl.h"

struct row *ledger_find_row(struct model *m, uint32_t replica)
{
    for (size_t i = 0; i < m->row_count; i++) {
        if (m->rows[i].replica == replica) {
            return &m->rows[i];
        }
    }
    return NULL;
}

bool ledger_has_usable_row(struct ledger *l, const struct model *m, int64_t except)
{
    for (size_t i = 0; i < m->row_count; i++) {
        const struct row *r = &m->rows[i];

        if (r->present && r->slots > 0 && ledger_replica(l, r->replica)->usable &&
            (int64_t)r->replica != except) {
            return true;
        }
    }
    return false;
}

/* A row that could take one more now. A cold one needs its replica free of other loads. */
static bool has_room(struct ledger *l, const struct row *r, int64_t except)
{
    const struct replica *replica = ledger_replica(l, r->replica);

    return r->present && replica->usable && r->in_flight < r->slots &&
           (int64_t)r->replica != except &&
           (r->loaded || r->in_flight > 0 || replica->loading == 0);
}

static bool better(struct ledger *l, const struct row *a, const struct row *b)
{
    if (a->loaded != b->loaded) {
        return a->loaded;
    }
    return ledger_replica(l, a->replica)->in_flight < ledger_replica(l, b->replica)->in_flight;
}

struct row *ledger_choose_row(struct ledger *l, struct model *m, int64_t except)
{
    struct row *best = NULL;

    if (m->row_count == 0) {
        return NULL;
    }
    uint32_t first = l->turn % (uint32_t)m->row_count;

    for (size_t i = 0; i < m->row_count; i++) {
        struct row *r = &m->rows[(first + i) % m->row_count];

        if (has_room(l, r, except) && (best == NULL || better(l, r, best))) {
            best = r;
        }
    }
    if (best != NULL) {
        l->turn++;
    }
    return best;
}

static struct row *get_row(struct model *m, uint32_t replica)
{
    struct row *r = ledger_find_row(m, replica);

    if (r == NULL) {
        m->rows = xgrow(m->rows, m->row_count, &m->row_capacity, sizeof(*m->rows));
        r = &m->rows[m->row_count++];
        *r = (struct row){.replica = replica};
    }
    return r;
}

/* Requests that no replica can serve any more hear of it now, not at their deadline. */
static void strand_waiting(struct ledger *l, struct model *m)
{
    for (size_t i = 0; i < m->flow_count; i++) {
        while (m->flows[i]->waiting > 0) {
            struct ticket *k = CONTAINER_OF(m->flows[i]->tickets.next, struct ticket, link);

            ledger_flow_remove(l, k);
            k->state = TICKET_STRANDED;
            l->notes = xgrow(l->notes, l->note_count, &l->note_capacity, sizeof(*l->notes));
            l->notes[l->note_count++] = (struct note){k->worker, {k->index, k->generation}};
        }
    }
}

void ledger_apply_replica(struct ledger *l, uint32_t replica, bool usable,
                          const struct ledger_row *rows, size_t count)
{
    ledger_replica(l, replica)->usable = usable;
    for (size_t i = 0; i < l->model_count; i++) {
        struct row *r = ledger_find_row(&l->models[i], replica);

        if (r != NULL) {
            r->present = false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct row *r = get_row(ledger_model(l, rows[i].model), replica);

        r->present = true;
        r->slots = rows[i].slots;
        r->loaded = rows[i].loaded;
    }
    for (uint32_t i = 0; i < l->model_count; i++) {
        if (l->models[i].waiting > 0 &&
            !ledger_has_usable_row(l, &l->models[i], LEDGER_NO_REPLICA)) {
            strand_waiting(l, &l->models[i]);
        }
        ledger_dispatch(l, i);
    }
}
