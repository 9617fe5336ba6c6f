#include <stdlib.h>

#include "base/mem.h"
#include "front/h2_server.h"

enum {
    OUT_MAX_BYTES = 64 * 1024, /* frames that the kernel has not taken; above it none are made */
    TICK_MS = 500,
};

/* ---- the one deadline ---- */

static void arm(struct h2_server *h, enum h2_alarm alarm, uint64_t timeout_ms)
{
    if (h->alarm != alarm) {
        h->alarm = alarm;
        front_set_deadline(h->front, &h->deadline, timeout_ms);
    }
}

static void rearm(struct h2_server *h)
{
    bool in_head = h2_session_in_head(h->session);

    if (!in_head) {
        h->head_since_ms = 0;
    } else if (h->head_since_ms == 0 || h->head_stream != h2_session_last_stream(h->session)) {
        h->head_since_ms = front_now_ms(h->front);
        h->head_stream = h2_session_last_stream(h->session);
    }
    if (in_head || !h2_session_is_settled(h->session) || !list_empty(&h->waiting) ||
        !list_empty(&h->lingering) || h->stall.since_ms != 0 || h->refuse_at_ms != 0) {
        arm(h, ALARM_TICK, TICK_MS);
    } else if (list_empty(&h->requests)) {
        arm(h, ALARM_IDLE, server_idle_ms(h->server));
    } else if (h->alarm != ALARM_NONE) {
        h->alarm = ALARM_NONE;
        deadline_cancel(&h->deadline);
    }
}

/* ---- the end ---- */

static void tell(struct h2_server *h, enum corral_err why)
{
    metrics_add(h->front->engine->metrics, M_H2_ENDED, why, 0, 0, 1);
    front_note(h->front, "http2.ended", &h->server->peer, why, NULL);
}

static void look_at_age(struct h2_server *h)
{
    enum corral_err why = h2_session_worn_out(h->session);

    if (why != CE_OK && !h->told_worn_out) {
        h->told_worn_out = true;
        tell(h, why);
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
        h2_request_leave(CONTAINER_OF(link, struct h2_request, of_server), CE_CLIENT_GONE);
    }
    conn_want_flush(h->conn);
}

static void end_for(struct h2_server *h, enum corral_err why)
{
    h2_session_fail(h->session, why);
    fail(h, why);
}

static void reset_stalled(struct h2_server *h)
{
    LIST_EACH(link, next, &h->waiting)
    {
        struct h2_request *r = CONTAINER_OF(link, struct h2_request, of_waiting);

        enum corral_err stalled = server_has_stalled(h->server, &r->stall, r->taken_bytes);

        if (stalled != CE_OK) {
            h2_request_leave(r, stalled);
            h2_stream_reset(h->session, &r->stream, CE_CLIENT_STALLED);
            conn_want_flush(h->conn);
        }
    }
}

static void reset_lingering(struct h2_server *h)
{
    uint64_t now_ms = front_now_ms(h->front);

    LIST_EACH(link, next, &h->lingering)
    {
        struct h2_request *r = CONTAINER_OF(link, struct h2_request, of_waiting);

        if (now_ms >= r->linger_until_ms || now_ms - r->dropped_ms >= CONN_LINGER_SILENCE_MS) {
            h2_request_end_lingering(r);
        }
    }
}

static void on_tick(struct h2_server *h)
{
    const struct settings *s = front_settings(h->front);

    if (server_has_stalled(h->server, &h->stall, h->conn->bytes_out) != CE_OK) {
        conn_close(h->conn, CE_CLIENT_STALLED);
        return;
    }
    if (!h2_session_is_settled(h->session) &&
        front_now_ms(h->front) - h->began_ms >= (uint64_t)s->http2.settings_ack_s * 1000) {
        end_for(h, h2_session_has_preface(h->session) ? CE_H2_SETTINGS_TIMEOUT
                                                      : CE_H2_PREFACE_TIMEOUT);
    } else if (h->head_since_ms != 0 &&
               front_now_ms(h->front) - h->head_since_ms >= s->timeouts.head_s * 1000) {
        end_for(h, CE_HEAD_TIMEOUT);
    }
    reset_stalled(h);
    reset_lingering(h);
    if (h->refuse_at_ms != 0 && front_now_ms(h->front) >= h->refuse_at_ms) {
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

/* ---- what the connection tells ---- */

static size_t on_client_data(struct conn *c, struct slice bytes)
{
    struct h2_server *h = c->owner;
    enum corral_err err = h2_session_receive(h->session, bytes, front_now_ms(h->front));

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

        server_stall(h->server, &r->stall, r->taken_bytes);
        if (!r->blocked && r->exchange != NULL) {
            r->blocked = true;
            if (!exchange_client_blocked(r->exchange)) {
                r->stall.since_ms = STALL_EVICTED;
            }
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
    if (h->write_failed) {
        fail(h, CE_NO_MEMORY);
    }
    if (h->write_failed || h2_session_is_over(h->session)) {
        server_finish(h->server, false);
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

    server_stall(h->server, &h->stall, c->bytes_out);
    rearm(h);
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
        h2_request_end(CONTAINER_OF(link, struct h2_request, of_server), server_left_why(why));
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

/*
 * RFC 9113 section 6.8: requests that are on their way get a second to arrive. Before a drain
 * begins a connection is asked when it is idle, and not before its first request: it would only be
 * made again, and some clients drop the streams that they have open.
 */
static void leave(void *codec)
{
    struct h2_server *h = codec;

    if (h->front->draining) {
        h2_session_announce_end(h->session);
        h->refuse_at_ms = front_now_ms(h->front) + FRONT_DRAIN_FIRST_MS;
    } else if (list_empty(&h->requests) && h2_session_last_stream(h->session) > 0) {
        h2_session_announce_end(h->session);
    }
    conn_want_flush(h->conn);
    rearm(h);
}

void h2_server_start(struct server *s)
{
    struct h2_server *h = xcalloc(1, sizeof(*h));

    h->server = s;
    h->front = s->front;
    h->conn = s->conn;
    h->began_ms = front_now_ms(h->front);
    list_init(&h->reapable.link);
    list_init(&h->requests);
    list_init(&h->waiting);
    list_init(&h->drained);
    list_init(&h->lingering);
    deadline_init(&h->deadline, on_deadline);
    server_take_over(s, &server_events, leave, h);
    h->session = h2_session_create(h->front->h2, &front_settings(h->front)->http2,
                                   &h2_request_events, h, s->tls);
    metrics_add(h->front->engine->metrics, M_H2_CONNECTIONS, 0, 0, 0, 1);
    conn_want_flush(h->conn);
    if (h->front->draining) {
        leave(h);
    }
    rearm(h);
}
