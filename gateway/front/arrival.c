#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "front/impl.h"
#include "net/proxy_header.h"

/*
 * A connection that has not said yet whose it is. Exactly the header is read, never a byte behind
 * it: what follows belongs to TLS or HTTP.
 */
struct arrival {
    struct reapable reapable;
    struct list of_front;        /* front.arrivals */
    struct front_listener *from; /* borrowed */
    front_admit admit;
    struct net_address peer; /* the load balancer */
    struct event event;
    struct deadline deadline;
    int fd; /* owned until it is handed on */
    size_t have;
    size_t need;
    char bytes[PROXY_HEADER_MAX];
};

static void destroy_reaped(struct reapable *r)
{
    free(CONTAINER_OF(r, struct arrival, reapable));
}

/* Forget it; the descriptor is somebody else's now. */
static void leave(struct arrival *a)
{
    struct front *f = a->from->front;

    event_del(&a->event);
    deadline_cancel(&a->deadline);
    list_unlink(&a->of_front);
    f->arrival_count--;
    worker_reap(f->engine->worker, &a->reapable, destroy_reaped);
}

static void refuse(struct arrival *a, enum corral_err why)
{
    leave(a);
    front_refuse(a->from->front, a->fd, why, &a->peer, true);
    connection_share_close(&a->from->front->engine->house->shares);
}

static void judge(struct arrival *a)
{
    struct proxy_header header;
    enum corral_err err = proxy_header_read(slice_of(a->bytes, a->have), &header, &a->need);

    if (err == CE_OK) {
        leave(a);
        a->admit(a->from, a->fd, header.has_source ? &header.source : &a->peer);
    } else if (err != CE_MORE) {
        refuse(a, err);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct arrival *a = arg;

    worker_touch(a->from->front->engine->worker);
    ssize_t n = read(a->fd, a->bytes + a->have, a->need - a->have);
    if (n > 0) {
        a->have += (size_t)n;
        judge(a);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        /* A load balancer that only looks whether the port is open says nothing at all. */
        refuse(a, a->have == 0 ? CE_CLIENT_GONE : CE_PROXY_HEADER);
    }
}

static void on_deadline(struct deadline *d)
{
    refuse(CONTAINER_OF(d, struct arrival, deadline), CE_PROXY_TIMEOUT);
}

void arrival_start(struct front_listener *from, int fd, const struct net_address *peer,
                   front_admit admit)
{
    struct front *f = from->front;
    struct arrival *a = xcalloc(1, sizeof(*a));

    a->from = from;
    a->admit = admit;
    a->peer = *peer;
    a->fd = fd;
    a->need = PROXY_HEADER_MIN;
    list_init(&a->reapable.link);
    list_push_back(&f->arrivals, &a->of_front);
    f->arrival_count++;
    deadline_init(&a->deadline, on_deadline);
    front_set_deadline(f, &a->deadline, front_settings(f)->timeouts.handshake_s * 1000);
    event_assign(&a->event, f->engine->worker->base, fd, EV_READ | EV_PERSIST, on_readable, a);
    if (event_add(&a->event, NULL) != 0) {
        refuse(a, CE_IO);
    }
}

void arrival_drain_all(struct front *f)
{
    LIST_EACH(link, next, &f->arrivals)
    {
        struct arrival *a = CONTAINER_OF(link, struct arrival, of_front);

        front_set_deadline(f, &a->deadline, FRONT_DRAIN_FIRST_MS);
    }
}

void arrival_close_all(struct front *f)
{
    LIST_EACH(link, next, &f->arrivals)
    {
        refuse(CONTAINER_OF(link, struct arrival, of_front), CE_CLIENT_GONE);
    }
}
