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

/** Accept what is queued, then no more; idle connections close, answers say so. */
void front_drain(struct front *f);

/** Connections open now. */
size_t front_connections(const struct front *f);

#endif
