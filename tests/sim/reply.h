/**
 * reply.h: responses as Go's net/http and gin put them on the wire, and the faults that live there.
 *
 * A streamed response is built in steps: reply_step(), any of reply_begin/reply_chunk, reply_flush.
 * Everything of one step leaves in one send().
 */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

#include "sim.h"

struct head {
    int status;
    const char *type;     /* Content-Type or NULL */
    const char *allow;    /* or NULL */
    const char *location; /* or NULL */
    bool events;          /* Cache-Control and Connection of the event streams */
    bool preflight;
};

#define TYPE_GIN "application/json; charset=utf-8"
#define TYPE_JSON "application/json"

/** A response whose whole body is known: Content-Length up to 2,048 bytes, chunked above. */
void reply_whole(struct conn *c, const struct head *h, const char *body, size_t len);
void reply_json(struct conn *c, int status, const char *type, const struct sbuf *body);

void reply_step(struct conn *c);
void reply_begin(struct conn *c, const struct head *h);

/** Add one chunk to the step; false when a fault ended the stream here. */
bool reply_chunk(struct conn *c, const char *ptr, size_t len);
void reply_flush(struct conn *c);

/** The last chunk, and the exchange is over. */
void reply_end(struct conn *c);

#endif
