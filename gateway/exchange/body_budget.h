/**
 * Memory of request bodies, and of answers whose clients do not read: what the process and each
 * tenant may hold at once.
 *
 * Bodies are the one thing in memory whose size a client chooses and that waits with its request in
 * the queue. A tenant has a share of its own, so that one that sends large bodies and waits is
 * refused (429) before all others are (503). Called by every worker; the counts are atomic.
 */
#ifndef CORRAL_EXCHANGE_BODY_BUDGET_H
#define CORRAL_EXCHANGE_BODY_BUDGET_H

#include <stdatomic.h>

#include "base/attr.h"
#include "config/settings.h"

struct body_budget {
    atomic_size_t total;    /* bytes held by all workers */
    atomic_size_t *tenants; /* owned; bytes by tenant number */
};

/** @param max_tenants  tenant numbers are below this; pages are taken as tenants send. */
void body_budget_init(struct body_budget *b, uint32_t max_tenants);
void body_budget_finish(struct body_budget *b);

/** What one tenant may hold: as configured, or half of all, but at least one body. */
uint64_t body_budget_share(const struct limit_settings *limits);

/** Of answers that wait: so much is counted for one, whose relay has been stopped. */
enum { ANSWER_HELD_BYTES = 32 * 1024 };

/** Take ANSWER_HELD_BYTES of a budget of answers. False: spent, nothing was taken. */
bool answer_budget_take(struct body_budget *b, uint32_t tenant,
                        const struct limit_settings *limits);

/** @return CE_OK; CE_BODY_MEMORY_TENANT, CE_BODY_MEMORY: spent, nothing was taken. */
MUST_USE enum corral_err body_budget_take(struct body_budget *b, uint32_t tenant, size_t bytes,
                                          const struct limit_settings *limits);

/** Give back what was taken. */
void body_budget_give(struct body_budget *b, uint32_t tenant, size_t bytes);

/** Bytes that a tenant holds now. */
size_t body_budget_held(const struct body_budget *b, uint32_t tenant);

#endif
