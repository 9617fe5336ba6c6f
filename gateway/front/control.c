#include "front/control.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "net/conn.h"

struct control {
    struct listener listener;
    const struct control_site *site;
    void *arg;
    struct list peers; /* peer.of_control, the oldest first */
    size_t peer_count;
};

struct peer {
    struct reapable reapable;
    struct list of_control; /* control.peers */
    struct control *control;
    struct conn *conn;
    uint64_t source; /* its address, as net_peer_source */
    struct deadline deadline;
    struct h1_scan scan;
};

static void write_answer(struct peer *p, unsigned status, const char *type, struct slice body,
                         bool with_body)
{
    char room[512];
    struct h1_writer w = {.data = room, .capacity = sizeof(room)};

    h1_write_status_line(&w, status);
    h1_write_field(&w, SLICE_LITERAL("Content-Type"), slice_str(type));
    h1_write_str(&w, "Content-Length: ");
    h1_write_u64(&w, body.len);
    h1_write_str(&w, "\r\nConnection: close\r\n\r\n");
    enum corral_err err = conn_write(p->conn, slice_of(w.data, w.len));
    if (err == CE_OK && with_body) {
        err = conn_write(p->conn, body);
    }
    if (err == CE_OK) {
        conn_finish(p->conn, NULL);
    } else {
        conn_close(p->conn, err);
    }
}

static const struct control_route *find_route(const struct control *c, struct slice path)
{
    for (size_t i = 0; i < c->site->route_count; i++) {
        if (slice_eq_str(path, c->site->routes[i].path)) {
            return &c->site->routes[i];
        }
    }
    return NULL;
}

static bool owns_host(const struct control *c, struct slice authority)
{
    return c->site->owns_host == NULL || authority.len == 0 ||
           c->site->owns_host(c->arg, authority);
}

static void answer(struct peer *p, const struct http_request *r)
{
    const struct control_route *route = find_route(p->control, r->path);
    bool head = slice_eq_str(r->method, "HEAD");
    struct buf body = buf_make(CONTROL_MAX_BYTES);

    if (!owns_host(p->control, r->authority)) {
        write_answer(p, 421, "text/plain", SLICE_LITERAL("this host name is not served here\n"),
                     !head);
    } else if (route == NULL) {
        write_answer(p, 404, "text/plain", SLICE_LITERAL("not found\n"), !head);
    } else if (!head && !slice_eq_str(r->method, "GET")) {
        write_answer(p, 405, "text/plain", SLICE_LITERAL("GET or HEAD only\n"), true);
    } else {
        unsigned status = route->answer(p->control->arg, &body);

        write_answer(p, status, route->content_type, buf_slice(&body), !head);
    }
    buf_finish(&body);
}

static size_t on_peer_data(struct conn *c, struct slice bytes)
{
    struct peer *p = c->owner;
    struct http_request request;
    size_t len = 0;

    enum corral_err err = h1_scan_head(&p->scan, bytes, &len);
    if (err == CE_MORE) {
        return 0;
    }
    if (err == CE_OK) {
        err = h1_read_probe(slice_of(bytes.ptr, len), &request);
    }
    if (err == CE_OK) {
        answer(p, &request);
    } else {
        write_answer(p, 400, "text/plain", SLICE_LITERAL("bad request\n"), true);
    }
    return bytes.len;
}

static void on_peer_eof(struct conn *c)
{
    conn_close(c, CE_CLIENT_GONE);
}

static void destroy_reaped(struct reapable *r)
{
    free(CONTAINER_OF(r, struct peer, reapable));
}

static void on_peer_closed(struct conn *c, enum corral_err why)
{
    struct peer *p = c->owner;

    deadline_cancel(&p->deadline);
    list_unlink(&p->of_control);
    p->control->peer_count--;
    worker_reap(c->worker, &p->reapable, destroy_reaped);
}

static const struct conn_events peer_events = {
    .on_data = on_peer_data,
    .on_eof = on_peer_eof,
    .on_closed = on_peer_closed,
};

static void on_peer_deadline(struct deadline *d)
{
    conn_close(CONTAINER_OF(d, struct peer, deadline)->conn, CE_HEAD_TIMEOUT);
}

static void close_peer(struct peer *p)
{
    conn_close(p->conn, CE_CONNECTIONS);
}

/* The oldest of this address when it has its share, else the oldest of all when all is taken. */
static void make_room(struct control *c, uint64_t source)
{
    struct peer *oldest_of_source = NULL;
    size_t of_source = 0;

    LIST_EACH(link, next, &c->peers)
    {
        struct peer *p = CONTAINER_OF(link, struct peer, of_control);

        if (p->source == source) {
            oldest_of_source = oldest_of_source == NULL ? p : oldest_of_source;
            of_source++;
        }
    }
    if (of_source >= CONTROL_MAX_PER_SOURCE) {
        close_peer(oldest_of_source);
    } else if (c->peer_count >= CONTROL_MAX_CONNECTIONS) {
        close_peer(CONTAINER_OF(c->peers.next, struct peer, of_control));
    }
}

static void on_accept(struct listener *l, int fd, const struct net_address *from)
{
    struct control *c = l->owner;
    const struct net_peer who = net_peer_of(from);

    make_room(c, net_peer_source(&who));
    struct peer *p = xcalloc(1, sizeof(*p));

    p->control = c;
    p->source = net_peer_source(&who);
    list_init(&p->reapable.link);
    deadline_init(&p->deadline, on_peer_deadline);
    list_push_back(&c->peers, &p->of_control);
    c->peer_count++;
    p->conn = conn_accept(l->worker, fd, NULL, 0, &peer_events, p);
    deadline_set(&l->worker->wheel, &p->deadline, l->worker->now_ms, CONTROL_TIMEOUT_MS);
}

struct control *control_create(struct worker *main_worker, int fd, const struct control_site *site,
                               void *arg)
{
    struct control *c = xcalloc(1, sizeof(*c));

    c->site = site;
    c->arg = arg;
    list_init(&c->peers);
    c->listener = (struct listener){.worker = main_worker,
                                    .fd = fd,
                                    .owner = c,
                                    .on_accept = on_accept,
                                    .accepts_per_turn = CONTROL_ACCEPTS_PER_TURN};
    listener_start(&c->listener);
    return c;
}

void control_destroy(struct control *c)
{
    if (c == NULL) {
        return;
    }
    if (c->listener.open) {
        c->listener.open = false;
        event_del(&c->listener.event);
        deadline_cancel(&c->listener.pause);
    }
    LIST_EACH(link, next, &c->peers)
    {
        conn_close(CONTAINER_OF(link, struct peer, of_control)->conn, CE_CLIENT_GONE);
    }
    free(c);
}
