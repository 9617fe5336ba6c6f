/*
 * Step 10 of DESIGN: a slot, a place in the queue, or, for a request that needs no slot, a replica.
 * Called by steps.c when the body has passed, by the engine when a ticket was granted, and by
 * dispatch.c when a replica could not be reached. Runs on the exchange's worker.
 *
 * While the replicas that have the model are lost, and for queue.replica_grace_s after that, a
 * request waits. Most wait in the ledger's queue of their model. Those that need no slot, and those
 * for a model that no replica has told of yet, wait for the replicas to change (ledger_wait), and
 * are admitted again then.
 */
#include <assert.h>

#include "base/clock.h"
#include "exchange/admit.h"
#include "exchange/limits.h"
#include "sched/ledger_replicas.h"

/* One that the replica would ask of others counts only where that is allowed. */
static bool lists_model(const struct replica *r, const struct exchange *ex)
{
    const struct catalog_model *m =
        r->tags == NULL ? NULL : catalog_find(r->tags->catalog, ex->info.model);

    return m != NULL && (!m->remote || ex->may_leave);
}

/* A replica that has the model, for a request that needs no slot. */
static const struct replica *replica_with(struct exchange *ex, uint32_t except)
{
    const struct replica_view *v = engine_view(ex->engine);

    for (size_t i = 0; i < v->count; i++) {
        const struct replica *r = &v->replicas[i];

        if (r->usable && r->id != except && lists_model(r, ex)) {
            return r;
        }
    }
    return NULL;
}

/*
 * What to do with a request whose model no usable replica has: CE_PENDING: wait until *out_ms,
 * since one that is lost has it, or may have it, because it was not asked yet. Else CE_NO_REPLICA,
 * or CE_MODEL_UNKNOWN: "nowhere on disk" can only be said while somebody answers.
 */
static enum corral_err look_for_model(struct exchange *ex, uint32_t except, uint64_t now_ms,
                                      uint64_t *out_ms)
{
    const struct replica_view *v = engine_view(ex->engine);
    uint64_t lost_ms = v->count == 0 ? v->empty_since_ms : 0;
    bool answers = false;
    bool listed = false;

    for (size_t i = 0; i < v->count; i++) {
        const struct replica *r = &v->replicas[i];
        bool usable = r->usable && r->id != except;
        bool has_it = lists_model(r, ex);
        uint64_t since_ms = usable ? ex->queued_us / 1000 : r->usable ? now_ms : r->lost_ms;

        answers = answers || usable;
        listed = listed || has_it; /* by a usable one: the ledger hears of it in a moment */
        if ((has_it || (!usable && r->tags == NULL)) && since_ms > lost_ms) {
            lost_ms = since_ms;
        }
    }
    *out_ms = lost_ms + ex->snapshot->settings.queue.replica_grace_s * 1000;
    if (lost_ms > 0 && *out_ms > now_ms) {
        return CE_PENDING;
    }
    return answers && !listed ? CE_MODEL_UNKNOWN : CE_NO_REPLICA;
}

static void fail_with_model(struct exchange *ex, enum corral_err err)
{
    exchange_fail_detail(ex, err, ex->info.spelled);
}

static uint64_t last_wait_ms(const struct exchange *ex)
{
    return ex->queued_us / 1000 + ex->snapshot->settings.queue.max_wait_s * 1000;
}

/* Until a grant, or until_ms; never longer than max_wait_s, over all waits together. */
static void enter_queue(struct exchange *ex, uint64_t until_ms)
{
    uint64_t now_ms = ex->engine->worker->now_ms;
    uint64_t last_ms = last_wait_ms(ex);

    until_ms = until_ms < last_ms ? until_ms : last_ms;
    engine_map_ticket(ex->engine, ex->ticket, ex);
    exchange_set_state(ex, EX_QUEUED, until_ms > now_ms ? until_ms - now_ms : 1);
}

/* No usable replica has the model. */
static void wait_for_change(struct exchange *ex, uint32_t except)
{
    struct engine *e = ex->engine;
    struct ticket_ref ref;
    uint64_t until_ms;
    enum corral_err err = look_for_model(ex, except, e->worker->now_ms, &until_ms);

    if (err == CE_PENDING) {
        err = ledger_wait(e->house->ledger, e->worker->index, ex->principal.tenant->id, &ref);
    }
    if (err == CE_PENDING) {
        ex->ticket = ref;
        enter_queue(ex, until_ms);
        if (engine_view_is_old(e)) {
            ledger_wake(e->house->ledger); /* they changed meanwhile, and nobody told this one */
        }
    } else {
        fail_with_model(ex, err);
    }
}

static void admit_without_slot(struct exchange *ex, uint32_t except)
{
    const struct replica *r = replica_with(ex, except);

    if (r != NULL) {
        ex->granted_us = ex->state == EX_QUEUED ? clock_mono_us() : 0;
        exchange_dispatch(ex, r);
    } else {
        wait_for_change(ex, except);
    }
}

static void use_grant(struct exchange *ex, const struct ledger_grant *grant)
{
    ex->has_slot = true;
    ex->cold = grant->cold;
    ex->replica = grant->replica;
    ex->granted_us = clock_mono_us();
    metrics_observe(ex->engine->metrics, M_QUEUE_WAIT, ex->granted_us - ex->queued_us);
    exchange_dispatch(ex, replica_view_find(engine_view(ex->engine), grant->replica));
}

/* The ledger's answer for ex->ticket. */
static void follow_ledger(struct exchange *ex, enum corral_err err,
                          const struct ledger_grant *grant)
{
    if (err == CE_OK) {
        engine_map_ticket(ex->engine, ex->ticket, ex);
        use_grant(ex, grant);
    } else if (err == CE_PENDING) {
        enter_queue(ex, UINT64_MAX);
    } else {
        ex->ticket.generation = 0;
        if (err == CE_MODEL_UNKNOWN) {
            wait_for_change(ex, INTERN_NONE);
        } else {
            fail_with_model(ex, err);
        }
    }
}

void exchange_admit(struct exchange *ex, uint32_t except_replica)
{
    struct engine *e = ex->engine;
    struct ledger_grant grant;

    if (ex->queued_us == 0) {
        ex->queued_us = clock_mono_us();
    }
    if (ex->route->class != ROUTE_INFERENCE) {
        admit_without_slot(ex, except_replica);
        return;
    }
    ex->model = intern_find(e->house->models, model_text(ex->info.model));
    if (ex->model == INTERN_NONE) {
        wait_for_change(ex, INTERN_NONE);
        return;
    }
    const struct ledger_request request = {
        .worker = e->worker->index,
        .tenant = ex->principal.tenant->id,
        .model = ex->model,
        .input_tokens = (uint32_t)exchange_prompt_estimate(ex),
    };
    enum corral_err err = ledger_enter(e->house->ledger, &request, &ex->ticket, &grant);

    follow_ledger(ex, err, &grant);
}

void exchange_granted(struct exchange *ex)
{
    struct ledger_grant grant;
    enum corral_err err = ledger_take(ex->engine->house->ledger, ex->ticket, &grant);

    assert(ex->state == EX_QUEUED);
    if (err == CE_OK) {
        use_grant(ex, &grant);
        return;
    }
    engine_map_ticket(ex->engine, ex->ticket, NULL);
    ex->ticket.generation = 0;
    if (err == CE_PENDING) {
        exchange_admit(ex, INTERN_NONE);
    } else {
        exchange_fail(ex, err == CE_NO_REPLICA ? err : CE_INTERNAL);
    }
}

void exchange_wait_over(struct exchange *ex)
{
    exchange_release_slot(ex);
    if (ex->engine->worker->now_ms >= last_wait_ms(ex)) {
        exchange_fail(ex, CE_QUEUE_TIMEOUT);
    } else {
        exchange_admit(ex, INTERN_NONE); /* the grace is over: what can be said now? */
    }
}

void exchange_put_back(struct exchange *ex)
{
    struct engine *e = ex->engine;
    uint32_t failed = ex->replica;
    struct ledger_grant grant;
    enum corral_err err = CE_OK;

    ex->replica = INTERN_NONE;
    ex->granted_us = 0; /* of the first grant: what is told is the wait for the next */
    if (!ex->has_slot) {
        exchange_admit(ex, failed);
        exchange_suspect(ex, failed, true);
        return;
    }
    engine_map_ticket(e, ex->ticket, NULL);
    ex->has_slot = false;
    err = ledger_put_back(e->house->ledger, ex->ticket, e->worker->now_ms, &grant);
    exchange_suspect(ex, failed, true); /* after it is lost, so that its return is seen later */
    follow_ledger(ex, err, &grant);
}
