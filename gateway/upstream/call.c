#include "upstream/call.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "upstream/receipt.h"

enum link_state { LINK_IDLE, LINK_HEAD, LINK_BODY };

/* Where connections lead, and under which rules; as long as there is one. */
struct target {
    struct list of_pool; /* pool.targets */
    size_t links;
    struct net_address address;
    struct tls_client *tls; /* counted; NULL: plain */
    char host[REPLICA_HOST_BYTES];
};

struct call {
    const struct call_events *events; /* NULL: none runs */
    void *owner;
    bool request_done;
    bool answered; /* some byte came back */
    uint8_t staleness;
};

/* A connection to a replica, idle in the pool or carrying a call. */
struct link {
    struct list of_pool; /* pool.idle while idle, pool.busy while a call runs */
    struct pool *pool;   /* borrowed */
    struct conn *conn;   /* owned until on_closed */
    struct call call;
    struct deadline idle_deadline;
    struct target *target; /* counted */
    struct h1_scan scan;
    struct h1_chunked chunked;
    uint64_t body_left;
    uint64_t sent_before;       /* conn.bytes_out when the call began */
    uint64_t bytes_in;          /* consumed of this connection, over all calls */
    struct receipt_mark before; /* of TLS, when it became idle */
    uint64_t began_us;
    unsigned interim;
    enum link_state state;
    enum http_framing framing;
    bool kept; /* from an earlier call */
    bool reusable;
    uint8_t body_reads; /* of this answer, modulo 256 */
};

struct pool {
    struct worker *worker;
    struct list targets; /* target.of_pool */
    struct list idle;    /* link.of_pool, most recent first */
    struct list busy;    /* link.of_pool */
    size_t idle_count;
    struct pool_times times;
};

static const struct conn_events link_events;

struct pool *pool_create(struct worker *w, struct pool_times times)
{
    struct pool *p = xcalloc(1, sizeof(*p));

    p->worker = w;
    p->times = times;
    list_init(&p->targets);
    list_init(&p->idle);
    list_init(&p->busy);
    return p;
}

void pool_set_times(struct pool *p, struct pool_times times)
{
    p->times = times;
}

static struct link *link_of(const struct call *c)
{
    return CONTAINER_OF(c, struct link, call);
}

static bool is_busy(const struct link *k)
{
    return k->call.events != NULL;
}

static bool leads_to(const struct target *t, const struct replica *r)
{
    return t->tls == r->tls && t->address.len == r->address.len &&
           memcmp(&t->address.storage, &r->address.storage, r->address.len) == 0 &&
           strcmp(t->host, r->host) == 0;
}

static struct target *target_ref(struct pool *p, const struct replica *r)
{
    LIST_EACH(at, next, &p->targets)
    {
        struct target *t = CONTAINER_OF(at, struct target, of_pool);

        if (leads_to(t, r)) {
            t->links++;
            return t;
        }
    }
    struct target *t = xcalloc(1, sizeof(*t));

    t->links = 1;
    t->address = r->address;
    t->tls = tls_client_ref(r->tls);
    memcpy(t->host, r->host, sizeof(t->host));
    list_push_back(&p->targets, &t->of_pool);
    return t;
}

static void target_unref(struct target *t)
{
    if (--t->links == 0) {
        list_unlink(&t->of_pool);
        tls_client_unref(t->tls);
        free(t);
    }
}

static void link_free(struct link *k)
{
    target_unref(k->target);
    free(k);
}

static void link_destroy(struct link *k)
{
    if (k->state == LINK_IDLE && !is_busy(k) && !list_empty(&k->of_pool)) {
        k->pool->idle_count--;
    }
    list_unlink(&k->of_pool);
    deadline_cancel(&k->idle_deadline);
    conn_abandon(k->conn);
    link_free(k);
}

void pool_destroy(struct pool *p)
{
    if (p == NULL) {
        return;
    }
    LIST_EACH(idle, next_idle, &p->idle)
    {
        link_destroy(CONTAINER_OF(idle, struct link, of_pool));
    }
    LIST_EACH(busy, next_busy, &p->busy)
    {
        link_destroy(CONTAINER_OF(busy, struct link, of_pool));
    }
    free(p);
}

static void on_idle_deadline(struct deadline *d)
{
    link_destroy(CONTAINER_OF(d, struct link, idle_deadline));
}

/* Same address, same rules: what was opened under others (or plainly) is left to grow old. */
static struct link *take_idle(struct pool *p, const struct replica *r)
{
    LIST_EACH(at, next, &p->idle)
    {
        struct link *k = CONTAINER_OF(at, struct link, of_pool);

        if (leads_to(k->target, r)) {
            list_unlink(&k->of_pool);
            deadline_cancel(&k->idle_deadline);
            p->idle_count--;
            return k;
        }
    }
    return NULL;
}

static struct link *open_link(struct pool *p, const struct replica *r)
{
    struct link *k = xcalloc(1, sizeof(*k));

    k->pool = p;
    k->target = target_ref(p, r);
    list_init(&k->of_pool);
    deadline_init(&k->idle_deadline, on_idle_deadline);
    k->conn = conn_connect(p->worker, &k->target->address, k->target->tls, p->times.connect_ms,
                           &link_events, k);
    if (k->conn == NULL) {
        link_free(k);
        return NULL;
    }
    return k;
}

struct call *call_start(struct pool *p, const struct replica *r, enum call_origin origin,
                        const struct call_events *events, void *owner)
{
    struct link *k = origin == CALL_KEPT ? take_idle(p, r) : NULL;

    if (k == NULL) {
        k = open_link(p, r);
    }
    if (k == NULL) {
        return NULL;
    }
    k->call = (struct call){.events = events, .owner = owner};
    k->state = LINK_HEAD;
    k->scan = (struct h1_scan){0};
    k->interim = 0;
    k->body_reads = 0;
    k->began_us = p->worker->now_us;
    k->sent_before = k->conn->bytes_out;
    list_push_back(&p->busy, &k->of_pool);
    return &k->call;
}

void *call_owner(const struct call *c)
{
    return c->owner;
}

bool call_is_open(const struct call *c)
{
    return link_of(c)->conn->state == CONN_OPEN;
}

struct slice call_host(const struct call *c)
{
    return slice_str(link_of(c)->target->host);
}

void call_flush(struct call *c)
{
    conn_flush(link_of(c)->conn);
}

enum corral_err call_write(struct call *c, struct slice bytes)
{
    return conn_write(link_of(c)->conn, bytes);
}

void call_request_done(struct call *c)
{
    c->request_done = true;
}

void call_want_drained(struct call *c)
{
    conn_want_drained(link_of(c)->conn);
}

size_t call_pending(const struct call *c)
{
    return conn_pending(link_of(c)->conn);
}

const char *call_fault(const struct call *c)
{
    return link_of(c)->conn->fault;
}

bool call_sent_anything(const struct call *c)
{
    return link_of(c)->conn->bytes_out > link_of(c)->sent_before;
}

enum call_staleness call_staleness(const struct call *c)
{
    return c->staleness;
}

void call_pause(struct call *c)
{
    conn_pause_read(link_of(c)->conn);
}

void call_resume(struct call *c)
{
    conn_resume_read(link_of(c)->conn);
}

void call_drop(struct call *c)
{
    if (c != NULL) {
        link_destroy(link_of(c));
    }
}

/* A call's last callback follows, in which its owner may still look at it; no other call is begun
 * on the link before that returns. */
static void set_apart(struct link *k)
{
    list_unlink(&k->of_pool);
    k->state = LINK_IDLE;
}

static void fail(struct link *k, enum corral_err why)
{
    set_apart(k);
    k->call.events->on_fail(&k->call, why);
    link_destroy(k);
}

static void finish(struct link *k, bool clean)
{
    struct pool *p = k->pool;
    bool keep = clean && k->reusable && k->call.request_done && conn_pending(k->conn) == 0 &&
                p->idle_count < POOL_MAX_IDLE && p->times.idle_ms > 0;

    set_apart(k);
    k->call.events->on_end(&k->call);
    k->call = (struct call){0};
    if (!keep) {
        link_destroy(k);
        return;
    }
    k->kept = true;
    if (k->target->tls != NULL) {
        k->before = receipt_mark_now(k->conn->fd);
    }
    conn_resume_read(k->conn);
    list_push_front(&p->idle, &k->of_pool);
    p->idle_count++;
    deadline_set(&p->worker->wheel, &k->idle_deadline, p->worker->now_ms, p->times.idle_ms);
}

static enum corral_err judge_head(const struct http_response_head *head)
{
    struct slice coding = http_field_value(&head->fields, HF_CONTENT_ENCODING);

    if (head->status == 101) {
        return CE_HTTP_UPGRADE;
    }
    if (head->status >= 300 && head->status < 400) {
        return CE_UPSTREAM_REDIRECT;
    }
    return coding.ptr != NULL && !slice_eq_nocase(coding, SLICE_LITERAL("identity"))
               ? CE_HTTP_CONTENT_CODING
               : CE_OK;
}

/* Reads one head from the front of *rest. False: wait for more, or the call has ended. */
static bool take_head(struct link *k, struct slice *rest)
{
    NOT_ZEROED struct http_response_head head;
    size_t len;

    enum corral_err err = h1_scan_head(&k->scan, *rest, &len);
    if (err == CE_MORE) {
        return false;
    }
    if (err == CE_OK) {
        err = h1_read_response(slice_of(rest->ptr, len), &head);
    }
    if (err == CE_OK) {
        err = judge_head(&head);
    }
    if (err == CE_OK && head.status < 200 && ++k->interim > CALL_MAX_INTERIM) {
        err = CE_HTTP_INTERIM_FLOOD;
    }
    if (err != CE_OK) {
        fail(k, CE_UPSTREAM_NONSENSE);
        return false;
    }
    k->scan = (struct h1_scan){0};
    *rest = slice_from(*rest, len);
    if (head.status < 200) {
        return true;
    }
    k->state = LINK_BODY;
    k->framing = head.framing;
    k->body_left = head.content_length;
    k->reusable = head.keep_alive;
    k->chunked = (struct h1_chunked){0};
    k->call.events->on_head(&k->call, &head);
    return true;
}

static bool body_done(const struct link *k)
{
    return k->framing == HTTP_CHUNKED ? k->chunked.done : k->body_left == 0;
}

/* One piece of body from the front of *rest. */
static enum corral_err take_piece(struct link *k, struct slice *rest, struct slice *out)
{
    if (k->framing == HTTP_CHUNKED) {
        return h1_chunked_next(&k->chunked, rest, out);
    }
    size_t take = rest->len < k->body_left ? rest->len : (size_t)k->body_left;

    *out = slice_of(rest->ptr, take);
    *rest = slice_from(*rest, take);
    k->body_left -= take;
    return CE_OK;
}

static void on_link_open(struct conn *conn)
{
    struct link *k = conn->owner;

    if (is_busy(k) && k->call.events->on_open != NULL) {
        k->call.events->on_open(&k->call);
    }
}

/* A stream, and not an answer that came in two or three pieces. */
static void note_body_read(struct link *k)
{
    enum { STREAM_READS = 4, ASK_AGAIN_READS = 32 };

    if (++k->body_reads % ASK_AGAIN_READS == STREAM_READS) {
        conn_acknowledge_late(k->conn);
    }
}

/* The owner may drop the call in any callback: then the conn is closed and its owner pointer gone.
 */
static size_t take_answer(struct link *k, struct conn *conn, struct slice bytes)
{
    struct slice rest = bytes;

    while (k->state == LINK_HEAD) {
        if (!take_head(k, &rest)) {
            return conn->state == CONN_CLOSED ? bytes.len : bytes.len - rest.len;
        }
        if (conn->state == CONN_CLOSED) {
            return bytes.len;
        }
    }
    while (!body_done(k)) {
        struct slice piece;

        if (rest.len == 0) {
            note_body_read(k);
            if (k->call.events->on_read_done != NULL) {
                k->call.events->on_read_done(&k->call);
            }
            return bytes.len;
        }
        if (take_piece(k, &rest, &piece) != CE_OK) {
            fail(k, CE_UPSTREAM_CUT);
            return bytes.len;
        }
        if (piece.len > 0) {
            k->call.events->on_body(&k->call, piece);
            if (conn->state == CONN_CLOSED) {
                return bytes.len;
            }
        }
    }
    finish(k, rest.len == 0);
    return bytes.len;
}

static size_t on_link_data(struct conn *conn, struct slice bytes)
{
    struct link *k = conn->owner;

    if (!is_busy(k)) {
        link_destroy(k); /* bytes on an idle connection: nobody asked for them */
        return bytes.len;
    }
    k->call.answered = true;
    size_t used = take_answer(k, conn, bytes);

    if (conn->state != CONN_CLOSED) { /* else the link is gone */
        k->bytes_in += used;
    }
    return used;
}

/* The connection has ended under a call; its descriptor is still open. */
static void note_staleness(struct link *k)
{
    size_t farewell = RECEIPT_TLS_FAREWELL_BYTES;

    if (!k->kept || k->call.answered) {
        return;
    }
    if (k->target->tls == NULL) { /* what it has carried is known here: the SYN, and all bytes */
        k->before = (struct receipt_mark){k->sent_before + 1, k->bytes_in};
        farewell = RECEIPT_PLAIN_FAREWELL_BYTES;
    }
    bool none = !call_sent_anything(&k->call) ||
                receipt_is_none(k->conn->fd, k->before, clock_mono_us() - k->began_us, farewell);

    k->call.staleness = none ? CALL_STALE : CALL_MAYBE_STALE;
}

static void on_link_eof(struct conn *conn)
{
    struct link *k = conn->owner;

    if (!is_busy(k)) {
        link_destroy(k);
        return;
    }
    note_staleness(k);
    fail(k, k->state == LINK_HEAD ? CE_UPSTREAM_CLOSED : CE_UPSTREAM_CUT);
}

static void on_link_drained(struct conn *conn)
{
    struct link *k = conn->owner;

    if (is_busy(k) && k->call.events->on_drained != NULL) {
        k->call.events->on_drained(&k->call);
    }
}

static enum corral_err link_fault(const struct link *k, enum corral_err why)
{
    if (why == CE_UPSTREAM_CONNECT || why == CE_UPSTREAM_CONNECT_TIMEOUT) {
        return why;
    }
    if (why == CE_TLS_TIMEOUT) {
        return CE_UPSTREAM_CONNECT_TIMEOUT;
    }
    if (why == CE_TLS_HANDSHAKE || (k->state == LINK_HEAD && k->conn->fault != NULL)) {
        return CE_UPSTREAM_TLS;
    }
    return k->state == LINK_BODY ? CE_UPSTREAM_CUT : CE_UPSTREAM_CLOSED;
}

static void on_link_closed(struct conn *conn, enum corral_err why)
{
    struct link *k = conn->owner;

    if (is_busy(k)) {
        enum corral_err fault = link_fault(k, why);

        note_staleness(k);
        set_apart(k);
        k->call.events->on_fail(&k->call, fault);
    } else if (!list_empty(&k->of_pool)) {
        k->pool->idle_count--;
    }
    list_unlink(&k->of_pool);
    deadline_cancel(&k->idle_deadline);
    link_free(k);
}

static const struct conn_events link_events = {
    .on_open = on_link_open,
    .on_data = on_link_data,
    .on_eof = on_link_eof,
    .on_drained = on_link_drained,
    .on_closed = on_link_closed,
};
