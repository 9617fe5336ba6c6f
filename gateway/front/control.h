/**
 * The small plain listeners of the main thread: health and metrics. GET and HEAD of a few exact
 * paths, one answer a connection, no credentials, nothing else.
 *
 * Whoever connects and says nothing makes room for others: above CONTROL_MAX_CONNECTIONS the oldest
 * connection is closed, above CONTROL_MAX_PER_SOURCE the oldest of the same address. So a probe is
 * answered however many silent peers there are.
 */
#ifndef CORRAL_FRONT_CONTROL_H
#define CORRAL_FRONT_CONTROL_H

#include "base/buf.h"
#include "net/listener.h"

enum {
    CONTROL_MAX_CONNECTIONS = 256,
    CONTROL_MAX_PER_SOURCE = 32,
    /* A request that came with its connection is read before so many others can close it. */
    CONTROL_ACCEPTS_PER_TURN = 8,
    CONTROL_TIMEOUT_MS = 5000,
    CONTROL_MAX_BYTES = 16 << 20,
};

struct control;

/** One path and who answers it: status and body (appended to `out`). */
struct control_route {
    const char *path;
    const char *content_type;
    unsigned (*answer)(void *arg, struct buf *out);
};

/** What is served. Static. */
struct control_site {
    const struct control_route *routes;
    size_t route_count;
    /**
     * Whether a Host field names us; it is not asked about requests without one (HTTP/1.0). NULL:
     * every name does. A page in somebody's browser whose name was made to point here (DNS
     * rebinding) is told apart by it.
     */
    bool (*owns_host)(void *arg, struct slice authority);
};

/** Serve `site` on a listening descriptor, which stays the caller's. `arg` is for its functions. */
struct control *control_create(struct worker *main_worker, int fd, const struct control_site *site,
                               void *arg);
void control_destroy(struct control *c);

#endif
