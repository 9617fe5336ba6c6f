#include <stdlib.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "front/h2_server.h"

enum {
    OUT_SUM_MAX_BYTES = 2 * 1024 * 1024, /* of answers that wait; above it no stream is begun */
};

static const struct client_ops client_ops;

static struct h2_request *request_of(struct h2_stream *st)
{
    return CONTAINER_OF(st, struct h2_request, stream);
}

static bool has_bytes(const struct h2_request *r)
{
    return r->out != NULL || r->shared.bytes != NULL;
}

static void forget_waiting(struct h2_request *r)
{
    list_unlink(&r->of_waiting);
    shared_rest_drop(&r->shared);
    r->server->out_bytes -= block_len(r->out);
    block_release(&r->server->conn->worker->blocks, &r->out);
}

void h2_request_leave(struct h2_request *r, enum corral_err why)
{
    struct exchange *ex = r->exchange;

    r->exchange = NULL;
    forget_waiting(r);
    if (ex != NULL) {
        exchange_client_gone(ex, why);
    }
}

void h2_request_end_lingering(struct h2_request *r)
{
    list_unlink(&r->of_waiting);
    h2_stream_reset(r->server->session, &r->stream, CE_OK);
    conn_want_flush(r->server->conn);
}

/* ---- what the session tells ---- */

static struct h2_stream *create_request(void *owner)
{
    struct h2_server *h = owner;

    if (h->out_bytes > OUT_SUM_MAX_BYTES) {
        return NULL; /* answers that nobody reads */
    }
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

void h2_request_end(struct h2_request *r, enum corral_err why)
{
    h2_request_leave(r, why);
    list_unlink(&r->of_server);
    worker_reap(r->server->conn->worker, &r->reapable, destroy_request);
}

static void on_gone(void *owner, struct h2_stream *st)
{
    struct h2_server *h = owner;

    h2_request_end(request_of(st), CE_CLIENT_GONE);
    if (h->front->retiring) {
        h2_session_announce_end(h->session);
        conn_want_flush(h->conn);
    }
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
        exchange_refuse(h->front->engine, &info, request->path, slice_of(NULL, 0),
                        CE_AUTH_CERTIFICATE);
        return;
    }
    struct exchange *ex = exchange_begin(h->front->engine, &info, request);

    if (!r->ended && !r->cut) {
        r->exchange = ex;
    }
}

static void on_refused(void *owner, struct h2_stream *st, enum corral_err why,
                       const struct http_request *request)
{
    struct h2_server *h = owner;

    request_of(st)->is_head = slice_eq_str(request->method, "HEAD");
    struct client_info info = server_client(h->server, &client_ops, request_of(st));

    exchange_refuse(h->front->engine, &info, request->path, request->fields.alias, why);
}

static void on_malformed(void *owner)
{
    struct h2_server *h = owner;

    metrics_add(h->front->engine->metrics, M_H2_MALFORMED, 0, 0, 0, 1);
}

static void on_body(void *owner, struct h2_stream *st, struct slice bytes)
{
    struct h2_server *h = owner;
    struct h2_request *r = request_of(st);

    if (r->exchange != NULL && r->wants_body) {
        exchange_body(r->exchange, bytes);
        return;
    }
    r->dropped_ms = front_now_ms(h->front);
    r->dropped_bytes += bytes.len;
    if (r->dropped_bytes > front_settings(h->front)->limits.linger_bytes) {
        h2_request_end_lingering(r);
    }
}

static void on_body_end(void *owner, struct h2_stream *st)
{
    struct h2_request *r = request_of(st);

    if (r->exchange != NULL && r->wants_body) {
        exchange_body_end(r->exchange);
    }
}

/*
 * The rest of the request is read and dropped, and windows go on opening: many clients read no
 * answer before they have sent their whole body, and a reset looks like an error to some.
 */
static void on_early_answer(void *owner, struct h2_stream *st)
{
    struct h2_server *h = owner;
    struct h2_request *r = request_of(st);

    r->dropped_ms = front_now_ms(h->front);
    r->linger_until_ms =
        r->dropped_ms + (r->timed_out ? (uint64_t)CONN_LINGER_MS
                                      : front_settings(h->front)->timeouts.linger_s * 1000);
    list_unlink(&r->of_waiting);
    list_push_back(&h->lingering, &r->of_waiting);
}

static struct slice peek(struct h2_stream *st, bool *out_last)
{
    struct h2_request *r = request_of(st);

    *out_last = r->ended;
    return r->shared.bytes == NULL ? block_slice(r->out) : shared_rest_slice(&r->shared);
}

static void take_bytes(struct h2_request *r, size_t len)
{
    if (r->shared.bytes != NULL) {
        shared_rest_take(&r->shared, len);
        return;
    }
    block_consume(&r->server->conn->worker->blocks, &r->out, len);
    r->server->out_bytes -= len;
}

static void taken(void *owner, struct h2_stream *st, size_t len)
{
    struct h2_server *h = owner;
    struct h2_request *r = request_of(st);

    take_bytes(r, len);
    r->taken_bytes += len;
    if (has_bytes(r)) {
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

const struct h2_events h2_request_events = {
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
    char digits[DECIMAL_BYTES];
    size_t n = 0;

    f[n++] = (struct h2_field){SLICE_LITERAL("date"), worker_date(h->conn->worker), true};
    if (a->content_type.len > 0) {
        f[n++] = (struct h2_field){SLICE_LITERAL("content-type"), a->content_type, true};
    }
    if (a->cache_control.len > 0) {
        f[n++] = (struct h2_field){SLICE_LITERAL("cache-control"), a->cache_control, true};
    }
    for (size_t i = 0; i < a->field_count; i++) {
        f[n++] = (struct h2_field){a->fields[i].name, a->fields[i].value, a->fields[i].comes_again};
    }
    if (a->framing == HTTP_LENGTH) {
        char *end = digits + sizeof(digits);
        const char *first = decimal_before(end, a->length);

        f[n++] = (struct h2_field){SLICE_LITERAL("content-length"),
                                   slice_of(first, (size_t)(end - first)), false};
    }
    bool body =
        !r->is_head && (a->framing == HTTP_CHUNKED || (a->framing == HTTP_LENGTH && a->length > 0));

    r->timed_out = a->status == 408;
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
    enum corral_err err = block_append(&h->conn->worker->blocks, &r->out, bytes);
    if (err == CE_OK) {
        h->out_bytes += bytes.len;
    }
    return err;
}

static enum corral_err client_write_shared(void *client, struct shared_bytes *body)
{
    struct h2_request *r = client;

    if (r->stream.has_body) {
        shared_rest_begin(&r->shared, body);
        list_unlink(&r->of_waiting);
        list_push_back(&r->server->waiting, &r->of_waiting);
        h2_stream_wake(r->server->session, &r->stream);
        conn_want_flush(r->server->conn);
    }
    return CE_OK;
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
    if (r->stream.has_body && !has_bytes(r)) {
        list_unlink(&r->of_waiting);
        list_push_back(&r->server->waiting, &r->of_waiting); /* the end alone may need a window */
    }
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

static enum corral_err client_known(void *client, uint32_t tenant)
{
    struct h2_server *h = ((struct h2_request *)client)->server;
    enum corral_err err = server_known(h->server, tenant);

    if (err != CE_OK) {
        h2_session_refuse_new(h->session);
    }
    return err;
}

static const struct client_ops client_ops = {
    .want_body = client_want_body,
    .respond = client_respond,
    .write = client_write,
    .write_shared = client_write_shared,
    .flush = client_flush,
    .finish = client_finish,
    .cut = client_cut,
    .known = client_known,
    .protocol = "HTTP/2",
};
