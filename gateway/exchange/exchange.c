#include "exchange/exchange.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "exchange/admit.h"
#include "exchange/body.h"
#include "exchange/impl.h"
#include "exchange/limits.h"

static const uint16_t legal_next[EX_STATE_COUNT] = {
    [EX_START] = 1u << EX_BODY | 1u << EX_ANSWERED | 1u << EX_SENT | 1u << EX_DONE,
    [EX_BODY] = 1u << EX_QUEUED | 1u << EX_SENT | 1u << EX_ANSWERED | 1u << EX_DONE,
    [EX_QUEUED] = 1u << EX_QUEUED | 1u << EX_SENT | 1u << EX_ANSWERED | 1u << EX_DONE,
    [EX_SENT] = 1u << EX_QUEUED | 1u << EX_SENT | 1u << EX_RELAY | 1u << EX_ANSWERED |
                1u << EX_DRAINING | 1u << EX_DONE,
    [EX_RELAY] = 1u << EX_DONE,
    [EX_ANSWERED] = 1u << EX_DONE,
    [EX_DRAINING] = 1u << EX_DONE,
};

void exchange_set_state(struct exchange *ex, enum ex_state next, uint64_t timeout_ms)
{
    struct worker *w = ex->engine->worker;

    assert((legal_next[ex->state] & 1u << next) != 0);
    ex->state = next;
    if (timeout_ms == 0) {
        deadline_cancel(&ex->deadline);
    } else {
        deadline_set(&w->wheel, &ex->deadline, w->now_ms, timeout_ms);
    }
}

static void destroy_reaped(struct reapable *r)
{
    struct exchange *ex = CONTAINER_OF(r, struct exchange, reapable);

    stream_finish(&ex->stream);
    snapshot_unref(ex->snapshot);
    arena_finish(&ex->arena);
    if (ex->engine->spare_room > 0) {
        ex->engine->spare_room--;
        list_push_front(&ex->engine->spares, &ex->of_engine);
    } else {
        free(ex);
    }
}

/* Too large for what malloc keeps at hand. `room` is the arena's, which clears what it gives. */
static struct exchange *take_spare(struct engine *e)
{
    struct list *link = list_pop_front(&e->spares);
    struct exchange *ex;

    if (link != NULL) {
        e->spare_room++;
        ex = CONTAINER_OF(link, struct exchange, of_engine);
    } else {
        ex = xrealloc(NULL, sizeof(*ex));
    }
    return memset(ex, 0, offsetof(struct exchange, room));
}

static uint32_t as_count(bool known, uint64_t count)
{
    return !known ? UINT32_MAX : count >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)count;
}

void exchange_release_slot(struct exchange *ex)
{
    struct ledger *ledger = ex->engine->house->ledger;

    if (ex->ticket.generation == 0) {
        return;
    }
    engine_map_ticket(ex->engine, ex->ticket, NULL);
    if (ex->has_slot) {
        exchange_charge(ex, true);
        ledger_release(ledger, ex->ticket,
                       as_count(stream_told_prompt(&ex->stream), ex->stream.prompt_tokens),
                       as_count(stream_told_output(&ex->stream), ex->stream.output_tokens));
    } else {
        ledger_cancel(ledger, ex->ticket);
    }
    ex->ticket.generation = 0;
    ex->has_slot = false;
}

static void give_back_hold(struct exchange *ex)
{
    if (ex->held) {
        ex->held = false;
        body_budget_give(&ex->engine->house->answers, ex->principal.tenant->id, ANSWER_HELD_BYTES);
    }
}

void exchange_end(struct exchange *ex)
{
    struct engine *e = ex->engine;

    if (ex->state == EX_DONE) {
        return;
    }
    exchange_account(ex);
    exchange_set_state(ex, EX_DONE, 0);
    call_drop(ex->call);
    ex->call = NULL;
    exchange_release_slot(ex);
    exchange_settle(ex);
    exchange_drop_body(ex);
    give_back_hold(ex);
    list_unlink(&ex->of_engine);
    e->exchange_count--;
    worker_reap(e->worker, &ex->reapable, destroy_reaped);
}

void exchange_finish(struct exchange *ex)
{
    if (ex->has_client) {
        ex->has_client = false;
        ex->client.ops->finish(ex->client.client);
    }
    exchange_end(ex);
}

void exchange_cut(struct exchange *ex, enum corral_err why)
{
    ex->reason = why;
    if (ex->has_client) {
        ex->has_client = false;
        ex->client.ops->cut(ex->client.client);
    }
    exchange_end(ex);
}

static void on_deadline(struct deadline *d)
{
    struct exchange *ex = CONTAINER_OF(d, struct exchange, deadline);

    switch (ex->state) {
    case EX_BODY:
        exchange_fail(ex, CE_BODY_TIMEOUT);
        break;
    case EX_QUEUED:
        exchange_wait_over(ex);
        break;
    case EX_SENT:
        call_drop(ex->call);
        exchange_upstream_failed(ex, ex->cold ? CE_UPSTREAM_LOAD : CE_UPSTREAM_FIRST_BYTE, true);
        break;
    case EX_RELAY:
        call_drop(ex->call);
        exchange_upstream_failed(ex, CE_UPSTREAM_SILENCE, true);
        break;
    case EX_DRAINING:
    case EX_START:
    case EX_ANSWERED:
    case EX_DONE:
    case EX_STATE_COUNT:
        exchange_end(ex);
        break;
    }
}

static struct exchange *create(struct engine *e, const struct client_info *client)
{
    struct exchange *ex = take_spare(e);

    arena_begin(&ex->arena, ex->room, sizeof(ex->room));
    ex->engine = e;
    ex->client = *client;
    ex->has_client = true;
    ex->snapshot = snapshot_ref(e->snapshot);
    ex->body = buf_make(ex->snapshot->settings.limits.body_bytes);
    ex->model = INTERN_NONE;
    ex->replica = INTERN_NONE;
    ex->began_us = e->worker->now_us; /* when its head could be read */
    deadline_init(&ex->deadline, on_deadline);
    list_init(&ex->reapable.link);
    list_push_back(&e->exchanges, &ex->of_engine);
    e->exchange_count++;
    engine_request_id(e, ex->request_id);
    return ex;
}

struct exchange *exchange_begin(struct engine *e, const struct client_info *client,
                                const struct http_request *request)
{
    struct exchange *ex = create(e, client);

    ex->method = arena_copy(&ex->arena, request->method);
    ex->path = arena_copy(&ex->arena, request->path);
    exchange_route(ex, request);
    ex->client.certificate = NULL; /* the front's; it may go before us */
    return ex;
}

void exchange_refuse(struct engine *e, const struct client_info *client, struct slice path,
                     struct slice field, enum corral_err why)
{
    struct exchange *ex = create(e, client);

    ex->path = arena_copy(&ex->arena, path);
    ex->field = arena_copy(&ex->arena, field);
    if (why == CE_METHOD_NOT_ALLOWED) {
        exchange_fail_detail(ex, why, SLICE_LITERAL("GET, HEAD, POST, DELETE"));
        return;
    }
    exchange_fail_detail(ex, why, ex->field);
}

bool exchange_client_blocked(struct exchange *ex)
{
    if (ex->state != EX_RELAY || ex->call == NULL) {
        return true;
    }
    call_pause(ex->call);
    deadline_cancel(&ex->deadline); /* silence is ours now; the front watches the client */
    if (!ex->held) {
        ex->held = answer_budget_take(&ex->engine->house->answers, ex->principal.tenant->id,
                                      &ex->snapshot->settings.limits);
    }
    return ex->held;
}

void exchange_client_drained(struct exchange *ex)
{
    struct worker *w = ex->engine->worker;

    give_back_hold(ex);
    if (ex->state == EX_RELAY && ex->call != NULL) {
        deadline_set(&w->wheel, &ex->deadline, w->now_ms,
                     ex->snapshot->settings.timeouts.stream_silence_s * 1000);
        call_resume(ex->call);
    }
}

/*
 * CONTRACTS "Clients that leave": a request that Ollama got a moment ago must not be closed before
 * its first byte or the end of a grace, or Ollama leaks a descriptor for ever.
 */
static uint64_t drain_time_ms(const struct exchange *ex)
{
    const struct timeout_settings *t = &ex->snapshot->settings.timeouts;
    uint64_t since_ms = (clock_mono_us() - ex->sent_us) / 1000;

    if (ex->call == NULL || !ex->body_sent || !call_sent_anything(ex->call)) {
        return 0;
    }
    if (ex->cold) {
        return since_ms < t->load_s * 1000 ? t->load_s * 1000 - since_ms : 0;
    }
    return since_ms < t->cancel_grace_ms ? t->cancel_grace_ms - since_ms : 0;
}

void exchange_client_gone(struct exchange *ex, enum corral_err why)
{
    ex->has_client = false;
    if (ex->state == EX_RELAY && ex->stream.complete) {
        exchange_end(ex); /* a client that closes after its last event has finished */
        return;
    }
    ex->reason = why;
    exchange_count_cancel(ex, ex->state);
    uint64_t drain_ms = ex->state == EX_SENT ? drain_time_ms(ex) : 0;

    if (ex->state == EX_SENT && ex->body_sent) {
        exchange_meter(ex, true, 0); /* the replica works on the prompt already */
    }

    if (drain_ms == 0) {
        exchange_end(ex);
        return;
    }
    exchange_settle(ex);
    exchange_drop_body(ex);
    if (ex->has_slot) {
        ledger_drain(ex->engine->house->ledger, ex->ticket);
    }
    exchange_set_state(ex, EX_DRAINING, drain_ms);
}

void exchange_abort_all(struct engine *e)
{
    LIST_EACH(link, next, &e->exchanges)
    {
        struct exchange *ex = CONTAINER_OF(link, struct exchange, of_engine);

        if (ex->has_client && ex->state == EX_RELAY) {
            exchange_upstream_cut(ex, CE_SHUTDOWN);
        } else if (ex->has_client) {
            call_drop(ex->call);
            ex->call = NULL;
            exchange_fail(ex, CE_SHUTDOWN);
        } else {
            exchange_end(ex);
        }
    }
}
