#include "base/clock.h"
#include "exchange/admit.h"
#include "exchange/body.h"
#include "exchange/impl.h"
#include "http/h1_write.h"
#include "ollama/dialect.h"

enum { PUMP_BYTES = 64 * 1024, HEAD_BYTES = 2048 };

/*
 * The head is built from checked parts; no client bytes are copied but the two trace fields, whose
 * form was checked. Never: Authorization, Cookie, Origin, Forwarded, X-*, Accept-Encoding.
 */
static bool write_head(struct exchange *ex)
{
    char room[HEAD_BYTES];
    struct h1_writer w = {.data = room, .capacity = sizeof(room)};

    h1_write(&w, ex->method);
    h1_write_str(&w, " ");
    h1_write(&w, ex->path);
    h1_write_str(&w, " HTTP/1.1\r\n");
    h1_write_field(&w, SLICE_LITERAL("Host"), call_host(ex->call));
    h1_write_field(&w, SLICE_LITERAL("Content-Type"), SLICE_LITERAL("application/json"));
    h1_write_str(&w, "Content-Length: ");
    h1_write_u64(&w, splice_total(ex->body.len, &ex->info));
    h1_write_str(&w, "\r\n");
    h1_write_field(&w, SLICE_LITERAL("Accept"),
                   slice_str(dialect_content_type(ex->route, ex->info.stream)));
    h1_write_field(&w, SLICE_LITERAL("X-Request-Id"), slice_of(ex->request_id, REQUEST_ID_BYTES));
    if (ex->traceparent.len > 0) {
        h1_write_field(&w, SLICE_LITERAL("traceparent"), ex->traceparent);
    }
    if (ex->tracestate.len > 0) {
        h1_write_field(&w, SLICE_LITERAL("tracestate"), ex->tracestate);
    }
    h1_write_str(&w, "\r\n");
    return !w.overflow && call_write(ex->call, slice_of(w.data, w.len)) == CE_OK;
}

/* Write the body as far as the connection should hold of it. False: out of memory. */
static bool pump_body(struct exchange *ex)
{
    struct slice piece;

    while (!ex->body_sent && call_pending(ex->call) < PUMP_BYTES) {
        if (!splice_next(buf_slice(&ex->body), &ex->info, &ex->sent, PUMP_BYTES, &piece)) {
            ex->body_sent = true;
            ex->sent_us = clock_mono_us();
            call_request_done(ex->call);
            if (ex->state == EX_RELAY) {
                exchange_drop_body(ex); /* the replica answered before it had read all */
            }
        } else if (call_write(ex->call, piece) != CE_OK) {
            return false;
        }
    }
    if (!ex->body_sent) {
        call_want_drained(ex->call);
    }
    return true;
}

void exchange_suspect(struct exchange *ex, uint32_t replica, bool unreachable)
{
    worker_mail(
        ex->engine->house->main_worker,
        &(struct mail){.kind = MAIL_SUSPECT, .index = replica, .value = unreachable ? 1 : 0});
}

/*
 * Nothing of the request was sent: it waits again, or goes to another replica at once. The bound is
 * for one that is found reachable again and again and is not.
 */
static bool may_wait_again(const struct exchange *ex)
{
    enum { PUT_BACK_MAX = 16 };

    return ex->state == EX_SENT && ex->put_back < PUT_BACK_MAX;
}

static bool is_unreachable(enum corral_err why)
{
    return why == CE_UPSTREAM_CONNECT || why == CE_UPSTREAM_CONNECT_TIMEOUT ||
           why == CE_UPSTREAM_TLS;
}

/* A retry: the request is sent from its beginning again, on another connection. */
static void rewind_request(struct exchange *ex, enum corral_err why)
{
    ex->body_sent = false;
    ex->sent = (struct splice_pos){0};
    metrics_add(ex->engine->metrics, M_RETRIES, why, 0, 0, 1);
}

void exchange_upstream_failed(struct exchange *ex, enum corral_err why, bool reached)
{
    ex->call = NULL;
    metrics_add(ex->engine->metrics, M_UPSTREAM_FAILURES, ex->replica, why, 0, 1);
    if (!reached && may_wait_again(ex)) {
        ex->put_back++;
        rewind_request(ex, why);
        exchange_put_back(ex);
        return;
    }
    exchange_suspect(ex, ex->replica, is_unreachable(why));
    if (ex->state == EX_SENT) {
        exchange_fail(ex, why);
    } else {
        exchange_upstream_cut(ex, why);
    }
}

/* False: out of memory, the call is gone. */
static bool send_request(struct exchange *ex)
{
    if (write_head(ex) && pump_body(ex)) {
        return true;
    }
    call_drop(ex->call);
    exchange_upstream_failed(ex, CE_NO_MEMORY, true);
    return false;
}

static void start_call(struct exchange *ex, const struct replica *replica, enum call_origin origin)
{
    const struct timeout_settings *t = &ex->snapshot->settings.timeouts;

    exchange_set_state(ex, EX_SENT, (ex->cold ? t->load_s : t->first_byte_s) * 1000);
    ex->call = replica == NULL
                   ? NULL
                   : call_start(ex->engine->pool, replica, origin, &exchange_call_events, ex);
    if (ex->call == NULL) {
        exchange_upstream_failed(ex, CE_UPSTREAM_CONNECT, false);
        return;
    }
    if (call_is_open(ex->call)) {
        send_request(ex);
    }
}

void exchange_dispatch(struct exchange *ex, const struct replica *replica)
{
    ex->replica = replica == NULL ? ex->replica : replica->id;
    metrics_observe(ex->engine->metrics, M_OVERHEAD,
                    clock_mono_us() - (ex->granted_us > 0 ? ex->granted_us : ex->began_us));
    start_call(ex, replica, CALL_KEPT);
}

/* A kept connection was closed before the request arrived: the same replica, on a fresh one. */
static void send_again(struct exchange *ex, enum corral_err why)
{
    ex->call = NULL;
    ex->sent_again = true;
    rewind_request(ex, why);
    start_call(ex, replica_view_find(engine_view(ex->engine), ex->replica), CALL_FRESH);
}

/*
 * Many may wait for their connections at once, and what they wrote now would stay behind as holes
 * in memory: nothing is written before it can go, and then it goes at once.
 */
static void on_call_open(struct call *c)
{
    if (send_request(call_owner(c))) {
        call_flush(c);
    }
}

static void on_call_drained(struct call *c)
{
    struct exchange *ex = call_owner(c);

    if (!ex->body_sent && !pump_body(ex)) {
        call_drop(c);
        exchange_upstream_failed(ex, CE_NO_MEMORY, true);
    }
}

static void on_call_fail(struct call *c, enum corral_err why)
{
    struct exchange *ex = call_owner(c);

    if (ex->state == EX_DRAINING) {
        ex->call = NULL;
        exchange_end(ex);
        return;
    }
    if (ex->state == EX_SENT && call_staleness(c) == CALL_STALE && !ex->sent_again) {
        send_again(ex, CE_UPSTREAM_CLOSED);
        return;
    }
    /* A wrong certificate does not mend itself: who has no other replica hears of it now. */
    bool wrong =
        why == CE_UPSTREAM_TLS && call_fault(c) != NULL && engine_view(ex->engine)->count == 1;

    exchange_upstream_failed(ex, why, wrong || call_sent_anything(c));
}

const struct call_events exchange_call_events = {
    .on_open = on_call_open,
    .on_head = exchange_on_head,
    .on_body = exchange_on_body,
    .on_end = exchange_on_end,
    .on_fail = on_call_fail,
    .on_drained = on_call_drained,
    .on_read_done = exchange_on_read_done,
};
