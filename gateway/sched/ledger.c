#include "sched/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/ledger_impl.h"

struct ledger *ledger_create(ledger_notify *notify, void *arg)
{
    struct ledger *l = xcalloc(1, sizeof(*l));

    pthread_mutex_init(&l->lock, NULL);
    l->notify = notify;
    l->arg = arg;
    l->max_waiting = UINT32_MAX;
    return l;
}

void ledger_destroy(struct ledger *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->model_count; i++) {
        for (size_t f = 0; f < l->models[i].flow_count; f++) {
            free(l->models[i].flows[f]);
        }
        free(l->models[i].flows);
        free(l->models[i].heap);
        free(l->models[i].rows);
    }
    for (size_t i = 0; i < l->tenant_count; i++) {
        free(l->tenants[i]);
    }
    for (size_t i = 0; i < l->slab_count; i++) {
        free(l->slabs[i]);
    }
    pthread_mutex_destroy(&l->lock);
    free(l->models);
    free(l->tenants);
    free(l->replicas);
    free(l->slabs);
    free(l->free_tickets);
    free(l->notes);
    free(l);
}

static uint64_t input_units(uint32_t tokens)
{
    return (uint64_t)tokens * LEDGER_INPUT_WEIGHT;
}

static uint64_t output_units(uint32_t tokens)
{
    return (uint64_t)tokens * LEDGER_OUTPUT_WEIGHT;
}

static void grant(struct ledger *l, struct ticket *k, struct row *r)
{
    struct tenant *t = ledger_tenant(l, k->tenant);
    struct replica *replica = ledger_replica(l, r->replica);

    k->state = TICKET_GRANTED;
    k->replica = r->replica;
    k->cold = !r->loaded;
    k->loading = k->cold && replica->loading == 0;
    replica->loading += k->loading;
    replica->in_flight++;
    r->in_flight++;
    t->running++;
    ledger_flow_charge(l, k->flow, input_units(k->input_tokens));
}

/* The first ticket of the best flow, if some row can take it. */
static bool dispatch_one(struct ledger *l, struct model *m)
{
    struct flow *f = ledger_next_flow(l, m);

    if (f == NULL) {
        return false;
    }
    struct ticket *k = CONTAINER_OF(f->tickets.next, struct ticket, link);
    struct row *r = ledger_choose_row(l, m);

    if (r == NULL) {
        return false;
    }
    ledger_flow_remove(l, k);
    grant(l, k, r);
    ledger_note(l, k);
    return true;
}

static void dispatch(struct ledger *l, uint32_t model)
{
    while (l->models[model].waiting > 0 && dispatch_one(l, &l->models[model])) {
        ;
    }
}

/* The flows that waited for their tenant alone: it may run more again. */
static void unpark(struct ledger *l, struct tenant *t)
{
    LIST_EACH(link, next, &t->flows)
    {
        struct flow *f = CONTAINER_OF(link, struct flow, of_tenant);

        if (t->running < t->settings.max_running && ledger_flow_unpark(l, f)) {
            dispatch(l, f->model);
        }
    }
}

void ledger_set_queue(struct ledger *l, uint32_t max_waiting, uint64_t grace_ms)
{
    pthread_mutex_lock(&l->lock);
    l->max_waiting = max_waiting;
    l->grace_ms = grace_ms;
    pthread_mutex_unlock(&l->lock);
}

void ledger_set_tenant(struct ledger *l, uint32_t tenant, const struct ledger_tenant_settings *s)
{
    pthread_mutex_lock(&l->lock);
    struct tenant *t = ledger_tenant(l, tenant);

    t->settings = *s;
    t->known = true;
    unpark(l, t);
    ledger_unlock_and_notify(l);
}

void ledger_set_replica(struct ledger *l, uint32_t replica, enum ledger_replica_state state,
                        const struct ledger_row *rows, size_t count, uint64_t now_ms)
{
    pthread_mutex_lock(&l->lock);
    ledger_apply_replica(l, replica, state, rows, count, now_ms);
    for (uint32_t i = 0; i < l->model_count; i++) {
        struct model *m = &l->models[i];
        enum corral_err outlook = i == NO_MODEL ? CE_PENDING : ledger_model_outlook(l, m);

        if (outlook == CE_OK) {
            m->given_up = false;
            dispatch(l, i);
        } else if (outlook == CE_MODEL_UNKNOWN) {
            ledger_strand(l, m, CE_PENDING); /* whether it is unknown or late, the caller knows */
        }
    }
    (void)ledger_give_up_models(l, now_ms);
    ledger_unlock_and_notify(l);
}

uint64_t ledger_give_up(struct ledger *l, uint64_t now_ms)
{
    pthread_mutex_lock(&l->lock);
    uint64_t next = ledger_give_up_models(l, now_ms);

    ledger_unlock_and_notify(l);
    return next;
}

void ledger_wake(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    ledger_strand(l, ledger_model(l, NO_MODEL), CE_PENDING);
    ledger_unlock_and_notify(l);
}

static struct ticket *push_new(struct ledger *l, const struct ledger_request *request)
{
    struct ticket *k = ledger_new_ticket(l);

    k->worker = (uint16_t)request->worker;
    k->model = request->model;
    k->tenant = request->tenant;
    k->flow = ledger_flow(l, request->model, request->tenant);
    k->input_tokens = request->input_tokens;
    k->state = TICKET_WAITING;
    ledger_flow_push(l, k->flow, k, FLOW_BACK);
    return k;
}

/* A ticket that waits may be one too many. */
static enum corral_err hold_against_bounds(struct ledger *l, struct ticket *k)
{
    const struct tenant *t = ledger_tenant(l, k->tenant);
    enum corral_err err = t->waiting > t->settings.max_waiting ? CE_QUEUE_TENANT_FULL
                          : l->waiting > l->max_waiting        ? CE_QUEUE_FULL
                                                               : CE_PENDING;

    if (err != CE_PENDING) {
        ledger_flow_remove(l, k);
        ledger_free_ticket(l, k);
    }
    return err;
}

/* Granted before its caller has left the ledger: taken on the spot, nobody needs telling. */
static enum corral_err take_at_once(struct ledger *l, struct ticket *k,
                                    struct ledger_grant *out_grant)
{
    ledger_forget_note(l, (struct ticket_ref){k->index, k->generation});
    k->state = TICKET_TAKEN;
    *out_grant = (struct ledger_grant){k->replica, k->cold};
    return CE_OK;
}

static enum corral_err enter(struct ledger *l, const struct ledger_request *request,
                             struct ticket_ref *out, struct ledger_grant *out_grant)
{
    enum corral_err outlook = ledger_model_outlook(l, ledger_model(l, request->model));

    if (outlook != CE_OK && outlook != CE_PENDING) {
        return outlook;
    }
    struct ticket *k = push_new(l, request);

    dispatch(l, request->model);
    *out = (struct ticket_ref){k->index, k->generation};
    return k->state == TICKET_GRANTED ? take_at_once(l, k, out_grant) : hold_against_bounds(l, k);
}

enum corral_err ledger_wait(struct ledger *l, unsigned worker, uint32_t tenant,
                            struct ticket_ref *out)
{
    const struct ledger_request request = {.worker = worker, .tenant = tenant, .model = NO_MODEL};

    pthread_mutex_lock(&l->lock);
    struct ticket *k = push_new(l, &request);

    *out = (struct ticket_ref){k->index, k->generation};
    enum corral_err err = hold_against_bounds(l, k);

    pthread_mutex_unlock(&l->lock);
    return err;
}

enum corral_err ledger_enter(struct ledger *l, const struct ledger_request *request,
                             struct ticket_ref *out, struct ledger_grant *out_grant)
{
    pthread_mutex_lock(&l->lock);
    enum corral_err err = enter(l, request, out, out_grant);

    ledger_unlock_and_notify(l);
    return err;
}

enum corral_err ledger_take(struct ledger *l, struct ticket_ref ref, struct ledger_grant *out_grant)
{
    enum corral_err err = CE_NOT_FOUND;

    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_GRANTED) {
        k->state = TICKET_TAKEN;
        *out_grant = (struct ledger_grant){k->replica, k->cold};
        err = CE_OK;
    } else if (k != NULL && k->state == TICKET_STRANDED) {
        err = (enum corral_err)k->stranded;
        ledger_free_ticket(l, k);
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

static void end_load(struct ledger *l, struct ticket *k)
{
    if (k->loading) {
        k->loading = false;
        ledger_replica(l, k->replica)->loading--;
    }
}

/* Take the slot from a granted or taken ticket. */
static void take_slot_back(struct ledger *l, struct ticket *k)
{
    struct tenant *t = ledger_tenant(l, k->tenant);
    struct row *r = ledger_find_row(ledger_model(l, k->model), k->replica);

    assert(r != NULL && r->in_flight > 0 && t->running > 0);
    end_load(l, k);
    r->in_flight--;
    r->draining -= k->draining;
    ledger_replica(l, k->replica)->in_flight--;
    t->running--;
    ledger_forget_rows(ledger_model(l, k->model));
}

/* A tenant has one slot less: let the next ones in. */
static void dispatch_freed(struct ledger *l, struct tenant *t, uint32_t model, bool was_loading)
{
    unpark(l, t);
    dispatch(l, model);
    for (uint32_t i = 0; was_loading && i < l->model_count; i++) {
        dispatch(l, i);
    }
}

static void give_back(struct ledger *l, struct ticket *k)
{
    struct tenant *t = ledger_tenant(l, k->tenant);
    uint32_t model = k->model;
    bool was_loading = k->loading;

    take_slot_back(l, k);
    ledger_free_ticket(l, k);
    dispatch_freed(l, t, model, was_loading);
}

static enum corral_err put_back(struct ledger *l, struct ticket *k, uint64_t now_ms,
                                struct ledger_grant *out_grant)
{
    bool was_loading = k->loading;
    struct ticket_ref ref = {k->index, k->generation};

    take_slot_back(l, k);
    ledger_flow_refund(l, k->flow, input_units(k->input_tokens));
    ledger_lose_replica(ledger_replica(l, k->replica), now_ms);
    k->state = TICKET_WAITING;
    ledger_flow_push(l, k->flow, k, FLOW_FRONT);
    dispatch_freed(l, ledger_tenant(l, k->tenant), k->model, was_loading);
    (void)ledger_give_up_models(l, now_ms);
    enum corral_err outlook = ledger_model_outlook(l, ledger_model(l, k->model));

    if (k->state == TICKET_GRANTED) {
        return take_at_once(l, k, out_grant);
    }
    if (outlook == CE_OK || outlook == CE_PENDING) {
        return CE_PENDING;
    }
    if (k->state == TICKET_WAITING) {
        ledger_flow_remove(l, k);
    }
    ledger_forget_note(l, ref);
    ledger_free_ticket(l, k);
    return outlook;
}

enum corral_err ledger_put_back(struct ledger *l, struct ticket_ref ref, uint64_t now_ms,
                                struct ledger_grant *out_grant)
{
    enum corral_err err = CE_NO_REPLICA;

    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_TAKEN) {
        err = put_back(l, k, now_ms, out_grant);
    }
    ledger_unlock_and_notify(l);
    return err;
}

void ledger_cancel(struct ledger *l, struct ticket_ref ref)
{
    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_WAITING) {
        uint32_t model = k->model;

        ledger_flow_remove(l, k);
        ledger_free_ticket(l, k);
        dispatch(l, model); /* it may have stood in the way of others */
    } else if (k != NULL && k->state == TICKET_STRANDED) {
        ledger_free_ticket(l, k);
    } else if (k != NULL) {
        if (k->state == TICKET_GRANTED) {
            ledger_flow_refund(l, k->flow, input_units(k->input_tokens));
        }
        give_back(l, k);
    }
    ledger_unlock_and_notify(l);
}

void ledger_first_byte(struct ledger *l, struct ticket_ref ref)
{
    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_TAKEN && k->cold) {
        struct row *r = ledger_find_row(ledger_model(l, k->model), k->replica);

        k->cold = false;
        r->loaded = true; /* the next poll may say otherwise */
        end_load(l, k);
        for (uint32_t i = 0; i < l->model_count; i++) {
            dispatch(l, i);
        }
    }
    ledger_unlock_and_notify(l);
}

void ledger_drain(struct ledger *l, struct ticket_ref ref)
{
    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_TAKEN && !k->draining) {
        k->draining = true;
        ledger_find_row(ledger_model(l, k->model), k->replica)->draining++;
    }
    pthread_mutex_unlock(&l->lock);
}

void ledger_charge(struct ledger *l, struct ticket_ref ref, uint32_t output_tokens)
{
    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_TAKEN) {
        k->charged_output += output_tokens;
        ledger_flow_charge(l, k->flow, output_units(output_tokens));
    }
    pthread_mutex_unlock(&l->lock);
}

static void settle(struct ledger *l, struct flow *f, uint64_t charged, uint64_t true_units)
{
    if (true_units >= charged) {
        ledger_flow_charge(l, f, true_units - charged);
    } else {
        ledger_flow_refund(l, f, charged - true_units);
    }
}

void ledger_release(struct ledger *l, struct ticket_ref ref, uint32_t input_tokens,
                    uint32_t output_tokens)
{
    pthread_mutex_lock(&l->lock);
    struct ticket *k = ledger_find_ticket(l, ref);

    if (k != NULL && k->state == TICKET_TAKEN) {
        if (input_tokens != UINT32_MAX) {
            settle(l, k->flow, input_units(k->input_tokens), input_units(input_tokens));
        }
        if (output_tokens != UINT32_MAX) {
            settle(l, k->flow, output_units(k->charged_output), output_units(output_tokens));
        }
        give_back(l, k);
    }
    ledger_unlock_and_notify(l);
}
