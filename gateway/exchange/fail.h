/**
 * The table from an error to what a client gets as its answer, and the ways to end with one.
 */
#ifndef CORRAL_EXCHANGE_FAIL_H
#define CORRAL_EXCHANGE_FAIL_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

struct exchange;

struct failure {
    unsigned status;
    const char *code;     /* OpenAI's `code`; NULL: by status */
    const char *sentence; /* '@' stands for the detail */
    bool close;           /* the connection cannot be trusted or read on */
    const char *type;     /* OpenAI's `type`; NULL: by status */
};

/** Static; never NULL. */
const struct failure *exchange_failure(enum corral_err err);

bool corral_err_is_auth(enum corral_err err);

/** Answer an error, log and count it, end the exchange. */
COLD void exchange_fail(struct exchange *ex, enum corral_err err);
/** With a detail for the sentence (a model, a field, an Allow list). */
COLD void exchange_fail_detail(struct exchange *ex, enum corral_err err, struct slice detail);
/** Append the in-stream error event of this exchange's route. */
void exchange_error_event(struct exchange *ex, enum corral_err err);

#endif
