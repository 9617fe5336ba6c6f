/**
 * conn.h: accept, read, send, close. Knows nothing of HTTP but calls httpin_feed() with what was
 * read.
 */
#ifndef SIM_CONN_H
#define SIM_CONN_H

#include "sim.h"

void conn_accept_start(struct sim *s);

/** Queue bytes behind what is unsent and send what the kernel takes. May close the connection. */
void conn_send(struct conn *c, const void *ptr, size_t len);

/** Send what is queued; without a dribble in the plan all of it. */
void conn_flush(struct conn *c);

/** True while more is unsent than a slow reader should make us keep. */
bool conn_backlogged(const struct conn *c);

/** Close once everything queued is sent; `rst` makes it a reset. */
void conn_close(struct conn *c, bool rst);

/** Stop looking at the descriptor but never close it: Ollama's early-abort leak. */
void conn_leak(struct conn *c);

/** The exchange is over: take the next request, or close. */
void conn_exchange_done(struct conn *c);
void conn_reap(struct sim *s);

#endif
