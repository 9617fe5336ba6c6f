/**
 * The small plain listeners of the main thread: health and metrics. GET and HEAD of a few exact
 * paths, one answer a connection, no credentials, nothing else.
 */
#ifndef CORRAL_FRONT_CONTROL_H
#define CORRAL_FRONT_CONTROL_H

#include "base/buf.h"
#include "net/listener.h"

enum { CONTROL_MAX_CONNECTIONS = 64, CONTROL_TIMEOUT_MS = 5000, CONTROL_MAX_BYTES = 16 << 20 };

struct control;

/** One path and who answers it: status and body (appended to `out`). */
struct control_route {
    const char *path;
    const char *content_type;
    unsigned (*answer)(void *arg, struct buf *out);
};

/** Serve `routes` (static) on a listening descriptor, which stays the caller's. */
struct control *control_create(struct worker *main_worker, int fd,
                               const struct control_route *routes, size_t route_count, void *arg);
void control_destroy(struct control *c);

#endif
