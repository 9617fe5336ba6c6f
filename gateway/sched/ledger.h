/**
 * The slot ledger: whose turn it is, and on which replica.
 *
 * A slot is one parallel request of one model on one replica. The ledger never hands out more than
 * a row's slots, so nothing queues inside Ollama. Waiting requests stand in one FIFO per (model,
 * tenant); a model's free slot goes to the tenant with the least weighted service on that model:
 * virtual token counters, one for each (model, tenant) (Sheng et al., "Fairness in Serving Large
 * Language Models", OSDI 2024). A tenant that had nothing waiting for the model, or was at
 * max_running, is lifted to the least counter of those waiting, so absence earns no credit.
 *
 * Shared by all workers behind one mutex; every call is O(log tenants). Requests are tickets, named
 * by (index, generation), never by pointer; a name that is out of date is refused. `notify` is
 * called after the mutex is free again. Costs are tokens.
 */
#ifndef CORRAL_SCHED_LEDGER_H
#define CORRAL_SCHED_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    LEDGER_INPUT_WEIGHT = 1,  /* service units per prompt token */
    LEDGER_OUTPUT_WEIGHT = 2, /* ... and per output token, as in the paper */
};

struct ledger;

struct ticket_ref {
    uint32_t index;
    uint32_t generation; /* 0: no ticket */
};

/**
 * A ticket was granted (or waits in vain): `worker` shall call ledger_take for it.
 * Called without the mutex, from whatever thread caused it.
 */
typedef void ledger_notify(void *arg, unsigned worker, struct ticket_ref ref);

struct ledger *ledger_create(ledger_notify *notify, void *arg);
void ledger_destroy(struct ledger *l);

/**
 * Bounds of the whole queue; from configuration, replaced on reload. `grace_ms`: how long requests
 * wait for a model whose last usable replica was lost.
 */
void ledger_set_queue(struct ledger *l, uint32_t max_waiting, uint64_t grace_ms);

struct ledger_tenant_settings {
    uint32_t weight;      /* >= 1 */
    uint32_t max_running; /* requests holding a slot, draining ones too; above it they wait */
    uint32_t max_waiting; /* CE_QUEUE_TENANT_FULL above it */
};

/** Tenants are interned numbers. Keeps the counter of a tenant that is known already. */
void ledger_set_tenant(struct ledger *l, uint32_t tenant, const struct ledger_tenant_settings *s);

struct ledger_request {
    unsigned worker;
    uint32_t tenant;
    uint32_t model;
    uint32_t input_tokens; /* estimate; charged when granted */
};

struct ledger_grant {
    uint32_t replica;
    bool cold; /* the model is not loaded there: this request loads it */
};

/**
 * Ask for a slot.
 *
 * @return CE_OK: granted and taken, *out_grant is filled. CE_PENDING: waits; notify follows.
 *         CE_MODEL_UNKNOWN: no replica lists the model. CE_NO_REPLICA: it was given up.
 *         CE_QUEUE_TENANT_FULL, CE_QUEUE_FULL.
 */
MUST_USE enum corral_err ledger_enter(struct ledger *l, const struct ledger_request *request,
                                      struct ticket_ref *out, struct ledger_grant *out_grant);

/**
 * Wait for the replicas to change, holding a place in the queue's bounds but asking for no slot:
 * CE_PENDING, CE_QUEUE_TENANT_FULL, CE_QUEUE_FULL. ledger_wake ends it.
 */
MUST_USE enum corral_err ledger_wait(struct ledger *l, unsigned worker, uint32_t tenant,
                                     struct ticket_ref *out);

/**
 * After notify. CE_OK: a granted slot is taken. Otherwise the ticket is gone: CE_NO_REPLICA: the
 * model was given up; CE_PENDING: the replicas have changed, look again; CE_NOT_FOUND: the name is
 * out of date, a slot it held has been given back by whoever cancelled.
 */
MUST_USE enum corral_err ledger_take(struct ledger *l, struct ticket_ref ref,
                                     struct ledger_grant *out_grant);

/**
 * The replica of a taken slot could not be reached, and nothing was sent: it is lost until
 * ledger_set_replica says otherwise, and the request waits again, before all others of its tenant.
 *
 * @return as ledger_enter; without a place in the queue after CE_NO_REPLICA and CE_MODEL_UNKNOWN.
 */
MUST_USE enum corral_err ledger_put_back(struct ledger *l, struct ticket_ref ref, uint64_t now_ms,
                                         struct ledger_grant *out_grant);

/** Leave the queue, in any state; a granted slot goes to the next. Harmless when out of date. */
void ledger_cancel(struct ledger *l, struct ticket_ref ref);

/** The taken slot's upstream has sent its first byte: a load, if there was one, is over. */
void ledger_first_byte(struct ledger *l, struct ticket_ref ref);

/** The client is gone, the upstream not yet: the slot stays taken and counts as draining. */
void ledger_drain(struct ledger *l, struct ticket_ref ref);

/** Charge output tokens while they stream. */
void ledger_charge(struct ledger *l, struct ticket_ref ref, uint32_t output_tokens);

/**
 * Give a taken slot back. The true counts correct what was charged; UINT32_MAX: not known, what
 * was charged stands.
 */
void ledger_release(struct ledger *l, struct ticket_ref ref, uint32_t input_tokens,
                    uint32_t output_tokens);

#endif
