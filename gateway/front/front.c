#include "front/front.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "front/server.h"
#include "http/h2.h"

/* Whoever may open a socket in the file system was let to it by its mode. */
static bool is_trusted(const struct listener_settings *s, const struct net_address *peer)
{
    if (net_address_is_unix(peer)) {
        return true;
    }
    for (size_t i = 0; i < s->trusted_source_count; i++) {
        if (net_prefix_contains(&s->trusted_sources[i], peer)) {
            return true;
        }
    }
    return false;
}

/* A connection whose peer is known, counted in house.shares already. Takes over the descriptor. */
static void admit(struct front_listener *fl, int fd, const struct net_address *peer)
{
    struct front *f = fl->front;
    struct house *h = f->engine->house;
    const struct snapshot *s = f->engine->snapshot;
    const struct limit_settings *limits = &s->settings.limits;
    const struct listener_settings *ls = &s->settings.listeners[fl->index];
    struct net_peer who = net_peer_of(peer);
    bool trusted = is_trusted(ls, peer);
    uint32_t cap =
        trusted ? limits->connections_per_trusted_address : limits->connections_per_address;

    if (!source_count_take(h->sources, net_peer_source(&who), cap)) {
        connection_share_close(&h->shares);
        front_refuse(f, fd, CE_CONNECTIONS_ADDRESS, peer, trusted);
        return;
    }
    metrics_add(f->engine->metrics, M_CONNECTIONS, 0, 0, 0, 1);
    server_start(fl, fd, peer, ls->tls ? s->tls : NULL, trusted);
}

static void on_accept(struct listener *l, int fd, const struct net_address *peer)
{
    struct front_listener *fl = l->owner;
    struct front *f = fl->front;
    struct house *h = f->engine->house;
    const struct listener_settings *ls = &f->engine->snapshot->settings.listeners[fl->index];

    if (ls->proxy_protocol && !is_trusted(ls, peer)) {
        front_refuse(f, fd, CE_PROXY_SOURCE, peer, false);
        return;
    }
    if (!connection_share_open(&h->shares) &&
        !(server_close_stranger(f) && connection_share_open(&h->shares))) {
        front_refuse(f, fd, CE_CONNECTIONS, peer, false);
    } else if (ls->proxy_protocol) {
        arrival_start(fl, fd, peer, admit);
    } else {
        admit(fl, fd, peer);
    }
}

static const struct front_codecs codecs = {h1_server_start, h2_server_start};

struct front *front_create(struct engine *e, const int *fds, size_t count)
{
    struct front *f = xcalloc(1, sizeof(*f));

    f->engine = e;
    f->codecs = &codecs;
    f->h2 = h2_room_create();
    list_init(&f->servers);
    list_init(&f->strangers);
    list_init(&f->arrivals);
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

void front_retire(struct front *f)
{
    f->retiring = true;
    server_retire_all(f);
}

void front_drain(struct front *f)
{
    for (size_t i = 0; i < f->listener_count; i++) {
        listener_stop(&f->listeners[i].listener);
    }
    f->retiring = true;
    f->draining = true;
    server_drain_all(f);
    arrival_drain_all(f);
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
    arrival_close_all(f);
    server_close_all(f);
    h2_room_destroy(f->h2);
    free(f->listeners);
    free(f);
}

size_t front_connections(const struct front *f)
{
    return f->server_count + f->arrival_count;
}
