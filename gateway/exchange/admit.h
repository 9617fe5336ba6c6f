/**
 * Step 10 of DESIGN: a slot, or a place in the queue, also while no replica is there. For the files
 * of exchange/ only. Each call may end the exchange.
 */
#ifndef CORRAL_EXCHANGE_ADMIT_H
#define CORRAL_EXCHANGE_ADMIT_H

#include "exchange/impl.h"

/** A slot or a place in the queue. `except_replica`: not there; INTERN_NONE: anywhere. */
void exchange_admit(struct exchange *ex, uint32_t except_replica);

/** The ticket has been granted, or waits in vain. */
void exchange_granted(struct exchange *ex);

/** The deadline of EX_QUEUED. */
void exchange_wait_over(struct exchange *ex);

/** Its replica could not be reached and nothing was sent: wait again, for any replica. */
void exchange_put_back(struct exchange *ex);

/** Of dispatch.c: main shall ask the replica now; `unreachable`: nothing goes there until then. */
void exchange_suspect(struct exchange *ex, uint32_t replica, bool unreachable);

#endif
