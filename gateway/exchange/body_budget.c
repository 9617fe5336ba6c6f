#include "exchange/body_budget.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bounded.h"
#include "base/mem.h"

void body_budget_init(struct body_budget *b, uint32_t max_tenants)
{
    atomic_init(&b->total, 0);
    b->tenants = xcalloc(max_tenants, sizeof(*b->tenants));
}

void body_budget_finish(struct body_budget *b)
{
    free(b->tenants);
    b->tenants = NULL;
}

uint64_t body_budget_share(const struct limit_settings *limits)
{
    uint64_t half = limits->body_memory_bytes / 2;

    if (limits->tenant_body_memory_bytes != 0) {
        return limits->tenant_body_memory_bytes;
    }
    return half < limits->body_bytes ? limits->body_bytes : half;
}

/* Of the tenant's share and of all, or of neither. */
static enum corral_err take(struct body_budget *b, uint32_t tenant, size_t bytes, uint64_t share,
                            uint64_t all)
{
    if (!bounded_add(&b->tenants[tenant], bytes, share)) {
        return CE_BODY_MEMORY_TENANT;
    }
    if (!bounded_add(&b->total, bytes, all)) {
        atomic_fetch_sub_explicit(&b->tenants[tenant], bytes, memory_order_relaxed);
        return CE_BODY_MEMORY;
    }
    return CE_OK;
}

enum corral_err body_budget_take(struct body_budget *b, uint32_t tenant, size_t bytes,
                                 const struct limit_settings *limits)
{
    return take(b, tenant, bytes, body_budget_share(limits), limits->body_memory_bytes);
}

bool answer_budget_take(struct body_budget *b, uint32_t tenant, const struct limit_settings *limits)
{
    uint64_t share = limits->tenant_answer_memory_bytes != 0 ? limits->tenant_answer_memory_bytes
                                                             : limits->answer_memory_bytes / 2;

    return take(b, tenant, ANSWER_HELD_BYTES, share, limits->answer_memory_bytes) == CE_OK;
}

void body_budget_give(struct body_budget *b, uint32_t tenant, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&b->tenants[tenant], bytes, memory_order_relaxed);

    assert(before >= bytes);
    atomic_fetch_sub_explicit(&b->total, bytes, memory_order_relaxed);
}

size_t body_budget_held(const struct body_budget *b, uint32_t tenant)
{
    return atomic_load_explicit(&b->tenants[tenant], memory_order_relaxed);
}
