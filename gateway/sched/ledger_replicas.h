/**
 * What the ledger is told of the replicas: by the main thread, from what upstream/ has seen.
 */
#ifndef CORRAL_SCHED_LEDGER_REPLICAS_H
#define CORRAL_SCHED_LEDGER_REPLICAS_H

#include "sched/ledger.h"

#define LEDGER_NEVER UINT64_MAX

/** What upstream/ knows of one model on one replica. */
struct ledger_row {
    uint32_t model;
    uint32_t slots;
    bool loaded; /* resident: no load needed */
};

enum ledger_replica_state {
    LEDGER_USABLE,
    LEDGER_LOST, /* does not answer: nothing is granted there */
    LEDGER_GONE, /* is no longer configured; what it listed is lost as well */
};

/**
 * Replace everything known about one replica: `rows` is all that it lists (of one that is gone:
 * nothing is read). Requests for a model that only lost replicas list go on waiting for the grace,
 * see ledger_give_up; those for a model that no replica lists any more are notified.
 */
void ledger_set_replica(struct ledger *l, uint32_t replica, enum ledger_replica_state state,
                        const struct ledger_row *rows, size_t count, uint64_t now_ms);

/**
 * Give up models that have been without a usable replica for the whole grace, counted from the
 * moment the last one was lost: who waits for them is notified, who asks is refused at once.
 *
 * @return in how many milliseconds the next model is due; LEDGER_NEVER: none is lost.
 */
uint64_t ledger_give_up(struct ledger *l, uint64_t now_ms);

/** The replicas have changed: notify all who wait for that. */
void ledger_wake(struct ledger *l);

#endif
