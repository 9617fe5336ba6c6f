#include <assert.h>

#include "exchange/exchange.h"
#include "front/server.h"
#include "http/h1_chunked.h"
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "net/conn.h"

enum {
    ANSWER_HEAD_BYTES = 4096,
    ANSWERS_PENDING_BYTES = 64 * 1024, /* above it no further request is begun */
    BUSY_TICK_MS = 250,
    SHARED_PIECE_BYTES = 16 * 1024, /* of a shared body that the connection holds at once */
};

static const struct client_ops client_ops;

static struct server *server_of(const struct h1_server *h)
{
    return CONTAINER_OF(h, struct server, h1);
}

static const struct timeout_settings *timeouts(const struct h1_server *h)
{
    return &front_settings(server_of(h)->front)->timeouts;
}

static void set_deadline(struct h1_server *h, uint64_t timeout_ms)
{
    front_set_deadline(server_of(h)->front, &server_of(h)->deadline, timeout_ms);
}

static void go_idle(struct h1_server *h)
{
    h->state = H1_IDLE;
    h->scan = (struct h1_scan){0};
    set_deadline(h, server_idle_ms(server_of(h)));
}

static void close_after_answer(struct h1_server *h)
{
    h->state = H1_CLOSING;
    deadline_cancel(&server_of(h)->deadline);
    server_finish(server_of(h), h->unread);
}

static bool body_complete(const struct h1_server *h)
{
    return h->request_framing == HTTP_CHUNKED ? h->chunked.done : h->body_left == 0;
}

/* A malformed head, as far as it came: answered, logged, and never read on. */
static void refuse(struct h1_server *h, struct slice head, struct slice field, enum corral_err why)
{
    struct client_info info = server_client(server_of(h), &client_ops, h);

    h->keep_alive = false;
    h->is_head = false;
    h->unread = true;
    h->state = H1_BUSY;
    exchange_refuse(server_of(h)->front->engine, &info, h1_peek_target(head), field, why);
}

static enum corral_err feed_body(struct h1_server *h, struct slice *rest)
{
    while (rest->len > 0 && h->exchange != NULL && h->state == H1_BODY && !body_complete(h)) {
        struct slice piece;

        if (h->request_framing == HTTP_CHUNKED) {
            enum corral_err err = h1_chunked_next(&h->chunked, rest, &piece);
            if (err != CE_OK) {
                return err;
            }
        } else {
            piece = slice_of(rest->ptr, rest->len < h->body_left ? rest->len : h->body_left);
            h->body_left -= piece.len;
            *rest = slice_from(*rest, piece.len);
        }
        if (piece.len > 0) {
            exchange_body(h->exchange, piece);
        }
    }
    return CE_OK;
}

static void take_body(struct h1_server *h, struct slice *rest)
{
    enum corral_err err = feed_body(h, rest);

    if (err != CE_OK) {
        h->keep_alive = false;
        exchange_body_failed(h->exchange, err);
    } else if (h->state == H1_BODY && h->exchange != NULL && body_complete(h)) {
        h->state = H1_BUSY;
        h->unread = false;
        exchange_body_end(h->exchange);
    }
}

static void begin(struct h1_server *h, const struct http_request *request)
{
    struct client_info info = server_client(server_of(h), &client_ops, h);

    h->keep_alive = request->keep_alive;
    h->is_http_1_0 = request->minor == 0;
    h->is_head = slice_eq_str(request->method, "HEAD");
    h->expect_continue = request->expect_continue;
    h->request_framing = request->framing;
    h->body_left = request->content_length;
    h->chunked = (struct h1_chunked){0};
    h->ended = false;
    h->unread = !body_complete(h);
    h->state = H1_BUSY;
    h->served = true;
    deadline_cancel(&server_of(h)->deadline);
    struct exchange *ex = exchange_begin(server_of(h)->front->engine, &info, request);

    if (!h->ended) {
        h->exchange = ex;
    }
}

/* Bytes of one head from the front of *rest. False: wait for more, or no more will be read. */
static bool take_head(struct h1_server *h, struct slice *rest)
{
    NOT_ZEROED struct http_request request;
    size_t len = 0;

    request.fields.alias = slice_of(NULL, 0);
    enum corral_err err = h1_scan_request(&h->scan, *rest, &len);

    if (err == CE_MORE) {
        if (h->state == H1_IDLE && rest->len > 0) {
            h->state = H1_HEAD;
            set_deadline(h, timeouts(h)->head_s * 1000);
        }
        return false;
    }
    if (err == CE_OK) {
        err = h1_read_request(slice_of(rest->ptr, len), server_of(h)->tls, &request);
    }
    if (err != CE_OK) {
        refuse(h, *rest, request.fields.alias, err);
        return false;
    }
    if (server_is_stale(server_of(h))) {
        refuse(h, *rest, slice_of(NULL, 0), CE_AUTH_CERTIFICATE);
        return false;
    }
    *rest = slice_from(*rest, len);
    begin(h, &request);
    return true;
}

/* The rest of a pipelined input stays with the connection until the answer is given. */
static size_t on_client_data(struct conn *c, struct slice bytes)
{
    struct h1_server *h = c->owner;
    struct slice rest = bytes;
    bool again = true;

    while (again && c->state == CONN_OPEN) {
        switch (h->state) {
        case H1_IDLE:
        case H1_HEAD:
            if (conn_pending(c) >= ANSWERS_PENDING_BYTES) {
                conn_want_drained(c); /* pipelined, and the answers are not read */
                again = false;
                break;
            }
            again = take_head(h, &rest);
            break;
        case H1_BODY:
            take_body(h, &rest);
            again = h->state != H1_BODY;
            break;
        case H1_BUSY:
            if (rest.len >= HTTP_MAX_HEAD_BYTES) {
                set_deadline(h, BUSY_TICK_MS); /* reading stops now: look for the FIN by hand */
            }
            again = false;
            break;
        case H1_CLOSING:
            return bytes.len;
        }
    }
    return bytes.len - rest.len;
}

static void on_client_blocked(struct conn *c)
{
    struct h1_server *h = c->owner;

    server_stall(server_of(h), &h->stall, c->bytes_out);
    if (h->exchange != NULL && !exchange_client_blocked(h->exchange)) {
        h->stall.since_ms = STALL_EVICTED;
    }
    if (h->state == H1_BUSY) {
        set_deadline(h, BUSY_TICK_MS);
    }
}

/* The answer is whole: on to the next request. */
static void end_answer(struct h1_server *h)
{
    if (!h->keep_alive || server_of(h)->front->draining) {
        close_after_answer(h);
        return;
    }
    go_idle(h);
    conn_deliver_kept(server_of(h)->conn);
}

/* As much of the shared body as the connection should hold. */
static enum corral_err write_piece(struct h1_server *h)
{
    struct conn *c = server_of(h)->conn;
    struct slice rest = shared_rest_slice(&h->shared);
    size_t len = rest.len < SHARED_PIECE_BYTES ? rest.len : SHARED_PIECE_BYTES;
    enum corral_err err = conn_write(c, slice_of(rest.ptr, len));

    shared_rest_take(&h->shared, len);
    if (h->shared.bytes != NULL) {
        conn_want_drained(c);
    }
    return err;
}

static void go_on_shared(struct h1_server *h)
{
    if (write_piece(h) != CE_OK) {
        conn_close(server_of(h)->conn, CE_NO_MEMORY);
    } else if (h->shared.bytes == NULL) {
        end_answer(h);
    }
}

static void on_client_drained(struct conn *c)
{
    struct h1_server *h = c->owner;

    h->stall.since_ms = 0;
    if (h->shared.bytes != NULL) {
        go_on_shared(h);
    } else if (h->exchange != NULL) {
        exchange_client_drained(h->exchange);
    } else {
        conn_deliver_kept(c);
    }
}

static void on_client_closed(struct conn *c, enum corral_err why)
{
    struct h1_server *h = c->owner;
    struct exchange *ex = h->exchange;

    h->exchange = NULL;
    shared_rest_drop(&h->shared);
    if (ex != NULL) {
        exchange_client_gone(ex, server_left_why(why));
    }
    server_end(server_of(h), why);
}

static const struct conn_events server_events = {
    .on_data = on_client_data,
    .on_eof = server_on_eof,
    .on_blocked = on_client_blocked,
    .on_drained = on_client_drained,
    .on_closed = on_client_closed,
};

static void on_deadline(struct deadline *d)
{
    struct server *s = CONTAINER_OF(d, struct server, deadline);
    struct h1_server *h = &s->h1;
    enum corral_err stalled;

    switch (h->state) {
    case H1_HEAD:
        refuse(h, block_slice(s->conn->in), slice_of(NULL, 0), CE_HEAD_TIMEOUT);
        break;
    case H1_BUSY:
        stalled = server_has_stalled(s, &h->stall, s->conn->bytes_out);
        if (stalled != CE_OK) {
            conn_close(s->conn, stalled);
        } else if (conn_kept(s->conn) >= HTTP_MAX_HEAD_BYTES && conn_peer_gone(s->conn)) {
            conn_close(s->conn, CE_CLIENT_GONE);
        } else {
            set_deadline(h, BUSY_TICK_MS);
        }
        break;
    case H1_IDLE:
    case H1_BODY:
    case H1_CLOSING:
        server_finish(s, false);
        break;
    }
}

/* ---- what the exchange asks of us ---- */

static void client_want_body(void *client)
{
    struct h1_server *h = client;

    h->state = H1_BODY;
    if (h->expect_continue &&
        conn_write(server_of(h)->conn, SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n")) != CE_OK) {
        h->keep_alive = false;
    }
}

static void write_framing(struct h1_server *h, struct h1_writer *w, const struct answer *a)
{
    h->answer_chunked = false;
    if (a->framing == HTTP_LENGTH) {
        h1_write_str(w, "Content-Length: ");
        h1_write_u64(w, a->length);
        h1_write_str(w, "\r\n");
    } else if (a->framing == HTTP_CHUNKED && !h->is_http_1_0) {
        h->answer_chunked = !h->is_head;
        h1_write_str(w, "Transfer-Encoding: chunked\r\n");
    }
}

static void client_respond(void *client, const struct answer *a)
{
    struct h1_server *h = client;
    NOT_ZEROED char room[ANSWER_HEAD_BYTES];
    struct h1_writer w = {.data = room, .capacity = sizeof(room)};

    /* A body that was not read whole would be taken for the next request. */
    if (a->close || h->state == H1_BODY || server_of(h)->front->retiring) {
        h->keep_alive = false;
    }
    if (a->status == 408) {
        h->unread = false; /* nothing came for a while: there is no use in waiting for more */
    }
    h1_write_status_line(&w, a->status);
    h1_write_field(&w, SLICE_LITERAL("Date"), worker_date(server_of(h)->conn->worker));
    if (a->content_type.len > 0) {
        h1_write_field(&w, SLICE_LITERAL("Content-Type"), a->content_type);
    }
    if (a->cache_control.len > 0) {
        h1_write_field(&w, SLICE_LITERAL("Cache-Control"), a->cache_control);
    }
    for (size_t i = 0; i < a->field_count; i++) {
        h1_write_field(&w, a->fields[i].name, a->fields[i].value);
    }
    write_framing(h, &w, a);
    if (!h->keep_alive) {
        h1_write_str(&w, "Connection: close\r\n");
    }
    h1_write_str(&w, "\r\n");
    assert(!w.overflow); /* every value is ours or bounded; a body without a head is anybody's */
    if (conn_write(server_of(h)->conn, slice_of(w.data, w.len)) != CE_OK) {
        h->keep_alive = false;
    }
}

static enum corral_err client_write(void *client, struct slice bytes)
{
    struct h1_server *h = client;
    char head[H1_CHUNK_HEAD_BYTES];

    if (h->is_head || bytes.len == 0) {
        return CE_OK;
    }
    if (!h->answer_chunked) {
        return conn_write(server_of(h)->conn, bytes);
    }
    enum corral_err err =
        conn_write(server_of(h)->conn, slice_of(head, h1_chunk_head(bytes.len, head)));
    if (err == CE_OK) {
        err = conn_write(server_of(h)->conn, bytes);
    }
    return err == CE_OK ? conn_write(server_of(h)->conn, SLICE_LITERAL("\r\n")) : err;
}

static enum corral_err client_write_shared(void *client, struct shared_bytes *body)
{
    struct h1_server *h = client;

    shared_rest_begin(&h->shared, body);
    return write_piece(h);
}

static void client_flush(void *client)
{
    conn_flush(server_of(client)->conn);
}

static void forget_exchange(struct h1_server *h)
{
    h->exchange = NULL;
    h->ended = true;
}

static void client_finish(void *client)
{
    struct h1_server *h = client;

    forget_exchange(h);
    if (h->answer_chunked && conn_write(server_of(h)->conn, SLICE_LITERAL("0\r\n\r\n")) != CE_OK) {
        h->keep_alive = false;
    }
    if (h->shared.bytes == NULL) { /* else it ends with its last piece */
        end_answer(h);
    }
}

static void client_cut(void *client)
{
    struct h1_server *h = client;

    forget_exchange(h);
    shared_rest_drop(&h->shared);
    if (h->is_http_1_0) {
        conn_reset(server_of(h)->conn); /* no framing would show the cut */
    } else {
        close_after_answer(h);
    }
}

static enum corral_err client_known(void *client, uint32_t tenant)
{
    return server_known(server_of(client), tenant);
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
    .protocol = "HTTP/1.1",
};

static void leave(void *codec)
{
    struct h1_server *h = codec;

    if (!server_of(h)->front->draining) {
        return; /* its next answer says that it is the last */
    }
    if (h->state == H1_IDLE && h->served) {
        close_after_answer(h);
    } else if (h->state == H1_IDLE) {
        set_deadline(h, FRONT_DRAIN_FIRST_MS); /* just accepted: its request is on its way */
    }
}

void h1_server_start(struct server *s)
{
    struct h1_server *h = &s->h1;

    server_take_over(s, &server_events, leave, h);
    deadline_init(&s->deadline, on_deadline);
    h->state = H1_IDLE;
    set_deadline(h, s->front->draining ? (uint64_t)FRONT_DRAIN_FIRST_MS
                                       : (timeouts(h)->handshake_s + timeouts(h)->head_s) * 1000);
}
