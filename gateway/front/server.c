#include <stdlib.h>

#include "base/mem.h"
#include "front/server.h"
#include "http/h2.h"
#include "net/tls.h"

enum { STALL_PROGRESS_BYTES = 16 * 1024 };

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const struct conn_events first_events;

struct client_info server_client(struct server *s, const struct client_ops *ops, void *client)
{
    return (struct client_info){ops, client, s->peer, s->tls, s->trusted, s->certificate};
}

bool server_is_stale(struct server *s)
{
    struct tls_ctx *now = s->front->engine->snapshot->tls;

    return s->certificate != NULL && s->conn->tls != now && !tls_conn_verify_again(s->conn, now);
}

enum corral_err server_known(struct server *s, uint32_t tenant)
{
    struct house *h = s->front->engine->house;
    const struct limit_settings *limits = &front_settings(s->front)->limits;
    uint64_t source = net_peer_source(&s->peer);

    if (!server_is_stranger(s)) {
        return CE_OK;
    }
    if (!source_count_take(h->known_sources, source,
                           s->trusted ? UINT32_MAX : limits->connections_per_known_address)) {
        return CE_CONNECTIONS_ADDRESS;
    }
    enum corral_err err = connection_share_take(&h->shares, tenant, limits);
    if (err != CE_OK) {
        source_count_release(h->known_sources, source);
        return err;
    }
    s->tenant = tenant;
    list_unlink(&s->of_front);
    list_push_back(&s->front->servers, &s->of_front);
    source_count_release(h->sources, source);
    return CE_OK;
}

static void forget(struct server *s)
{
    struct house *h = s->front->engine->house;
    uint64_t source = net_peer_source(&s->peer);

    if (server_is_stranger(s)) {
        source_count_release(h->sources, source);
    } else {
        source_count_release(h->known_sources, source);
        connection_share_give(&h->shares, s->tenant);
    }
    connection_share_close(&h->shares);
}

uint64_t server_idle_ms(const struct server *s)
{
    const struct timeout_settings *t = &front_settings(s->front)->timeouts;
    uint64_t first_s = t->handshake_s + t->head_s;

    return (server_is_stranger(s) && first_s < t->idle_s ? first_s : t->idle_s) * 1000;
}

/* One that came a moment ago may just be about to show its credential. */
bool server_close_stranger(struct front *f)
{
    enum { GRACE_MS = 1000 };

    if (list_empty(&f->strangers)) {
        return false;
    }
    struct server *s = CONTAINER_OF(f->strangers.next, struct server, of_front);

    if ((uint32_t)front_now_ms(f) - s->began_ms < GRACE_MS) {
        return false;
    }
    metrics_add(f->engine->metrics, M_CONNECTIONS_REFUSED, CE_CONNECTIONS, 0, 0, 1);
    conn_close(s->conn, CE_CONNECTIONS);
    return true;
}

void server_stall(struct server *s, struct stall *stall, uint64_t bytes)
{
    if (stall->since_ms == 0) {
        *stall = (struct stall){front_now_ms(s->front), bytes};
    }
}

/* What the peer takes is measured, not whether it takes something now and then. */
enum corral_err server_has_stalled(struct server *s, struct stall *stall, uint64_t bytes)
{
    uint64_t now_ms = front_now_ms(s->front);
    uint64_t limit_ms = front_settings(s->front)->timeouts.write_stall_s * 1000;

    if (stall->since_ms == STALL_EVICTED) {
        return CE_ANSWER_MEMORY;
    }
    if (stall->since_ms == 0 || now_ms - stall->since_ms < limit_ms) {
        return CE_OK;
    }
    bool moved = bytes - stall->bytes >= STALL_PROGRESS_BYTES;

    *stall = (struct stall){now_ms, bytes};
    return moved ? CE_OK : CE_CLIENT_STALLED;
}

void server_finish(struct server *s, bool unread)
{
    const struct settings *settings = front_settings(s->front);
    const struct conn_ending ending = {
        .stall_ms = (uint32_t)settings->timeouts.write_stall_s * 1000,
        .linger_ms = unread ? settings->timeouts.linger_s * 1000 : (uint32_t)CONN_LINGER_MS,
        .linger_bytes = unread ? settings->limits.linger_bytes : (uint32_t)CONN_LINGER_BYTES,
    };

    conn_finish(s->conn, &ending);
}

void server_take_over(struct server *s, const struct conn_events *events,
                      void (*leave)(void *codec), void *codec)
{
    deadline_cancel(&s->deadline);
    s->leave = leave;
    s->codec = codec;
    s->conn->events = events;
    s->conn->owner = codec;
}

/* ---- until the protocol is known ---- */

static void on_first_open(struct conn *c)
{
    struct server *s = c->owner;

    s->certificate = tls_conn_peer_names(c);
    if (tls_conn_chose_h2(c) || !c->offers_h1) {
        s->front->codecs->start_h2(s);
    } else {
        s->front->codecs->start_h1(s);
    }
}

/* RFC 9113 section 3.3, prior knowledge: no HTTP/1.1 request begins like that. */
static size_t on_first_data(struct conn *c, struct slice bytes)
{
    struct server *s = c->owner;
    struct slice preface = SLICE_LITERAL(h2_preface);
    size_t len = bytes.len < preface.len ? bytes.len : preface.len;
    bool alike = memcmp(bytes.ptr, preface.ptr, len) == 0;

    if (alike && len < preface.len) {
        return 0;
    }
    if (alike) {
        s->front->codecs->start_h2(s);
    } else {
        s->front->codecs->start_h1(s);
    }
    return c->events->on_data(c, bytes);
}

void server_on_eof(struct conn *c)
{
    conn_close(c, CE_CLIENT_GONE);
}

static void on_first_closed(struct conn *c, enum corral_err why)
{
    server_end(c->owner, why);
}

static const struct conn_events first_events = {
    .on_open = on_first_open,
    .on_data = on_first_data,
    .on_eof = server_on_eof,
    .on_closed = on_first_closed,
};

static void on_deadline(struct deadline *d)
{
    server_finish(CONTAINER_OF(d, struct server, deadline), false);
}

/* ---- begin and end ---- */

void server_start(struct front_listener *fl, int fd, const struct net_address *peer,
                  struct tls_ctx *tls, bool trusted)
{
    struct front *f = fl->front;
    const struct settings *settings = front_settings(f);
    uint32_t protocols = settings->listeners[fl->index].protocols;
    struct server *s = xcalloc(1, sizeof(*s));

    s->front = f;
    s->peer = net_peer_of(peer);
    s->tls = tls != NULL;
    s->trusted = trusted;
    s->tenant = INTERN_NONE;
    s->began_ms = (uint32_t)front_now_ms(f);
    list_init(&s->reapable.link);
    deadline_init(&s->deadline, on_deadline);
    list_push_back(&f->strangers, &s->of_front);
    f->server_count++;
    s->conn = conn_accept(f->engine->worker, fd, tls, settings->timeouts.handshake_s * 1000,
                          &first_events, s);
    s->conn->offers_h1 = (protocols & PROTOCOL_HTTP_1_1) != 0;
    s->conn->offers_h2 = (protocols & PROTOCOL_H2) != 0;
    if (tls != NULL) {
        return; /* ALPN decides; the handshake has its own deadline */
    }
    if (protocols == PROTOCOL_HTTP_1_1) {
        s->front->codecs->start_h1(s);
    } else if (protocols == PROTOCOL_H2) {
        s->front->codecs->start_h2(s);
    } else {
        front_set_deadline(f, &s->deadline,
                           f->draining ? (uint64_t)FRONT_DRAIN_FIRST_MS
                                       : settings->timeouts.head_s * 1000);
    }
}

static void destroy_reaped(struct reapable *r)
{
    struct server *s = CONTAINER_OF(r, struct server, reapable);

    free(s->certificate);
    free(s);
}

void server_end(struct server *s, enum corral_err why)
{
    struct front *f = s->front;

    if (why == CE_TLS_HANDSHAKE || why == CE_TLS_TIMEOUT) { /* no request came of it */
        metrics_add(f->engine->metrics, M_CONNECTIONS_REFUSED, why, 0, 0, 1);
        front_note(f, "tls.failed", &s->peer, why, s->conn->fault);
    }
    forget(s);
    deadline_cancel(&s->deadline);
    list_unlink(&s->of_front);
    f->server_count--;
    worker_reap(f->engine->worker, &s->reapable, destroy_reaped);
}

static void retire_list(struct list *servers)
{
    LIST_EACH(link, next, servers)
    {
        struct server *s = CONTAINER_OF(link, struct server, of_front);

        if (s->leave != NULL) {
            s->leave(s->codec);
        }
    }
}

void server_retire_all(struct front *f)
{
    retire_list(&f->strangers);
    retire_list(&f->servers);
}

void server_drain_all(struct front *f)
{
    server_retire_all(f);
    LIST_EACH(link, next, &f->strangers)
    {
        struct server *s = CONTAINER_OF(link, struct server, of_front);

        if (s->leave == NULL && !s->tls) {
            front_set_deadline(f, &s->deadline, FRONT_DRAIN_FIRST_MS);
        }
    }
}

static void close_list(struct list *servers)
{
    LIST_EACH(link, next, servers)
    {
        conn_close(CONTAINER_OF(link, struct server, of_front)->conn, CE_CLIENT_GONE);
    }
}

void server_close_all(struct front *f)
{
    close_list(&f->strangers);
    close_list(&f->servers);
}
