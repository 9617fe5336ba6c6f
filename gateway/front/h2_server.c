#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "front/impl.h"
#include "http/h1_write.h"
#include "http/h2.h"

enum {
    OUT_MAX_BYTES = 64 * 1024, /* frames that the kernel has not taken; above it none are made */
    TICK_MS = 500,
    STALL_PROGRESS_BYTES = 16 * 1024, /* within timeouts.write_stall_s, or all there is */
    LINGER_MS = 1000,                 /* for the rest of a request that is answered already ... */
    LINGER_BYTES = 64 * 1024,         /* ... and how much of it is read */
};

/** What the deadline is set for. */
enum h2_alarm { ALARM_NONE, ALARM_TICK, ALARM_IDLE };

/** Who takes too little: a stream, or the whole connection. */
struct stall {
    uint64_t since_ms; /* 0: takes all there is */
    uint64_t bytes;    /* taken when the clock was set */
};

struct h2_server {
    struct reapable reapable;
    struct server *server;      /* borrowed; ends with us */
    struct front *front;        /* borrowed */
    struct conn *conn;          /* borrowed: the server's */
    struct h2_session *session; /* owned */
    struct list requests;       /* h2_request.of_server */
    struct list waiting;        /* h2_request.of_waiting: bytes of answers that no frame took yet */
    struct list drained;        /* h2_request.of_waiting: was blocked, all is taken */
    struct list lingering;      /* h2_request.of_waiting: answered, the request still comes */
    struct deadline deadline;
    enum h2_alarm alarm;
    struct stall stall;
    uint64_t began_ms;
    uint64_t head_since_ms; /* 0: no head is on its way */
    uint64_t refuse_at_ms;  /* 0: not draining */
    enum corral_err fault;  /* why it ends; told already */
    bool told_worn_out;
    bool write_failed;
};

struct h2_request {
    struct h2_stream stream; /* first: the session's view of us */
    struct reapable reapable;
    struct h2_server *server;
    struct exchange *exchange; /* borrowed; NULL: none any more */
    struct list of_server;
    struct list of_waiting;
    struct block *out; /* owned; body bytes for frames to come */
    uint64_t taken_bytes;
    struct stall stall;
    uint64_t linger_until_ms;
    size_t lingered_bytes;
    bool wants_body;
    bool expect_continue;
    bool is_head;
    bool ended;   /* finish was called: what is in `out` is the last */
    bool cut;     /* reset when `out` is empty */
    bool blocked; /* the exchange was told to wait */
};

static const struct client_ops client_ops;

static const struct settings *settings(const struct h2_server *h)
{
    return &h->front->engine->snapshot->settings;
}

static struct h2_request *request_of(struct h2_stream *st)
{
    return CONTAINER_OF(st, struct h2_request, stream);
}

static uint64_t now_ms(const struct h2_server *h)
{
    return h->front->engine->worker->now_ms;
}

/* ---- the one deadline ---- */

static void arm(struct h2_server *h, enum h2_alarm alarm, uint64_t timeout_ms)
{
    if (h->alarm != alarm) {
        h->alarm = alarm;
        deadline_set(&h->front->engine->worker->wheel, &h->deadline, now_ms(h), timeout_ms);
    }
}

static void rearm(struct h2_server *h)
{
    bool in_head = h2_session_in_head(h->session);

    h->head_since_ms = !in_head ? 0 : h->head_since_ms == 0 ? now_ms(h) : h->head_since_ms;
    if (in_head || !h2_session_is_settled(h->session) || !list_empty(&h->waiting) ||
        !list_empty(&h->lingering) || h->stall.since_ms != 0 || h->refuse_at_ms != 0) {
        arm(h, ALARM_TICK, TICK_MS);
    } else if (list_empty(&h->requests)) {
        arm(h, ALARM_IDLE, settings(h)->timeouts.idle_s * 1000);
    } else if (h->alarm != ALARM_NONE) {
        h->alarm = ALARM_NONE;
        deadline_cancel(&h->deadline);
    }
}

/* ---- the end ---- */

static void tell(struct h2_server *h, enum corral_err why)
{
    char peer[NET_ADDRESS_TEXT_BYTES];
    struct log_line line;

    metrics_add(h->front->engine->metrics, M_H2_ENDED, why, 0, 0, 1);
    net_address_format_host(&h->server->peer, peer);
    log_begin(&line, h->front->engine->log, LOG_INFO, "http2.ended");
    log_str(&line, "client", peer);
    log_str(&line, "reason", err_reason(why));
    log_end(&line);
}

static void look_at_age(struct h2_server *h)
{
    enum corral_err why = h2_session_worn_out(h->session);

    if (why != CE_OK && !h->told_worn_out) {
        h->told_worn_out = true;
        tell(h, why);
    }
}

static void forget_waiting(struct h2_request *r)
{
    list_unlink(&r->of_waiting);
    block_release(&r->server->conn->worker->blocks, &r->out);
}

/* Its upstream work ends at once, whatever the connection still has to say. */
static void leave(struct h2_request *r, enum corral_err why)
{
    struct exchange *ex = r->exchange;

    r->exchange = NULL;
    forget_waiting(r);
    if (ex != NULL) {
        exchange_client_gone(ex, why);
    }
}

/* The session has failed: its GOAWAY is on the way, its streams are worth nothing. */
static void fail(struct h2_server *h, enum corral_err why)
{
    if (h->fault != CE_OK) {
        return;
    }
    h->fault = why;
    tell(h, why);
    LIST_EACH(link, next, &h->requests)
    {
        leave(CONTAINER_OF(link, struct h2_request, of_server), CE_CLIENT_GONE);
    }
    conn_want_flush(h->conn);
}

static void end_for(struct h2_server *h, enum corral_err why)
{
    h2_session_fail(h->session, why);
    fail(h, why);
}

/* Progress floor: what the peer takes is measured, not whether it takes something now and then. */
static bool has_stalled(struct h2_server *h, struct stall *s, uint64_t bytes)
{
    if (s->since_ms == 0 || now_ms(h) - s->since_ms < settings(h)->timeouts.write_stall_s * 1000) {
        return false;
    }
    bool moved = bytes - s->bytes >= STALL_PROGRESS_BYTES;

    *s = (struct stall){now_ms(h), bytes};
    return !moved;
}

static void reset_stalled(struct h2_server *h)
{
    LIST_EACH(link, next, &h->waiting)
    {
        struct h2_request *r = CONTAINER_OF(link, struct h2_request, of_waiting);

        if (has_stalled(h, &r->stall, r->taken_bytes)) {
            leave(r, CE_CLIENT_STALLED);
            h2_stream_reset(h->session, &r->stream, CE_CLIENT_STALLED);
            conn_want_flush(h->conn);
        }
    }
}

static void end_lingering(struct h2_request *r)
{
    list_unlink(&r->of_waiting);
    h2_stream_reset(r->server->session, &r->stream, CE_OK);
    conn_want_flush(r->server->conn);
}

static void reset_lingering(struct h2_server *h)
{
    LIST_EACH(link, next, &h->lingering)
    {
        struct h2_request *r = CONTAINER_OF(link, struct h2_request, of_waiting);

        if (now_ms(h) >= r->linger_until_ms) {
            end_lingering(r);
        }
    }
}

static void on_tick(struct h2_server *h)
{
    const struct settings *s = settings(h);

    if (has_stalled(h, &h->stall, h->conn->bytes_out)) {
        conn_close(h->conn, CE_CLIENT_STALLED);
        return;
    }
    if (!h2_session_is_settled(h->session) &&
        now_ms(h) - h->began_ms >= (uint64_t)s->http2.settings_ack_s * 1000) {
        end_for(h, h2_session_has_preface(h->session) ? CE_H2_SETTINGS_TIMEOUT
                                                      : CE_H2_PREFACE_TIMEOUT);
    } else if (h->head_since_ms != 0 && now_ms(h) - h->head_since_ms >= s->timeouts.head_s * 1000) {
        end_for(h, CE_HEAD_TIMEOUT);
    }
    reset_stalled(h);
    reset_lingering(h);
    if (h->refuse_at_ms != 0 && now_ms(h) >= h->refuse_at_ms) {
        h2_session_refuse_new(h->session);
        conn_want_flush(h->conn);
    }
    rearm(h);
}

static void on_deadline(struct deadline *d)
{
    struct h2_server *h = CONTAINER_OF(d, struct h2_server, deadline);
    enum h2_alarm alarm = h->alarm;

    h->alarm = ALARM_NONE;
    if (alarm == ALARM_IDLE) {
        h2_session_refuse_new(h->session);
        conn_want_flush(h->conn);
    } else {
        on_tick(h);
    }
}

/* ---- what the session tells ---- */

static struct h2_stream *create_request(void *owner)
{
    struct h2_server *h = owner;
    struct h2_request *r = xcalloc(1, sizeof(*r));

    r->server = h;
    list_init(&r->reapable.link);
    list_init(&r->of_waiting);
    list_push_back(&h->requests, &r->of_server);
    return &r->stream;
}

static void destroy_request(struct reapable *reapable)
{
    free(CONTAINER_OF(reapable, struct h2_request, reapable));
}

static void end_request(struct h2_request *r, enum corral_err why)
{
    leave(r, why);
    list_unlink(&r->of_server);
    worker_reap(r->server->conn->worker, &r->reapable, destroy_request);
}

static void on_gone(void *owner, struct h2_stream *st)
{
    end_request(request_of(st), CE_CLIENT_GONE);
}

static void on_request(void *owner, struct h2_stream *st, const struct http_request *request)
{
    struct h2_server *h = owner;
    struct h2_request *r = request_of(st);
    struct client_info info = server_client(h->server, &client_ops, r);

    r->is_head = slice_eq_str(request->method, "HEAD");
    r->expect_continue = request->expect_continue;
    if (server_is_stale(h->server)) {
        h2_session_refuse_new(h->session);
    }
    struct exchange *ex = exchange_begin(h->front->engine, &info, request);

    if (!r->ended && !r->cut && !st->reset_by_us) {
        r->exchange = ex;
    }
}

static void on_refused(void *owner, struct h2_stream *st, enum corral_err why)
{
    struct h2_server *h = owner;
    struct client_info info = server_client(h->server, &client_ops, request_of(st));

    exchange_refuse(h->front->engine, &info, why);
}

static void on_malformed(void *owner, enum corral_err why)
{
    struct h2_server *h = owner;

    metrics_add(h->front->engine->metrics, M_H2_MALFORMED, 0, 0, 0, 1);
}

static void on_body(void *owner, struct h2_stream *st, struct slice bytes)
{
    struct h2_request *r = request_of(st);

    if (r->exchange != NULL && r->wants_body) {
        exchange_body(r->exchange, bytes);
    } else if (r->linger_until_ms != 0) {
        r->lingered_bytes += bytes.len;
        if (r->lingered_bytes > LINGER_BYTES) {
            end_lingering(r);
        }
    }
}

static void on_body_end(void *owner, struct h2_stream *st)
{
    struct h2_request *r = request_of(st);

    if (r->exchange != NULL && r->wants_body) {
        exchange_body_end(r->exchange);
    }
}

/* Most clients have sent the rest already: a reset would look like an error to some. */
static void on_early_answer(void *owner, struct h2_stream *st)
{
    struct h2_server *h = owner;
    struct h2_request *r = request_of(st);

    r->linger_until_ms = now_ms(h) + LINGER_MS;
    list_push_back(&h->lingering, &r->of_waiting);
}

static struct slice peek(struct h2_stream *st, bool *out_last)
{
    struct h2_request *r = request_of(st);

    *out_last = r->ended;
    return block_slice(r->out);
}

static void taken(void *owner, struct h2_stream *st, size_t len)
{
    struct h2_server *h = owner;
    struct h2_request *r = request_of(st);

    block_consume(&h->conn->worker->blocks, &r->out, len);
    r->taken_bytes += len;
    if (r->out != NULL) {
        return;
    }
    list_unlink(&r->of_waiting);
    r->stall.since_ms = 0;
    if (r->cut) {
        h2_stream_reset(h->session, st, CE_UPSTREAM_CUT);
    } else if (r->blocked) {
        list_push_back(&h->drained, &r->of_waiting);
    }
}

static const struct h2_events session_events = {
    .create = create_request,
    .on_gone = on_gone,
    .on_request = on_request,
    .on_refused = on_refused,
    .on_malformed = on_malformed,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_early_answer = on_early_answer,
    .peek = peek,
    .taken = taken,
};

/* ---- what the connection tells ---- */

static size_t on_client_data(struct conn *c, struct slice bytes)
{
    struct h2_server *h = c->owner;
    enum corral_err err = h2_session_receive(h->session, bytes, now_ms(h));

    if (err != CE_OK) {
        fail(h, err);
    }
    look_at_age(h);
    rearm(h);
    if (h2_session_has_output(h->session) || h2_session_is_over(h->session)) {
        conn_want_flush(c);
    }
    return bytes.len;
}

static bool sink_room(void *arg)
{
    return conn_pending(arg) < OUT_MAX_BYTES;
}

static void sink_write(void *arg, struct slice bytes)
{
    struct conn *c = arg;

    if (conn_write(c, bytes) != CE_OK) {
        ((struct h2_server *)c->owner)->write_failed = true;
    }
}

/* What is left had no window, or no room in the socket: whoever makes more of it waits. */
static void block_waiting(struct h2_server *h)
{
    LIST_EACH(link, next, &h->waiting)
    {
        struct h2_request *r = CONTAINER_OF(link, struct h2_request, of_waiting);

        if (r->stall.since_ms == 0) {
            r->stall = (struct stall){now_ms(h), r->taken_bytes};
        }
        if (!r->blocked && r->exchange != NULL) {
            r->blocked = true;
            exchange_client_blocked(r->exchange);
        }
    }
}

static bool unblock_drained(struct h2_server *h)
{
    struct list *link;
    bool any = false;

    while ((link = list_pop_front(&h->drained)) != NULL) {
        struct h2_request *r = CONTAINER_OF(link, struct h2_request, of_waiting);

        r->blocked = false;
        if (r->exchange != NULL) {
            any = true;
            exchange_client_drained(r->exchange);
        }
    }
    return any;
}

/* Everything that came in this turn leaves in one go: frames of all streams, one send. */
static void on_client_flush(struct conn *c)
{
    struct h2_server *h = c->owner;
    const struct h2_sink sink = {c, sink_room, sink_write};

    enum corral_err err = h2_session_send(h->session, sink);
    if (err == CE_OK && unblock_drained(h)) {
        err = h2_session_send(h->session, sink);
    }
    if (err != CE_OK) {
        fail(h, err);
    }
    look_at_age(h);
    block_waiting(h);
    if (h->write_failed || h2_session_is_over(h->session)) {
        conn_finish(c);
        return;
    }
    if (h2_session_has_output(h->session) && !sink_room(c)) {
        conn_want_drained(c);
    }
    rearm(h);
}

static void on_client_blocked(struct conn *c)
{
    struct h2_server *h = c->owner;

    if (h->stall.since_ms == 0) {
        h->stall = (struct stall){now_ms(h), c->bytes_out};
        rearm(h);
    }
}

static void on_client_drained(struct conn *c)
{
    struct h2_server *h = c->owner;

    h->stall.since_ms = 0;
    conn_want_flush(c);
}

static void destroy_reaped(struct reapable *r)
{
    free(CONTAINER_OF(r, struct h2_server, reapable));
}

static void on_client_closed(struct conn *c, enum corral_err why)
{
    struct h2_server *h = c->owner;

    LIST_EACH(link, next, &h->requests)
    {
        end_request(CONTAINER_OF(link, struct h2_request, of_server),
                    why == CE_CLIENT_STALLED ? why : CE_CLIENT_GONE);
    }
    h2_session_destroy(h->session);
    h->session = NULL;
    deadline_cancel(&h->deadline);
    server_end(h->server, why);
    worker_reap(c->worker, &h->reapable, destroy_reaped);
}

static const struct conn_events server_events = {
    .on_data = on_client_data,
    .on_eof = server_on_eof,
    .on_flush = on_client_flush,
    .on_blocked = on_client_blocked,
    .on_drained = on_client_drained,
    .on_closed = on_client_closed,
};

/* ---- what the exchange asks of us ---- */

static void client_want_body(void *client)
{
    struct h2_request *r = client;

    r->wants_body = true;
    if (r->expect_continue && !r->stream.request_ended) {
        h2_stream_continue(r->server->session, &r->stream);
        conn_want_flush(r->server->conn);
    }
}

static void client_respond(void *client, const struct answer *a)
{
    struct h2_request *r = client;
    struct h2_server *h = r->server;
    struct h2_field f[ANSWER_MAX_FIELDS + 4];
    char digits[20];
    struct h1_writer length = {.data = digits, .capacity = sizeof(digits)};
    size_t n = 0;

    f[n++] = (struct h2_field){SLICE_LITERAL("date"), worker_date(h->conn->worker), true};
    if (a->content_type.len > 0) {
        f[n++] = (struct h2_field){SLICE_LITERAL("content-type"), a->content_type, true};
    }
    if (a->cache_control.len > 0) {
        f[n++] = (struct h2_field){SLICE_LITERAL("cache-control"), a->cache_control, true};
    }
    for (size_t i = 0; i < a->field_count; i++) {
        f[n++] = (struct h2_field){slice_str(a->fields[i].name), a->fields[i].value, false};
    }
    if (a->framing == HTTP_LENGTH) {
        h1_write_u64(&length, a->length);
        f[n++] = (struct h2_field){SLICE_LITERAL("content-length"),
                                   slice_of(length.data, length.len), false};
    }
    bool body =
        !r->is_head && (a->framing == HTTP_CHUNKED || (a->framing == HTTP_LENGTH && a->length > 0));

    h2_stream_respond(h->session, &r->stream, a->status, f, n, body);
    conn_want_flush(h->conn);
}

static enum corral_err client_write(void *client, struct slice bytes)
{
    struct h2_request *r = client;
    struct h2_server *h = r->server;

    if (!r->stream.has_body || bytes.len == 0) {
        return CE_OK;
    }
    if (r->out == NULL) {
        list_unlink(&r->of_waiting); /* of drained */
        list_push_back(&h->waiting, &r->of_waiting);
        h2_stream_wake(h->session, &r->stream);
        conn_want_flush(h->conn);
    }
    return block_append(&h->conn->worker->blocks, &r->out, bytes);
}

/* At the end of the turn: what other streams of this connection have then goes in the same send. */
static void client_flush(void *client)
{
}

static void client_finish(void *client)
{
    struct h2_request *r = client;

    r->exchange = NULL;
    r->ended = true;
    h2_stream_wake(r->server->session, &r->stream);
    conn_want_flush(r->server->conn);
}

/* Its last bytes say what happened: the reset comes behind them. */
static void client_cut(void *client)
{
    struct h2_request *r = client;

    r->exchange = NULL;
    r->cut = true;
    if (r->out == NULL) {
        h2_stream_reset(r->server->session, &r->stream, CE_UPSTREAM_CUT);
    }
    conn_want_flush(r->server->conn);
}

static void client_known(void *client)
{
    server_known(((struct h2_request *)client)->server->server);
}

static const struct client_ops client_ops = {
    .want_body = client_want_body,
    .respond = client_respond,
    .write = client_write,
    .flush = client_flush,
    .finish = client_finish,
    .cut = client_cut,
    .known = client_known,
    .protocol = "HTTP/2",
};

/* RFC 9113 section 6.8: requests that are on their way get a second to arrive. */
static void drain(void *codec)
{
    struct h2_server *h = codec;

    h2_session_announce_end(h->session);
    h->refuse_at_ms = now_ms(h) + FRONT_DRAIN_FIRST_MS;
    conn_want_flush(h->conn);
    rearm(h);
}

void h2_server_start(struct server *s)
{
    struct h2_server *h = xcalloc(1, sizeof(*h));

    h->server = s;
    h->front = s->front;
    h->conn = s->conn;
    h->began_ms = now_ms(h);
    list_init(&h->reapable.link);
    list_init(&h->requests);
    list_init(&h->waiting);
    list_init(&h->drained);
    list_init(&h->lingering);
    deadline_init(&h->deadline, on_deadline);
    server_take_over(s, &server_events, drain, h);
    h->session = h2_session_create(h->front->h2, &settings(h)->http2, &session_events, h, s->tls);
    metrics_add(h->front->engine->metrics, M_H2_CONNECTIONS, 0, 0, 0, 1);
    conn_want_flush(h->conn);
    if (h->front->draining) {
        drain(h);
    }
    rearm(h);
}
