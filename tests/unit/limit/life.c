#include "limit/life.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static const struct limit_rule rules[RULES] = {
    {.name = "daily", .tokens = 1000000, .calendar = LIMIT_DAY, .per = LIMIT_PER_USER},
    {.name = "monthly", .tokens = 1000, .calendar = LIMIT_MONTH},
    {.name = "minute", .tokens = 1000000, .window_s = 60},
};

char folder[] = "/tmp/corral-state-XXXXXX";
char file[64];
struct limit_state_fault fault;

/* A day that ends in the middle of a test takes its budgets along. */
static void avoid_midnight(void)
{
    enum { DAY_MS = 86400000, NEAR_MS = 20000 };
    uint64_t left_ms = DAY_MS - clock_wall_ms() % DAY_MS;

    if (left_ms < NEAR_MS) {
        usleep((useconds_t)(left_ms + 100) * 1000);
    }
}

void set_up(void)
{
    avoid_midnight();
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/limits.db", folder);
}

void tear_down(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", "-moved"};
    char path[96];

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        snprintf(path, sizeof(path), "%s%s", file, ends[i]);
        (void)unlink(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

uint32_t add_tenant(struct life *l, const char *name)
{
    uint32_t id = intern_add(l->tenants, slice_str(name));

    limiter_add_tenant(l->limiter, id);
    return id;
}

struct life prepare(uint32_t counters)
{
    return (struct life){.limiter = limiter_create(11, counters), .tenants = intern_create(10)};
}

enum corral_err try_open(struct life *l)
{
    return limit_state_open(folder, l->limiter, l->tenants, &fault, &l->state);
}

struct life begin(void)
{
    struct life l = prepare(100000);

    add_tenant(&l, "acme");
    enum corral_err err = try_open(&l);

    if (err != CE_OK) {
        fprintf(stderr, "%s\n", fault.text);
    }
    must(err == CE_OK);
    return l;
}

void end(struct life *l)
{
    limit_state_close(l->state);
    limiter_destroy(l->limiter);
    intern_destroy(l->tenants);
    arena_finish(&l->arena);
    *l = (struct life){0};
}

struct limit_grant *ask(struct life *l, const char *tenant, const char *user, uint64_t tokens)
{
    struct limit_request request = {.tenant = intern_find(l->tenants, slice_str(tenant)),
                                    .rules = rules,
                                    .rule_count = RULES,
                                    .user = slice_str(user),
                                    .prompt_tokens = tokens,
                                    .now_ms = clock_wall_ms()};
    struct limit_verdict v;
    struct limit_grant *g = NULL;

    must(limit_reserve(l->limiter, &request, &l->arena, &v, &g) == CE_OK);
    return g;
}

void use(struct life *l, const char *tenant, const char *user, uint64_t tokens)
{
    struct limit_grant *g = ask(l, tenant, user, tokens);

    limit_meter(g, true, 0, clock_wall_ms());
    limit_settle(g, (struct limit_counts){-1, -1}, clock_wall_ms());
}

struct limit_usage look(struct life *l, const char *tenant, const char *user, int rule)
{
    return limit_look(l->limiter, intern_find(l->tenants, slice_str(tenant)), &rules[rule],
                      slice_str(user), slice_str(""), clock_wall_ms());
}

void write_now(struct life *l)
{
    limit_state_start(l->state, NULL);
    limit_state_stop(l->state);
}

void wait_until(bool (*done)(void *arg), void *arg)
{
    for (int i = 0; i < 1000 && !done(arg); i++) {
        usleep(10000);
    }
    ck_assert(done(arg));
}
