#include "exchange/body_budget.h"

#include <assert.h>
#include <stdlib.h>

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

/* Every count is exact: whoever goes over takes his own bytes back. */
static bool add_within(atomic_size_t *count, size_t bytes, uint64_t most)
{
    size_t before = atomic_fetch_add_explicit(count, bytes, memory_order_relaxed);

    if (before + bytes > most) {
        atomic_fetch_sub_explicit(count, bytes, memory_order_relaxed);
        return false;
    }
    return true;
}

enum corral_err body_budget_take(struct body_budget *b, uint32_t tenant, size_t bytes,
                                 const struct limit_settings *limits)
{
    if (!add_within(&b->tenants[tenant], bytes, body_budget_share(limits))) {
        return CE_BODY_MEMORY_TENANT;
    }
    if (!add_within(&b->total, bytes, limits->body_memory_bytes)) {
        atomic_fetch_sub_explicit(&b->tenants[tenant], bytes, memory_order_relaxed);
        return CE_BODY_MEMORY;
    }
    return CE_OK;
}

bool answer_budget_take(struct body_budget *b, uint32_t tenant, const struct limit_settings *limits)
{
    uint64_t share = limits->tenant_answer_memory_bytes != 0 ? limits->tenant_answer_memory_bytes
                                                             : limits->answer_memory_bytes / 2;

    if (!add_within(&b->tenants[tenant], ANSWER_HELD_BYTES, share)) {
        return false;
    }
    if (!add_within(&b->total, ANSWER_HELD_BYTES, limits->answer_memory_bytes)) {
        atomic_fetch_sub_explicit(&b->tenants[tenant], ANSWER_HELD_BYTES, memory_order_relaxed);
        return false;
    }
    return true;
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
