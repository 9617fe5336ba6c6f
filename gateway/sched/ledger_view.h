/**
 * What the ledger holds at the moment: for the scrape and for tests.
 *
 * Both call `each` under the ledger's mutex: it must be quick and not call the ledger.
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

#endif
