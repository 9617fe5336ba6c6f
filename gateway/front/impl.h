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

struct front {
    struct engine *engine;
    struct front_listener *listeners; /* owned */
    size_t listener_count;
    struct list servers; /* h1_server.of_front */
    size_t server_count;
    bool draining;
};

/** Serve HTTP/1.1 on a fresh descriptor. `stranger`: it was counted in house.sources. */
void h1_server_start(struct front *f, int fd, const struct net_address *peer, struct tls_ctx *tls,
                     bool stranger);

/** Close the idle ones; the others end with their answer. */
void h1_server_drain_all(struct front *f);
void h1_server_close_all(struct front *f);

#endif
