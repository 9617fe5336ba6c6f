/**
 * Shared by the files of front/ only.
 */
#ifndef CORRAL_FRONT_IMPL_H
#define CORRAL_FRONT_IMPL_H

#include "exchange/exchange.h"
#include "front/front.h"
#include "net/conn.h"

struct h2_room;

struct server;

/** How a connection is served once its protocol is known. */
struct front_codecs {
    void (*start_h1)(struct server *s);
    void (*start_h2)(struct server *s);
};

struct front_listener {
    struct listener listener;
    struct front *front; /* borrowed */
    size_t index;        /* of the snapshot's listener */
};

enum { FRONT_DRAIN_FIRST_MS = 1000 }; /* for a request that is on its way when a drain begins */

struct front {
    struct engine *engine;
    const struct front_codecs *codecs; /* static */
    struct front_listener *listeners;  /* owned */
    size_t listener_count;
    struct h2_room *h2;    /* owned */
    struct list servers;   /* server.of_front, with a credential */
    struct list strangers; /* server.of_front, without one; the oldest first */
    size_t server_count;   /* of both */
    struct list arrivals;  /* arrival.of_front */
    size_t arrival_count;
    bool retiring; /* a drain comes soon, or has begun: no connection is kept */
    bool draining;
};

static inline const struct settings *front_settings(const struct front *f)
{
    return &f->engine->snapshot->settings;
}

static inline uint64_t front_now_ms(const struct front *f)
{
    return f->engine->worker->now_ms;
}

static inline void front_set_deadline(struct front *f, struct deadline *d, uint64_t timeout_ms)
{
    deadline_set(&f->engine->worker->wheel, d, front_now_ms(f), timeout_ms);
}

/** A line about a peer of whom no access line will tell. `detail` NULL: none. */
void front_note(struct front *f, const char *event, const struct net_peer *peer,
                enum corral_err why, const char *detail);

/** refuse.c: close, count and log, with the setting that is behind it. CE_CLIENT_GONE: only close.
 */
void front_refuse(struct front *f, int fd, enum corral_err why, const struct net_address *peer,
                  bool trusted);

/** What takes over a descriptor when it is known whose connection it is. */
typedef void (*front_admit)(struct front_listener *fl, int fd, const struct net_address *peer);

/** Wait for the PROXY header of a fresh descriptor, then `admit`. arrival.c */
void arrival_start(struct front_listener *from, int fd, const struct net_address *peer,
                   front_admit admit);
void arrival_drain_all(struct front *f);
void arrival_close_all(struct front *f);

#endif
