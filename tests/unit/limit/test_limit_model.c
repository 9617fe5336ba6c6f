#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "limit/limit.h"
#include "limit/model.h"
#include "unit.h"

/*
 * Random sequences against the model: CORRAL_SEQUENCES of them, from the seed CORRAL_SEED on. A
 * failing one is shrunk and printed.
 */
enum { TENANT = 1, OPS_MAX = 60, DEFAULT_SEQUENCES = 10000, TEXT_MAX = 65536 };

enum op_kind { OP_RESERVE, OP_METER, OP_SETTLE, OP_CLOCK };

struct op {
    enum op_kind kind;
    struct m_ask ask;
    unsigned which; /* of the grants not settled yet, modulo their number */
    bool prompt;
    uint64_t tokens;
    struct limit_counts counts;
    int64_t step_ms;
};

struct sequence {
    uint64_t seed;
    uint64_t start_ms;
    struct limit_rule rules[M_RULES];
    int rule_count;
    struct op ops[OPS_MAX];
    int op_count;
};

/* A grant on both sides. */
struct pair {
    struct limit_grant *real;
    int model;
};

struct run {
    struct limiter *limiter;
    struct arena arena;
    struct model model;
    struct pair live[OPS_MAX];
    unsigned live_count;
    uint64_t now_ms;
    char fault[256]; /* empty: none so far */
};

static const char *const rule_names[M_RULES] = {"a", "b", "c", "d"};
static const char *const user_names[M_USERS] = {"ann", "bob", ""};
static const char *const model_names[M_MODELS] = {"qwen3:8b", "gemma3:4b"};

/* splitmix64 */
static uint64_t draw(uint64_t *state, uint64_t below)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % below;
}

static struct limit_rule make_rule(uint64_t *s, int number)
{
    static const uint64_t windows_s[] = {1, 2, 5, 60, 7, 3600};
    struct limit_rule r = {.name = (char *)(uintptr_t)rule_names[number]};

    r.per = (uint32_t)draw(s, 4);
    r.shadow = draw(s, 6) == 0;
    r.window_s = windows_s[draw(s, ARRAY_LEN(windows_s))];
    if (draw(s, 3) == 0) {
        r.requests = 1 + draw(s, 20);
        r.burst = draw(s, 2) == 0 ? 0 : 1 + draw(s, r.requests);
        return r;
    }
    r.tokens = 1 + draw(s, draw(s, 2) == 0 ? 40 : 400);
    if (draw(s, 3) == 0) {
        r.window_s = 0;
        r.calendar = draw(s, 2) == 0 ? LIMIT_DAY : LIMIT_MONTH;
    }
    return r;
}

static int64_t make_step(uint64_t *s)
{
    static const int64_t spans[] = {1000,    2000,     5000,      60000,      3600000,
                                    7200000, 86400000, 172800000, 2592000000, 5356800000};
    int64_t span = spans[draw(s, ARRAY_LEN(spans))];

    switch (draw(s, 8)) {
    case 0:
        return -(int64_t)draw(s, 3000);
    case 1:
        return -span;
    case 2:
    case 3:
        return span + (int64_t)draw(s, 3) - 1;
    default:
        return (int64_t)draw(s, 1500);
    }
}

static struct op make_op(uint64_t *s)
{
    struct op op = {.kind = (enum op_kind)draw(s, 4), .which = (unsigned)draw(s, 1000)};

    op.ask = (struct m_ask){.user = (int)draw(s, M_USERS),
                            .model = (int)draw(s, M_MODELS),
                            .applies = draw(s, 4) == 0 ? (unsigned)draw(s, 16) : 15,
                            .prompt = draw(s, draw(s, 4) == 0 ? 150 : 20),
                            .asked = (int64_t)draw(s, 60) - 5,
                            .fallback = draw(s, 100),
                            .has_output = draw(s, 5) != 0};
    op.ask.asked = op.ask.asked < 0 ? LIMIT_NO_BOUND : op.ask.asked;
    op.prompt = draw(s, 2) == 0;
    op.tokens = draw(s, draw(s, 8) == 0 ? 120 : 12);
    op.counts.prompt = draw(s, 2) == 0 ? -1 : (int64_t)draw(s, 60);
    op.counts.output = draw(s, 2) == 0 ? -1 : (int64_t)draw(s, 60);
    op.step_ms = make_step(s);
    return op;
}

static void make_sequence(uint64_t seed, struct sequence *q)
{
    static const uint64_t starts_ms[] = {UINT64_C(1795267347349), UINT64_C(1772323199000),
                                         UINT64_C(1835481599500), UINT64_C(1798761600000)};
    uint64_t s = seed * UINT64_C(0x2545f4914f6cdd1d);

    q->seed = seed;
    q->start_ms = starts_ms[draw(&s, ARRAY_LEN(starts_ms))];
    q->rule_count = 1 + (int)draw(&s, M_RULES);
    for (int i = 0; i < q->rule_count; i++) {
        q->rules[i] = make_rule(&s, i);
    }
    q->op_count = 10 + (int)draw(&s, OPS_MAX - 9);
    for (int i = 0; i < q->op_count; i++) {
        q->ops[i] = make_op(&s);
    }
}

static void expect(struct run *run, const char *what, int64_t real, int64_t model)
{
    if (real != model && run->fault[0] == '\0') {
        snprintf(run->fault, sizeof(run->fault), "%s is %" PRId64 ", should be %" PRId64, what,
                 real, model);
    }
}

static void expect_at_most(struct run *run, const char *what, uint64_t real, uint64_t most)
{
    if (real > most && run->fault[0] == '\0') {
        snprintf(run->fault, sizeof(run->fault), "%s is %" PRIu64 ", may be %" PRIu64, what, real,
                 most);
    }
}

static void check_counter(struct run *run, int rule, int user, int model)
{
    const struct limit_rule *r = &run->model.rules[rule];
    struct m_counter *c = m_counter_of(&run->model, rule, user, model);
    struct limit_usage u = limit_look(run->limiter, TENANT, r, slice_str(user_names[user]),
                                      slice_str(model_names[model]), run->now_ms);

    if (r->requests > 0) {
        expect(run, "too many passed", m_too_many(r, c), false);
        return;
    }
    uint64_t reserved = m_reserved(&run->model, rule, c);

    if (c->windows > 0 && run->now_ms < c->end_ms) { /* else it has yet to roll */
        uint64_t end_ms = c->end_ms;

        m_touch(&run->model, rule, c, run->now_ms); /* mends the end, if the clock went back */
        expect(run, "used", (int64_t)u.used, m_used(c));
        expect(run, "debt", (int64_t)u.debt, (int64_t)c->debt);
        expect(run, "reset", (int64_t)u.reset_ms, (int64_t)(c->end_ms - run->now_ms));
        c->end_ms = end_ms; /* looking changes nothing */
    }
    expect(run, "reserved", (int64_t)u.reserved, (int64_t)reserved);
    if (!r->shadow) {
        expect_at_most(run, "used and reserved", u.used + u.reserved, r->tokens);
        expect_at_most(run, "output of a window", (uint64_t)m_output(c), r->tokens);
    }
}

/* Not one that stands for several users or models and was checked already. */
static bool is_first(const struct limit_rule *r, int user, int model)
{
    return ((r->per & LIMIT_PER_USER) != 0 || user == 0) &&
           ((r->per & LIMIT_PER_MODEL) != 0 || model == 0);
}

static void check_all(struct run *run)
{
    for (int rule = 0; rule < run->model.rule_count; rule++) {
        for (int user = 0; user < M_USERS; user++) {
            for (int model = 0; model < M_MODELS; model++) {
                if (is_first(&run->model.rules[rule], user, model)) {
                    check_counter(run, rule, user, model);
                }
            }
        }
    }
}

static void check_verdict(struct run *run, enum corral_err err, const struct limit_verdict *v,
                          const struct m_answer *a)
{
    static const enum corral_err errors[] = {CE_OK, CE_LIMIT_REQUESTS, CE_LIMIT_TOKENS,
                                             CE_LIMIT_BUDGET, CE_LIMIT_PROMPT};

    expect(run, "verdict", err, errors[a->result]);
    expect(run, "wait", (int64_t)v->wait_ms, (int64_t)a->wait_ms);
    expect(run, "shadowed", v->shadowed, a->shadowed);
    expect(run, "refused", v->refused_by != NULL, a->result != M_OK);
    expect(run, "output bound", v->output_bound, a->bound);
    expect(run, "tokens left", v->tokens.rule == NULL ? -1 : (int64_t)v->tokens.remaining,
           a->tokens_left);
    expect(run, "requests left", v->requests.rule == NULL ? -1 : (int64_t)v->requests.remaining,
           a->requests_left);
}

static void run_reserve(struct run *run, const struct m_ask *ask)
{
    bool applies[M_RULES];
    struct limit_request request = {.tenant = TENANT,
                                    .rules = run->model.rules,
                                    .applies = applies,
                                    .rule_count = (size_t)run->model.rule_count,
                                    .user = slice_str(user_names[ask->user]),
                                    .model = slice_str(model_names[ask->model]),
                                    .prompt_tokens = ask->prompt,
                                    .output_asked = ask->asked,
                                    .output_default = ask->fallback,
                                    .has_output = ask->has_output,
                                    .now_ms = run->now_ms};
    struct limit_verdict v;
    struct limit_grant *g = NULL;
    int before = run->model.grant_count;

    for (unsigned i = 0; i < M_RULES; i++) {
        applies[i] = (ask->applies & 1u << i) != 0;
    }
    enum corral_err err = limit_reserve(run->limiter, &request, &run->arena, &v, &g);
    struct m_answer answer = m_reserve(&run->model, ask, run->now_ms);

    check_verdict(run, err, &v, &answer);
    expect(run, "grants given", g != NULL, run->model.grant_count - before);
    if (g != NULL) {
        run->live[run->live_count++] = (struct pair){g, before};
    }
}

static void settle(struct run *run, unsigned which, struct limit_counts counts)
{
    struct pair p = run->live[which];

    run->live[which] = run->live[--run->live_count];
    limit_settle(p.real, counts, run->now_ms);
    m_settle(&run->model, p.model, counts.prompt, counts.output, run->now_ms);
}

static void run_op(struct run *run, const struct op *op)
{
    unsigned which = run->live_count == 0 ? 0 : op->which % run->live_count;

    if (op->kind == OP_RESERVE) {
        run_reserve(run, &op->ask);
    } else if (op->kind == OP_CLOCK) {
        run->now_ms = (uint64_t)((int64_t)run->now_ms + op->step_ms);
        if (op->step_ms < 0) {
            m_clock_back(&run->model);
        }
    } else if (run->live_count > 0 && op->kind == OP_METER) {
        limit_meter(run->live[which].real, op->prompt, op->tokens, run->now_ms);
        m_meter(&run->model, run->live[which].model, op->prompt, op->tokens, run->now_ms);
    } else if (run->live_count > 0) {
        settle(run, which, op->counts);
    }
}

/* After all grants are settled nothing is reserved, and what was charged is what was told. */
static void check_end(struct run *run)
{
    while (run->live_count > 0) {
        settle(run, 0, (struct limit_counts){-1, -1});
    }
    expect(run, "grants", (int64_t)limiter_totals(run->limiter).grants, 0);
    for (int rule = 0; rule < run->model.rule_count; rule++) {
        for (int user = 0; user < M_USERS; user++) {
            for (int model = 0; model < M_MODELS; model++) {
                const struct m_counter *c = m_counter_of(&run->model, rule, user, model);
                struct limit_usage u = limit_look(run->limiter, TENANT, &run->model.rules[rule],
                                                  slice_str(user_names[user]),
                                                  slice_str(model_names[model]), run->now_ms);

                expect(run, "reserved at the end", (int64_t)u.reserved, 0);
                if (c->windows == 1 && run->now_ms < c->end_ms) {
                    expect(run, "charged in all", (int64_t)(u.used + u.debt), (int64_t)c->settled);
                }
            }
        }
    }
}

/* Number of ops until the fault, or -1; the fault's text in *fault. */
static int run_sequence(const struct sequence *q, char fault[static 256])
{
    static struct run run;
    int at = -1;

    run.limiter = limiter_create(TENANT + 1, 64);
    limiter_add_tenant(run.limiter, TENANT);
    m_begin(&run.model, q->rules, q->rule_count);
    run.live_count = 0;
    run.fault[0] = '\0';
    run.now_ms = q->start_ms;
    for (int i = 0; i < q->op_count && at < 0; i++) {
        run_op(&run, &q->ops[i]);
        check_all(&run);
        at = run.fault[0] == '\0' ? -1 : i + 1;
    }
    if (at < 0) {
        check_end(&run);
        at = run.fault[0] == '\0' ? -1 : q->op_count;
    }
    limiter_destroy(run.limiter);
    arena_finish(&run.arena);
    memcpy(fault, run.fault, sizeof(run.fault));
    return at;
}

/* Leave out what is not needed to fail, one op after the other, until nothing more can go. */
static void shrink(struct sequence *q)
{
    static struct sequence less;
    char fault[256];
    bool again = true;

    while (again) {
        again = false;
        for (int i = q->op_count - 1; i >= 0; i--) {
            less = *q;
            memmove(&less.ops[i], &less.ops[i + 1],
                    (size_t)(less.op_count - i - 1) * sizeof(less.ops[0]));
            less.op_count--;
            if (run_sequence(&less, fault) >= 0) {
                *q = less;
                again = true;
            }
        }
    }
}

static void print_op(const struct op *op)
{
    switch (op->kind) {
    case OP_RESERVE:
        printf("#   reserve user %d model %d rules %x prompt %" PRIu64 " asked %" PRId64
               " default %" PRIu64 "%s\n",
               op->ask.user, op->ask.model, op->ask.applies, op->ask.prompt, op->ask.asked,
               op->ask.fallback, op->ask.has_output ? "" : " without output");
        break;
    case OP_METER:
        printf("#   meter grant %u%s %" PRIu64 "\n", op->which, op->prompt ? " prompt and" : "",
               op->tokens);
        break;
    case OP_SETTLE:
        printf("#   settle grant %u counts %" PRId64 " %" PRId64 "\n", op->which, op->counts.prompt,
               op->counts.output);
        break;
    default:
        printf("#   clock %+" PRId64 " ms\n", op->step_ms);
        break;
    }
}

static void print_sequence(const struct sequence *q)
{
    printf("# CORRAL_SEED=%" PRIu64 ", begins at %" PRIu64 " ms\n", q->seed, q->start_ms);
    for (int i = 0; i < q->rule_count; i++) {
        const struct limit_rule *r = &q->rules[i];

        printf("# rule %s: requests %" PRIu64 " burst %" PRIu64 " tokens %" PRIu64
               " window_s %" PRIu64 " calendar %u per %u%s\n",
               r->name, r->requests, r->burst, r->tokens, r->window_s, r->calendar, r->per,
               r->shadow ? " shadow" : "");
    }
    for (int i = 0; i < q->op_count; i++) {
        print_op(&q->ops[i]);
    }
    fflush(stdout);
}

static uint64_t from_environment(const char *name, uint64_t fallback)
{
    uint64_t value = fallback;
    const char *text = getenv(name);

    if (text != NULL) {
        ck_assert_int_eq(slice_parse_u64(slice_str(text), &value), CE_OK);
    }
    return value;
}

START_TEST(does_what_the_model_does)
{
    static struct sequence q;
    uint64_t count = from_environment("CORRAL_SEQUENCES", DEFAULT_SEQUENCES);
    uint64_t first = from_environment("CORRAL_SEED", 1);
    char fault[256];

    for (uint64_t seed = first; seed - first < count; seed++) {
        make_sequence(seed, &q);
        int at = run_sequence(&q, fault);

        if (at >= 0) {
            q.op_count = at;
            shrink(&q);
            (void)run_sequence(&q, fault);
            print_sequence(&q);
            ck_abort_msg("seed %" PRIu64 ": after %d ops %s", seed, q.op_count, fault);
        }
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/model");
    TCase *c = tcase_create("model");

    tcase_set_timeout(c, 0); /* as long as CORRAL_SEQUENCES wants */
    tcase_add_test(c, does_what_the_model_does);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
