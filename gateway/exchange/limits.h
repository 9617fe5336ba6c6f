/**
 * The exchange's side of limit/: what is asked for a request, told while its answer passes, and
 * said to the client. Shared by the files of exchange/ only.
 */
#ifndef CORRAL_EXCHANGE_LIMITS_H
#define CORRAL_EXCHANGE_LIMITS_H

#include "exchange/impl.h"
#include "limit/fields.h"

/** Reserve. False: refused, the client has its answer and the exchange has ended. */
bool exchange_limit(struct exchange *ex);
/** Tokens went by. */
void exchange_meter(struct exchange *ex, bool prompt, uint64_t output);
/** The last of the limits: charge what was used, give back the rest. May be called again. */
void exchange_settle(struct exchange *ex);
/** The answer's fields about limits; at most LIMIT_FIELDS_MAX, their values in `room`. Returns how
 * many. */
size_t exchange_limit_fields(const struct exchange *ex, bool refused,
                             char room[static LIMIT_FIELDS_BYTES], struct answer_field *out);
/** Tokens of the prompt, from its bytes. */
uint64_t exchange_prompt_estimate(const struct exchange *ex);
/** GET /corral/v1/usage: one's own limits and where they stand. */
void exchange_answer_usage(struct exchange *ex);

#endif
