/* Counts of client connections, see connection_share.h. Called by front/ on every worker. */
#include "exchange/connection_share.h"

#include <stdlib.h>

#include "base/bounded.h"
#include "base/mem.h"

void connection_share_init(struct connection_share *s, uint32_t max_tenants)
{
    atomic_init(&s->total, 0);
    s->tenants = xcalloc(max_tenants, sizeof(*s->tenants));
}

void connection_share_finish(struct connection_share *s)
{
    free(s->tenants);
    s->tenants = NULL;
}

bool connection_share_open(struct connection_share *s)
{
    return bounded_add(&s->total, 1, s->max);
}

void connection_share_close(struct connection_share *s)
{
    atomic_fetch_sub_explicit(&s->total, 1, memory_order_relaxed);
}

static uint32_t share_of(const struct connection_share *s, const struct limit_settings *limits)
{
    uint32_t half = s->max / 2;

    return limits->connections_per_tenant != 0 ? limits->connections_per_tenant
           : half == 0                         ? 1
                                               : half;
}

enum corral_err connection_share_take(struct connection_share *s, uint32_t tenant,
                                      const struct limit_settings *limits)
{
    size_t total = atomic_load_explicit(&s->total, memory_order_relaxed);
    bool is_last_tenth = total > s->max - s->max / 10;

    if (!bounded_add(&s->tenants[tenant], 1, share_of(s, limits))) {
        return CE_CONNECTIONS_TENANT;
    }
    if (is_last_tenth && connection_share_held(s, tenant) > CONNECTION_SHARE_FEW) {
        connection_share_give(s, tenant);
        return CE_CONNECTIONS;
    }
    return CE_OK;
}

void connection_share_give(struct connection_share *s, uint32_t tenant)
{
    atomic_fetch_sub_explicit(&s->tenants[tenant], 1, memory_order_relaxed);
}

size_t connection_share_held(const struct connection_share *s, uint32_t tenant)
{
    return atomic_load_explicit(&s->tenants[tenant], memory_order_relaxed);
}
