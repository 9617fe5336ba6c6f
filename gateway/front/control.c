#include "front/control.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "net/conn.h"

struct control {
    struct listener listener;
    const struct control_route *routes;
    size_t route_count;
    void *arg;
    struct list peers; /* peer.of_control */
    size_t peer_count;
};

struct peer {
    struct reapable reapable;
    struct list of_control; /* control.peers */
    struct control *control;
    struct conn *conn;
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
        conn_finish(p->conn);
    } else {
        conn_close(p->conn, err);
    }
}

static const struct control_route *find_route(const struct control *c, struct slice path)
{
    for (size_t i = 0; i < c->route_count; i++) {
        if (slice_eq_str(path, c->routes[i].path)) {
            return &c->routes[i];
        }
    }
    return NULL;
}

static void answer(struct peer *p, const struct http_request *r)
{
    const struct control_route *route = find_route(p->control, r->path);
    bool head = slice_eq_str(r->method, "HEAD");
    struct buf body = buf_make(CONTROL_MAX_BYTES);

    if (route == NULL) {
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
        err = h1_read_request(slice_of(bytes.ptr, len), false, &request);
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

static void on_accept(struct listener *l, int fd, const struct net_address *from)
{
    struct control *c = l->owner;

    if (c->peer_count >= CONTROL_MAX_CONNECTIONS) {
        close(fd);
        return;
    }
    struct peer *p = xcalloc(1, sizeof(*p));

    p->control = c;
    list_init(&p->reapable.link);
    deadline_init(&p->deadline, on_peer_deadline);
    list_push_back(&c->peers, &p->of_control);
    c->peer_count++;
    p->conn = conn_accept(l->worker, fd, NULL, 0, &peer_events, p);
    deadline_set(&l->worker->wheel, &p->deadline, l->worker->now_ms, CONTROL_TIMEOUT_MS);
}

struct control *control_create(struct worker *main_worker, int fd,
                               const struct control_route *routes, size_t route_count, void *arg)
{
    struct control *c = xcalloc(1, sizeof(*c));

    c->routes = routes;
    c->route_count = route_count;
    c->arg = arg;
    list_init(&c->peers);
    c->listener =
        (struct listener){.worker = main_worker, .fd = fd, .owner = c, .on_accept = on_accept};
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
