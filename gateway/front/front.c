#include "front/front.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "front/impl.h"

static bool is_trusted(const struct listener_settings *s, const struct net_address *peer)
{
    for (size_t i = 0; i < s->trusted_source_count; i++) {
        if (net_prefix_contains(&s->trusted_sources[i], peer)) {
            return true;
        }
    }
    return false;
}

static void refuse(struct front *f, int fd, enum corral_err why)
{
    metrics_add(f->engine->metrics, M_CONNECTIONS_REFUSED, why, 0, 0, 1);
    close(fd);
}

static void on_accept(struct listener *l, int fd, const struct net_address *peer)
{
    struct front_listener *fl = l->owner;
    struct front *f = fl->front;
    struct house *h = f->engine->house;
    const struct snapshot *s = f->engine->snapshot;
    const struct limit_settings *limits = &s->settings.limits;
    const struct listener_settings *ls = &s->settings.listeners[fl->index];
    uint32_t cap = is_trusted(ls, peer) ? limits->connections_per_trusted_address
                                        : limits->connections_per_address;

    if (atomic_fetch_add_explicit(&h->connections, 1, memory_order_relaxed) >= h->max_connections) {
        atomic_fetch_sub_explicit(&h->connections, 1, memory_order_relaxed);
        refuse(f, fd, CE_CONNECTIONS);
        return;
    }
    if (!source_count_take(h->sources, net_address_source(peer), cap)) {
        atomic_fetch_sub_explicit(&h->connections, 1, memory_order_relaxed);
        refuse(f, fd, CE_CONNECTIONS_ADDRESS);
        return;
    }
    metrics_add(f->engine->metrics, M_CONNECTIONS, 0, 0, 0, 1);
    h1_server_start(f, fd, peer, ls->tls ? s->tls : NULL, true);
}

struct front *front_create(struct engine *e, const int *fds, size_t count)
{
    struct front *f = xcalloc(1, sizeof(*f));

    f->engine = e;
    list_init(&f->servers);
    f->listeners = xcalloc(count == 0 ? 1 : count, sizeof(*f->listeners));
    f->listener_count = count;
    for (size_t i = 0; i < count; i++) {
        struct front_listener *fl = &f->listeners[i];

        fl->front = f;
        fl->index = i;
        fl->listener = (struct listener){
            .worker = e->worker, .fd = fds[i], .owner = fl, .on_accept = on_accept};
        listener_start(&fl->listener);
    }
    return f;
}

void front_drain(struct front *f)
{
    for (size_t i = 0; i < f->listener_count; i++) {
        listener_stop(&f->listeners[i].listener);
    }
    f->draining = true;
    h1_server_drain_all(f);
}

void front_destroy(struct front *f)
{
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < f->listener_count; i++) {
        if (f->listeners[i].listener.open) {
            f->listeners[i].listener.open = false;
            event_del(&f->listeners[i].listener.event);
            deadline_cancel(&f->listeners[i].listener.pause);
        }
    }
    h1_server_close_all(f);
    free(f->listeners);
    free(f);
}

size_t front_connections(const struct front *f)
{
    return f->server_count;
}
