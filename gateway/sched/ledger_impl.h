/**
 * The ledger's inside: shared by its own files only.
 *
 * ledger.c: the calls. ledger_ticket.c: tickets and notes. ledger_queue.c: flows and their heap.
 * ledger_row.c: replicas, the choice among rows, and models that are lost. All is called under
 * ledger.lock.
 */
#ifndef CORRAL_SCHED_LEDGER_IMPL_H
#define CORRAL_SCHED_LEDGER_IMPL_H

#include "sched/ledger_parts.h"
#include "sched/ledger_replicas.h"
#include "sched/ledger_view.h"

/** A fresh ticket, in no state yet. */
struct ticket *ledger_new_ticket(struct ledger *l);
void ledger_free_ticket(struct ledger *l, struct ticket *k);
/** The ticket a name stands for, or NULL when it is out of date. */
struct ticket *ledger_find_ticket(struct ledger *l, struct ticket_ref ref);
/** The ticket's worker shall hear of it, after unlock. */
void ledger_note(struct ledger *l, const struct ticket *k);
void ledger_forget_note(struct ledger *l, struct ticket_ref ref);
/** Unlock, then tell the workers: notify may lock what it likes. */
void ledger_unlock_and_notify(struct ledger *l);

struct model *ledger_model(struct ledger *l, uint32_t number);
struct tenant *ledger_tenant(struct ledger *l, uint32_t number);
struct replica *ledger_replica(struct ledger *l, uint32_t number);
struct row *ledger_find_row(struct model *m, uint32_t replica);
/** Take out the rows of which nothing is left: not listed, not waited for, nothing running. */
void ledger_forget_rows(struct model *m);

/** The row to use next, or NULL: none has room. */
struct row *ledger_choose_row(struct ledger *l, struct model *m);

/** What there is to hope for: CE_OK: a usable replica lists the model. CE_PENDING: one that was
 * lost a moment ago does. CE_NO_REPLICA: it was given up. CE_MODEL_UNKNOWN: none lists it. */
enum corral_err ledger_model_outlook(struct ledger *l, const struct model *m);

/** ledger_set_replica's rows and state; who waits for them is the caller's. */
void ledger_apply_replica(struct ledger *l, uint32_t replica, enum ledger_replica_state state,
                          const struct ledger_row *rows, size_t count, uint64_t now_ms);

/** The replica cannot be reached. */
void ledger_lose_replica(struct replica *r, uint64_t now_ms);

/** ledger_give_up under the lock. */
uint64_t ledger_give_up_models(struct ledger *l, uint64_t now_ms);

/** End the wait of all who wait for the model. */
void ledger_strand(struct ledger *l, struct model *m, enum corral_err why);

struct flow *ledger_flow(struct ledger *l, uint32_t model, uint32_t tenant);
enum flow_end { FLOW_BACK, FLOW_FRONT };
void ledger_flow_push(struct ledger *l, struct flow *f, struct ticket *k, enum flow_end end);
void ledger_flow_remove(struct ledger *l, struct ticket *k);
/** The flow to serve next, keys mended, tenants at max_running parked; NULL: none. */
struct flow *ledger_next_flow(struct ledger *l, struct model *m);
/** Into the heap again, when somebody of it waits. False: it is there, or nobody does. */
bool ledger_flow_unpark(struct ledger *l, struct flow *f);
void ledger_flow_charge(struct ledger *l, struct flow *f, uint64_t units);
/** Take back what was charged too much. */
void ledger_flow_refund(struct ledger *l, struct flow *f, uint64_t units);

#endif
