/**
 * Inside exchange/ only: reading large request bodies in steps. body.c
 */
#ifndef CORRAL_EXCHANGE_BODY_H
#define CORRAL_EXCHANGE_BODY_H

#include <stdbool.h>

struct engine;

enum {
    BODY_DIRECT_BYTES = 64 * 1024, /* up to here a body is read at once, when it is whole */
    BODY_TURN_BYTES = 64 * 1024,   /* of all larger bodies together in one turn of the worker */
    BODY_STEP_BYTES = 16 * 1024,   /* of one of them, before the next tenant's */
};

/** Read on in the bodies that wait. Whether any of them has more. Exchanges may end. */
bool body_read_some(struct engine *e);

#endif
