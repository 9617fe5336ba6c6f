#include "limit/fixture.h"

struct limiter *limiter;
struct arena arena;

void set_up(void)
{
    limiter = limiter_create(10, 1000);
    limiter_add_tenant(limiter, TENANT);
    limiter_add_tenant(limiter, TENANT); /* again: nothing happens */
}

void tear_down(void)
{
    ck_assert_uint_eq(limiter_totals(limiter).grants, 0);
    limiter_destroy(limiter);
    limiter_destroy(NULL);
    arena_finish(&arena);
}

struct limit_rule tokens(const char *name, uint64_t limit)
{
    return (struct limit_rule){.name = (char *)(uintptr_t)name, .tokens = limit, .window_s = 60};
}

struct limit_rule requests(const char *name, uint64_t limit)
{
    return (struct limit_rule){.name = (char *)(uintptr_t)name, .requests = limit, .window_s = 60};
}

struct limit_request ask_of(const struct limit_rule *rules, size_t count)
{
    return (struct limit_request){.tenant = TENANT,
                                  .rules = rules,
                                  .rule_count = count,
                                  .user = SLICE_LITERAL("ann"),
                                  .model = SLICE_LITERAL("qwen3:8b"),
                                  .prompt_tokens = 100,
                                  .output_asked = 50,
                                  .output_default = 500,
                                  .has_output = true,
                                  .now_ms = T0};
}

enum corral_err reserve(const struct limit_request *request, struct limit_verdict *v,
                        struct limit_grant **g)
{
    *g = NULL;
    return limit_reserve(limiter, request, &arena, v, g);
}

struct limit_usage look(const struct limit_rule *rule, uint64_t now_ms)
{
    return limit_look(limiter, TENANT, rule, SLICE_LITERAL("ann"), SLICE_LITERAL("qwen3:8b"),
                      now_ms);
}

void check(const struct limit_rule *rule, uint64_t now_ms, uint64_t used, uint64_t reserved,
           uint64_t debt)
{
    struct limit_usage u = look(rule, now_ms);

    ck_assert_uint_eq(u.used, used);
    ck_assert_uint_eq(u.reserved, reserved);
    ck_assert_uint_eq(u.debt, debt);
}
