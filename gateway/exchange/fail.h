/**
 * The table from an error to what a client is told. For fail.c and its tests.
 */
#ifndef CORRAL_EXCHANGE_FAIL_H
#define CORRAL_EXCHANGE_FAIL_H

#include <stdbool.h>

#include "base/err.h"

struct failure {
    unsigned status;
    const char *code;     /* OpenAI's `code`; NULL: by status */
    const char *sentence; /* '@' stands for the detail */
    bool close;           /* the connection cannot be trusted or read on */
};

/** Static; never NULL. */
const struct failure *exchange_failure(enum corral_err err);

bool corral_err_is_auth(enum corral_err err);

#endif
