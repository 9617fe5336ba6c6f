/**
 * How many client connections there are: in all, and by the tenant whose credential came first.
 *
 * A tenant has a share, so that nobody alone can have the others refused; the last tenth of all is
 * kept for tenants that hold fewer than CONNECTION_SHARE_FEW. Called by every worker; the counts
 * are atomic.
 */
#ifndef CORRAL_EXCHANGE_CONNECTION_SHARE_H
#define CORRAL_EXCHANGE_CONNECTION_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "config/settings.h"

enum { CONNECTION_SHARE_FEW = 10 };

struct connection_share {
    atomic_size_t total;    /* open client connections */
    atomic_size_t *tenants; /* owned; by tenant number */
    uint32_t max;           /* in all; written once at the start */
};

/** @param max_tenants  tenant numbers are below this; pages are taken as tenants connect. */
void connection_share_init(struct connection_share *s, uint32_t max_tenants);
void connection_share_finish(struct connection_share *s);

/** One more, of nobody yet. False: all are in use. */
bool connection_share_open(struct connection_share *s);
void connection_share_close(struct connection_share *s);

/**
 * An open connection has shown a credential of `tenant`.
 *
 * @return CE_OK; CE_CONNECTIONS_TENANT, CE_CONNECTIONS: it is not counted and has to close.
 */
MUST_USE enum corral_err connection_share_take(struct connection_share *s, uint32_t tenant,
                                               const struct limit_settings *limits);
void connection_share_give(struct connection_share *s, uint32_t tenant);

/** Connections that a tenant holds now. */
size_t connection_share_held(const struct connection_share *s, uint32_t tenant);

#endif
