/*
 * What the poller has seen of the replicas, handed on to the ledger, and the grace of those that
 * were lost. Runs on the main thread.
 */
#include <stdlib.h>

#include "app/app.h"
#include "base/mem.h"
#include "sched/ledger_replicas.h"
#include "sched/ledger_view.h"

static void on_replica_grace(struct deadline *d)
{
    replicas_watch_grace(CONTAINER_OF(d, struct app, replica_grace));
}

void replicas_init(struct app *a)
{
    deadline_init(&a->replica_grace, on_replica_grace);
}

void replicas_watch_grace(struct app *a)
{
    struct worker *w = a->main_worker;
    uint64_t next_ms = ledger_give_up(a->house.ledger, w->now_ms);

    if (next_ms == LEDGER_NEVER) {
        deadline_cancel(&a->replica_grace);
    } else {
        deadline_set(&w->wheel, &a->replica_grace, w->now_ms, next_ms);
    }
}

bool replicas_know(void *arg, uint32_t replica_id)
{
    struct app *a = arg;

    return ledger_knows_replica(a->house.ledger, replica_id);
}

static bool model_is_free(void *arg, uint32_t id)
{
    struct app *a = arg;

    return !ledger_knows_model(a->house.ledger, id);
}

/* What leaves the building has no row, unless the configuration lets it. */
static bool may_be_served(const struct catalog_model *m, const struct snapshot *s)
{
    const struct model_settings *settings = m->remote ? snapshot_model(s, &m->name) : NULL;

    return !m->remote || (settings != NULL && settings->allow_remote);
}

/* The rows of what a replica has on disk, and what of that is loaded; the caller frees them. */
static struct ledger_row *make_rows(struct app *a, const struct replica *r, size_t *out_count)
{
    const struct catalog *tags = r->tags == NULL ? NULL : r->tags->catalog;
    size_t count = tags == NULL ? 0 : tags->count;
    struct ledger_row *rows = xcalloc(count == 0 ? 1 : count, sizeof(*rows));
    struct snapshot *s = house_snapshot(&a->house);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const struct model_name *name = &tags->models[i].name;

        if (!may_be_served(&tags->models[i], s)) {
            continue;
        }
        uint32_t model = intern_add_or_reuse(a->house.models, model_text(name), model_is_free, a);
        bool loaded = r->ps != NULL && catalog_find(r->ps->catalog, name) != NULL;

        if (model != INTERN_OTHER) {
            rows[n++] = (struct ledger_row){model, r->slots, loaded};
        }
    }
    snapshot_unref(s);
    *out_count = n;
    return rows;
}

void replicas_on_change(void *arg, const struct replica *r, bool gone)
{
    struct app *a = arg;
    enum ledger_replica_state state = gone ? LEDGER_GONE : r->usable ? LEDGER_USABLE : LEDGER_LOST;
    size_t count;
    struct ledger_row *rows = make_rows(a, r, &count);

    ledger_set_replica(a->house.ledger, r->id, state, rows, count, a->main_worker->now_ms);
    free(rows);
    ledger_wake(a->house.ledger);
    replicas_watch_grace(a);
}
