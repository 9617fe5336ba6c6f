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

void ledger_forget_rows(struct model *m)
{
    for (size_t i = 0; i < m->row_count;) {
        const struct row *r = &m->rows[i];

        if (r->present || r->departed || r->in_flight > 0) {
            i++;
        } else {
            m->rows[i] = m->rows[--m->row_count];
        }
    }
}

/* A row's replica is not there, but was a moment ago, and the row will do once it is back. */
static bool is_lost(struct ledger *l, const struct row *r)
{
    return r->departed || (r->present && !ledger_replica(l, r->replica)->usable);
}

enum corral_err ledger_model_outlook(struct ledger *l, const struct model *m)
{
    enum corral_err err = CE_MODEL_UNKNOWN;

    for (size_t i = 0; i < m->row_count; i++) {
        const struct row *r = &m->rows[i];

        if (r->present && r->slots > 0 && ledger_replica(l, r->replica)->usable) {
            return CE_OK;
        }
        if (is_lost(l, r)) {
            err = m->given_up ? CE_NO_REPLICA : CE_PENDING;
        }
    }
    return err;
}

/* A row that could take one more now. A cold one needs its replica free of other loads. */
static bool has_room(struct ledger *l, const struct row *r)
{
    const struct replica *replica = ledger_replica(l, r->replica);

    return r->present && replica->usable && r->in_flight < r->slots &&
           (r->loaded || r->in_flight > 0 || replica->loading == 0);
}

static bool better(struct ledger *l, const struct row *a, const struct row *b)
{
    if (a->loaded != b->loaded) {
        return a->loaded;
    }
    return ledger_replica(l, a->replica)->in_flight < ledger_replica(l, b->replica)->in_flight;
}

struct row *ledger_choose_row(struct ledger *l, struct model *m)
{
    struct row *best = NULL;

    if (m->row_count == 0) {
        return NULL;
    }
    uint32_t first = l->turn % (uint32_t)m->row_count;

    for (size_t i = 0; i < m->row_count; i++) {
        struct row *r = &m->rows[(first + i) % m->row_count];

        if (has_room(l, r) && (best == NULL || better(l, r, best))) {
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

void ledger_strand(struct ledger *l, struct model *m, enum corral_err why)
{
    for (size_t i = 0; m->waiting > 0 && i < m->flow_count; i++) {
        while (m->flows[i]->waiting > 0) {
            struct ticket *k = CONTAINER_OF(m->flows[i]->tickets.next, struct ticket, link);

            ledger_flow_remove(l, k);
            k->state = TICKET_STRANDED;
            k->stranded = (uint8_t)why;
            ledger_note(l, k);
        }
    }
}

/* When the model shall be given up: the grace after the loss of the last replica that lists it. */
static uint64_t give_up_ms(struct ledger *l, const struct model *m)
{
    uint64_t lost_ms = 0;

    for (size_t i = 0; i < m->row_count; i++) {
        const struct replica *replica = ledger_replica(l, m->rows[i].replica);

        if (is_lost(l, &m->rows[i]) && replica->lost_ms > lost_ms) {
            lost_ms = replica->lost_ms;
        }
    }
    return lost_ms + l->grace_ms;
}

static void give_up(struct ledger *l, struct model *m)
{
    m->given_up = true;
    for (size_t i = 0; i < m->row_count; i++) {
        m->rows[i].departed = false;
    }
    ledger_forget_rows(m);
    ledger_strand(l, m, CE_NO_REPLICA);
}

uint64_t ledger_give_up_models(struct ledger *l, uint64_t now_ms)
{
    uint64_t next = LEDGER_NEVER;

    for (size_t i = 0; i < l->model_count; i++) {
        struct model *m = &l->models[i];

        if (ledger_model_outlook(l, m) != CE_PENDING) {
            continue;
        }
        uint64_t at_ms = give_up_ms(l, m);

        if (at_ms <= now_ms) {
            give_up(l, m);
        } else if (at_ms - now_ms < next) {
            next = at_ms - now_ms;
        }
    }
    return next;
}

void ledger_lose_replica(struct replica *r, uint64_t now_ms)
{
    if (r->usable) {
        r->usable = false;
        r->lost_ms = now_ms;
    }
}

static void replace_rows(struct ledger *l, uint32_t replica, enum ledger_replica_state state,
                         const struct ledger_row *rows, size_t count)
{
    for (size_t i = 0; i < l->model_count; i++) {
        struct row *r = ledger_find_row(&l->models[i], replica);

        if (r != NULL) {
            r->departed = state == LEDGER_GONE && (r->departed || r->present);
            r->present = false;
        }
    }
    for (size_t i = 0; state != LEDGER_GONE && i < count; i++) {
        struct row *r = get_row(ledger_model(l, rows[i].model), replica);

        r->present = true;
        r->slots = rows[i].slots;
        r->loaded = rows[i].loaded;
    }
    for (size_t i = 0; i < l->model_count; i++) {
        ledger_forget_rows(&l->models[i]);
    }
}

void ledger_apply_replica(struct ledger *l, uint32_t replica, enum ledger_replica_state state,
                          const struct ledger_row *rows, size_t count, uint64_t now_ms)
{
    if (state == LEDGER_USABLE) {
        ledger_replica(l, replica)->usable = true;
    } else {
        ledger_lose_replica(ledger_replica(l, replica), now_ms);
    }
    replace_rows(l, replica, state, rows, count);
}
