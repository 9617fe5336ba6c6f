/*
 * The polls of one endpoint. Called by poller.c; the pool of connections and the log are the
 * poller's. An endpoint has at most one poll under way.
 */
#include "upstream/endpoint.h"

#include "base/mem.h"
#include "base/rand.h"

static const char *const paths[ENDPOINT_QUESTIONS] = {"tags", "version", "ps"};

static void start_poll(struct endpoint *e, enum call_origin origin);

/* `detail`: what TLS says; may be NULL. */
static void log_replica(struct endpoint *e, enum log_level level, const char *event,
                        const char *reason, const char *detail)
{
    struct log_line line;

    log_begin(&line, e->watch->log, level, event);
    log_text(&line, "replica", intern_name(e->watch->ids, e->state.id));
    if (reason != NULL) {
        log_str(&line, "reason", reason);
    }
    if (detail != NULL) {
        log_str(&line, "detail", detail);
    }
    log_end(&line);
}

static void schedule(struct endpoint *e, uint64_t delay_ms)
{
    deadline_set(&e->watch->worker->wheel, &e->next_poll, e->watch->worker->now_ms, delay_ms);
}

static void poll_over(struct endpoint *e)
{
    e->call = NULL;
    deadline_cancel(&e->timeout);
    buf_finish(&e->body);
    schedule(e, e->suspected ? 0 : e->state.usable ? POLL_PS_MS : POLL_LOST_MS);
    e->suspected = false;
}

/* What was loaded is not any more, if it was restarted: that is asked before it is usable again. */
static void lose(struct endpoint *e)
{
    e->state.usable = false;
    e->state.lost_ms = e->watch->worker->now_ms;
    replica_catalog_unref(e->state.ps);
    e->state.ps = NULL;
    e->hash[ASK_PS] = 0;
    e->hash[ASK_VERSION] = 0;
    e->version_due = true;
}

static void poll_failed_for(struct endpoint *e, enum corral_err why, const char *detail)
{
    bool refused = why == CE_UPSTREAM_CONNECT || why == CE_UPSTREAM_TLS;
    bool was_out = e->failures >= POLL_FAILURES_MAX;

    e->failures = refused ? POLL_FAILURES_MAX : e->failures + 1;
    if (e->failures >= POLL_FAILURES_MAX && e->state.usable) {
        lose(e);
        e->tags_at_ms = 0;
        log_replica(e, LOG_WARN, "replica.down", err_reason(why), detail);
        e->watch->on_change(e);
    } else if (!was_out && e->failures >= POLL_FAILURES_MAX && e->tags_at_ms == 0) {
        log_replica(e, LOG_WARN, "replica.unreachable", err_reason(why), detail);
    }
    poll_over(e);
}

static void poll_failed(struct endpoint *e, enum corral_err why)
{
    poll_failed_for(e, why, NULL);
}

static enum corral_err replace_catalog(struct endpoint *e, struct slice text)
{
    enum catalog_kind kind = e->asked == ASK_TAGS ? CATALOG_TAGS : CATALOG_PS;
    struct replica_catalog **slot = e->asked == ASK_TAGS ? &e->state.tags : &e->state.ps;
    struct catalog *fresh;
    enum corral_err err = catalog_parse(kind, text, &fresh);

    if (err == CE_OK) {
        replica_catalog_unref(*slot);
        *slot = replica_catalog_create(fresh);
    }
    return err;
}

static enum corral_err take_answer(struct endpoint *e, struct slice text)
{
    if (e->asked != ASK_VERSION) {
        return replace_catalog(e, text);
    }
    if (version_parse(text, &e->state.version) != CE_OK) {
        e->state.version.text[0] = '\0'; /* it serves all the same */
    }
    return CE_OK;
}

static void make_usable(struct endpoint *e)
{
    struct log_line line;

    e->state.usable = true;
    log_begin(&line, e->watch->log, LOG_INFO, "replica.up");
    log_text(&line, "replica", intern_name(e->watch->ids, e->state.id));
    log_str(&line, "version", e->state.version.text);
    log_end(&line);
}

/* A good answer. Unchanged bytes publish nothing. */
static void poll_answered(struct endpoint *e)
{
    struct slice text = buf_slice(&e->body);
    uint64_t hash = hash_bytes(text);
    bool changed = hash != e->hash[e->asked] || !e->state.usable;

    if (changed && take_answer(e, text) != CE_OK) {
        poll_failed(e, CE_UPSTREAM_NONSENSE);
        return;
    }
    e->hash[e->asked] = hash;
    e->failures = 0;
    if (e->asked == ASK_TAGS) {
        e->tags_at_ms = e->watch->worker->now_ms;
    }
    e->version_due = e->asked == ASK_TAGS || (e->version_due && e->asked != ASK_VERSION);
    bool ready = e->state.tags != NULL && e->state.ps != NULL;

    if (ready && !e->state.usable) {
        make_usable(e);
    }
    if (changed && ready) {
        e->watch->on_change(e);
    }
    bool more = !ready || e->version_due || (e->asked == ASK_TAGS && changed);

    poll_over(e);
    if (more) {
        schedule(e, 0);
    }
}

static void on_poll_head(struct call *c, const struct http_response_head *head)
{
    struct endpoint *e = call_owner(c);

    e->status = head->status;
}

static void on_poll_body(struct call *c, struct slice bytes)
{
    struct endpoint *e = call_owner(c);

    if (buf_append(&e->body, bytes) != CE_OK) {
        call_drop(c);
        poll_failed(e, CE_TOO_LARGE);
    }
}

static void on_poll_end(struct call *c)
{
    struct endpoint *e = call_owner(c);

    if (e->status == 200) {
        poll_answered(e);
    } else if (e->asked == ASK_VERSION) {
        buf_clear(&e->body); /* something before the replica does not let it through */
        poll_answered(e);
    } else {
        poll_failed(e, CE_UPSTREAM_NONSENSE);
    }
}

/* A kept connection that has grown old says nothing about the replica: it is asked on another. */
static void on_poll_fail(struct call *c, enum corral_err why)
{
    struct endpoint *e = call_owner(c);

    if (call_staleness(c) == CALL_NOT_STALE) {
        poll_failed_for(e, why, call_fault(c));
        return;
    }
    deadline_cancel(&e->timeout);
    buf_finish(&e->body);
    start_poll(e, CALL_FRESH);
}

static const struct call_events poll_events = {
    .on_head = on_poll_head,
    .on_body = on_poll_body,
    .on_end = on_poll_end,
    .on_fail = on_poll_fail,
};

static void on_poll_timeout(struct deadline *d)
{
    struct endpoint *e = CONTAINER_OF(d, struct endpoint, timeout);

    call_drop(e->call);
    poll_failed(e, CE_UPSTREAM_FIRST_BYTE);
}

static void start_poll(struct endpoint *e, enum call_origin origin)
{
    uint64_t now_ms = e->watch->worker->now_ms;
    struct buf head = buf_make(1024);

    bool tags_due = e->tags_at_ms == 0 || now_ms - e->tags_at_ms >= POLL_TAGS_MS;

    e->asked = tags_due ? ASK_TAGS : e->version_due ? ASK_VERSION : ASK_PS;
    e->body = buf_make(CATALOG_BYTES_MAX);
    e->call = call_start(e->watch->pool, &e->state, origin, &poll_events, e);
    if (e->call == NULL) {
        poll_failed(e, CE_UPSTREAM_CONNECT);
        return;
    }
    deadline_set(&e->watch->worker->wheel, &e->timeout, now_ms, POLL_TIMEOUT_MS);
    enum corral_err err =
        buf_printf(&head, "GET /api/%s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n\r\n",
                   paths[e->asked], e->state.host);
    if (err == CE_OK) {
        err = call_write(e->call, buf_slice(&head));
    }
    buf_finish(&head);
    if (err != CE_OK) {
        call_drop(e->call);
        poll_failed(e, err);
        return;
    }
    call_request_done(e->call);
}

static void on_next_poll(struct deadline *d)
{
    start_poll(CONTAINER_OF(d, struct endpoint, next_poll), CALL_KEPT);
}

void endpoint_start(struct endpoint *e)
{
    deadline_init(&e->next_poll, on_next_poll);
    deadline_init(&e->timeout, on_poll_timeout);
    schedule(e, 0);
}

void endpoint_stop(struct endpoint *e)
{
    deadline_cancel(&e->next_poll);
    deadline_cancel(&e->timeout);
    call_drop(e->call);
    e->call = NULL;
    buf_finish(&e->body);
}

void endpoint_suspect(struct endpoint *e, bool unreachable)
{
    if (unreachable && e->state.usable) {
        lose(e);
        log_replica(e, LOG_WARN, "replica.down", err_reason(CE_UPSTREAM_CONNECT), NULL);
        e->watch->on_change(e);
    }
    if (e->call != NULL) {
        e->suspected = true;
        return;
    }
    e->tags_at_ms = 0;
    schedule(e, 0);
}
