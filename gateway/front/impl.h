/**
 * Shared by the files of front/ only.
 */
#ifndef CORRAL_FRONT_IMPL_H
#define CORRAL_FRONT_IMPL_H

#include "front/front.h"

struct front_listener {
    struct listener listener;
    struct front *front; /* borrowed */
    size_t index;        /* of the snapshot's listener */
};

enum { FRONT_DRAIN_FIRST_MS = 1000 }; /* for a request that is on its way when a drain begins */

struct front {
    struct engine *engine;
    struct front_listener *listeners; /* owned */
    size_t listener_count;
    struct list servers; /* h1_server.of_front */
    size_t server_count;
    struct list arrivals; /* arrival.of_front */
    size_t arrival_count;
    bool draining;
};

/**
 * A connection whose peer is known, counted in house.connections already: hold it against the cap
 * of its address and serve it. Takes over the descriptor.
 */
void front_admit(struct front_listener *fl, int fd, const struct net_address *peer);

/** Close, count and, where a load balancer is to blame, log. */
void front_refuse(struct front *f, int fd, enum corral_err why, const struct net_address *peer);

/** Wait for the PROXY header of a fresh descriptor, then front_admit. arrival.c */
void arrival_start(struct front_listener *from, int fd, const struct net_address *peer);
void arrival_drain_all(struct front *f);
void arrival_close_all(struct front *f);

/** Serve HTTP/1.1 on a fresh descriptor. `stranger`: it was counted in house.sources. */
void h1_server_start(struct front *f, int fd, const struct net_address *peer, struct tls_ctx *tls,
                     bool stranger);

/** Close the idle ones; the others end with their answer. */
void h1_server_drain_all(struct front *f);
void h1_server_close_all(struct front *f);

#endif
