/**
 * Inside exchange/ only: the request body, which is read in steps when it is large. body.c
 */
#ifndef CORRAL_EXCHANGE_BODY_H
#define CORRAL_EXCHANGE_BODY_H

#include "exchange/impl.h"

enum {
    BODY_DIRECT_BYTES = 64 * 1024, /* up to here a body is read at once, when it is whole */
    BODY_TURN_BYTES = 64 * 1024,   /* of all larger bodies together in one turn of the worker */
    BODY_STEP_BYTES = 16 * 1024,   /* of one of them, before the next tenant's */
};

/** Free the body and what belongs to it, and give its bytes back to the budget. */
void exchange_drop_body(struct exchange *ex);

/* steps.c */
/** By which a body is read. */
struct request_rules exchange_reading_rules(const struct exchange *ex);
/**
 * A body was read, with this result: rights, limits, what must change on its way (while what it
 * was read with is still there). False: the client has its answer, the exchange has ended.
 */
bool exchange_body_passes(struct exchange *ex, enum corral_err err);
/** Read on in the bodies that wait. Whether any of them has more. Exchanges may end. */
bool body_read_some(struct engine *e);

#endif
