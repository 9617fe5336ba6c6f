/**
 * What the ledger holds at the moment: for the scrape and for tests.
 *
 * Both call `each` for a copy, without the ledger's mutex: it may take its time.
 */
#ifndef CORRAL_SCHED_LEDGER_VIEW_H
#define CORRAL_SCHED_LEDGER_VIEW_H

#include "sched/ledger.h"

struct ledger_row_view {
    uint32_t replica;
    uint32_t model;
    uint32_t slots;
    uint32_t in_flight;
    uint32_t draining;
    bool loaded;
    bool usable;
};

void ledger_each_row(struct ledger *l, void (*each)(void *arg, const struct ledger_row_view *row),
                     void *arg);

struct ledger_tenant_view {
    uint32_t tenant;
    uint32_t running;
    uint32_t waiting;
    uint64_t service; /* weighted units served so far */
};

void ledger_each_tenant(struct ledger *l,
                        void (*each)(void *arg, const struct ledger_tenant_view *tenant),
                        void *arg);

/** Whether anything is still said of a number: else another name may have it. */
bool ledger_knows_replica(struct ledger *l, uint32_t replica);
bool ledger_knows_model(struct ledger *l, uint32_t model);

#endif
