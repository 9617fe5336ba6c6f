/**
 * A worker's client side: its listeners and the connections they brought.
 */
#ifndef CORRAL_FRONT_FRONT_H
#define CORRAL_FRONT_FRONT_H

#include "exchange/engine.h"
#include "net/listener.h"

struct front;

/**
 * Listen with the given descriptors, one for each of the snapshot's listeners, in their order.
 * Borrows everything.
 */
struct front *front_create(struct engine *e, const int *fds, size_t count);

/** Closes what is still open. */
void front_destroy(struct front *f);

/**
 * A drain comes soon: go on accepting and serving, but no connection is kept after its answer, and
 * HTTP/2 clients are asked to open no more streams here (GOAWAY, RFC 9113 section 6.8).
 */
void front_retire(struct front *f);

/** Accept what is queued, then no more; idle connections close, answers say so. */
void front_drain(struct front *f);

/** Connections open now. */
size_t front_connections(const struct front *f);

#endif
