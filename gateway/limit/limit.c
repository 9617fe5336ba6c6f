#include "limit/limit.h"

#include <assert.h>

#include "limit/gcra.h"
#include "limit/impl.h"

enum {
    NS_PER_MS = 1000000,
    RESERVED_RETRY_MS = 2000, /* only others' reservations are in the way: they come back soon */
};

/* A counter that a request touches, and the rule it stands for. */
struct hold {
    struct counter *counter;
    uint32_t index;
    uint16_t rule;
    uint16_t window; /* the counter's, in which this grant began to use tokens */
};

struct limit_grant {
    struct limit_account *account;
    const struct limit_rule *rules;
    /* the same on every hold */
    uint64_t prompt_reserved;
    uint64_t output_reserved;
    uint64_t metered;
    uint64_t metered_prompt;
    size_t count;
    struct hold holds[];
};

struct question {
    const struct limit_request *request;
    struct limit_account *account;
    struct limit_verdict *verdict;
    enum corral_err err; /* of the refusal with the longest wait */
    uint64_t room;       /* tokens the tightest enforced rule leaves */
    bool has_token_rule; /* enforced */
    size_t count;
    size_t token_count;
    struct hold *holds; /* room for LIMIT_RULES_MAX */
};

static uint64_t as_ns(uint64_t ms)
{
    return ms * NS_PER_MS;
}

/* Round up: who waits so long shall pass. */
static uint64_t as_ms(uint64_t ns)
{
    return (ns + NS_PER_MS - 1) / NS_PER_MS;
}

static void refuse(struct question *q, const struct limit_rule *rule, enum corral_err err,
                   uint64_t wait_ms)
{
    struct limit_verdict *v = q->verdict;

    if (rule->shadow) {
        v->shadowed |= 1u << (unsigned)(rule - q->request->rules);
        return;
    }
    bool final = err == CE_LIMIT_PROMPT;

    if (q->err == CE_OK || final || (q->err != CE_LIMIT_PROMPT && wait_ms > v->wait_ms)) {
        q->err = err;
        v->refused_by = rule;
        v->wait_ms = final ? 0 : wait_ms;
    }
}

/* `used` is the GCRA's time; the counter is old when that is over. */
static void keep_time(struct counter *c, uint64_t tat_ns)
{
    c->window.used = tat_ns;
    c->window.ends_ms = as_ms(tat_ns);
}

static void look_requests(struct question *q, const struct limit_rule *rule, struct counter *c)
{
    uint64_t now_ns = as_ns(q->request->now_ms);

    keep_time(c, gcra_roll(rule, c->window.used, now_ns));
    struct gcra_level level = gcra_look(rule, c->window.used, now_ns);

    if (!level.open) {
        refuse(q, rule, CE_LIMIT_REQUESTS, as_ms(level.wait_ns));
    }
}

static void roll(struct counter *c, const struct limit_rule *rule, uint64_t now_ms)
{
    if (window_roll(&c->window, rule, now_ms)) {
        c->windows++;
    }
}

static void look_tokens(struct question *q, const struct limit_rule *rule, struct counter *c)
{
    const struct limit_request *request = q->request;
    uint64_t least = request->prompt_tokens + (request->has_output ? 1 : 0);

    roll(c, rule, request->now_ms);
    uint64_t room = window_room(&c->window, rule);

    if (least > rule->tokens) {
        refuse(q, rule, CE_LIMIT_PROMPT, 0);
    } else if (least > room) {
        uint64_t wait_ms = c->window.ends_ms - request->now_ms;
        bool soon = c->window.used + least <= rule->tokens && wait_ms > RESERVED_RETRY_MS;

        refuse(q, rule, rule->calendar != LIMIT_NO_CALENDAR ? CE_LIMIT_BUDGET : CE_LIMIT_TOKENS,
               soon ? RESERVED_RETRY_MS : wait_ms);
    }
    if (!rule->shadow) {
        q->room = !q->has_token_rule || room < q->room ? room : q->room;
        q->has_token_rule = true;
    }
}

/* Pins every counter it finds: a fresh one must not be reused for the next rule. */
static enum corral_err look_all(struct limiter *l, struct question *q)
{
    const struct limit_request *request = q->request;
    uint32_t per = 0;

    for (size_t i = 0; i < request->rule_count; i++) {
        per |= request->rules[i].per;
    }
    const struct limit_who who = limiter_who(l, per, request->user, request->model);

    for (size_t i = 0; i < request->rule_count; i++) {
        const struct limit_rule *rule = &request->rules[i];

        if (request->applies != NULL && !request->applies[i]) {
            continue;
        }
        struct counter_key key = limiter_key(l, rule, &who);
        uint32_t index = limit_account_get(q->account, &key, request->now_ms);

        if (index == COUNTER_NONE) {
            return CE_LIMIT_STORE;
        }
        struct counter *c = limit_account_at(q->account, index);

        c->holds++;
        c->budget = rule->calendar != LIMIT_NO_CALENDAR;
        q->holds[q->count++] = (struct hold){.counter = c, .index = index, .rule = (uint16_t)i};
        if (rule->requests > 0) {
            look_requests(q, rule, c);
        } else {
            q->token_count++;
            look_tokens(q, rule, c);
        }
    }
    return q->err;
}

static int64_t bound_of(const struct question *q)
{
    const struct limit_request *request = q->request;
    uint64_t room = q->room - request->prompt_tokens;
    uint64_t asked =
        request->output_asked < 0 ? request->output_default : (uint64_t)request->output_asked;

    if (!request->has_output) {
        return LIMIT_NO_BOUND;
    }
    asked = asked == 0 ? 1 : asked; /* to Ollama 0 is no limit: it is written as 1 */
    return (int64_t)(asked < room ? asked : room);
}

static void level_of(const struct question *q, const struct limit_rule *rule,
                     const struct counter *c)
{
    struct limit_level level = {.rule = rule};
    struct limit_level *out = rule->requests > 0 ? &q->verdict->requests : &q->verdict->tokens;

    if (rule->shadow) {
        return;
    }
    if (rule->requests > 0) {
        struct gcra_level g = gcra_look(rule, c->window.used, as_ns(q->request->now_ms));

        level.remaining = g.remaining;
        level.reset_ms = as_ms(g.reset_ns);
    } else {
        level.remaining = window_room(&c->window, rule);
        level.reset_ms = c->window.ends_ms - q->request->now_ms;
    }
    if (out->rule == NULL || level.remaining < out->remaining) {
        *out = level;
    }
}

static struct limit_grant *make_grant(const struct question *q, struct arena *arena)
{
    struct limit_grant *g =
        arena_alloc_raw(arena, sizeof(*g) + q->token_count * sizeof(struct hold));

    *g = (struct limit_grant){.account = q->account, .rules = q->request->rules};
    g->prompt_reserved = q->request->prompt_tokens;
    g->output_reserved = q->verdict->output_bound < 0 ? 0 : (uint64_t)q->verdict->output_bound;
    q->account->grants++;
    return g;
}

/* Enforced, it would have taken nothing: only so it tells how many it would refuse. */
static bool is_shadowed(const struct question *q, unsigned rule)
{
    return (q->verdict->shadowed & 1u << rule) != 0;
}

static void take(const struct question *q, const struct hold *h, struct limit_grant *g)
{
    const struct limit_rule *rule = &q->request->rules[h->rule];
    struct counter *c = h->counter;

    if (is_shadowed(q, h->rule)) {
        return;
    }
    if (rule->requests > 0) {
        keep_time(c, gcra_take(rule, c->window.used, as_ns(q->request->now_ms)));
    } else {
        assert(g != NULL); /* there is one as soon as a rule of tokens applies */
        c->holds++;        /* its own */
        window_reserve(&c->window, g->prompt_reserved + g->output_reserved);
        g->holds[g->count++] = *h;
    }
}

/* Take from all, or on a refusal from none; tell how they stand, and let them go. */
static struct limit_grant *close_all(struct question *q, struct arena *arena)
{
    bool takes = q->err == CE_OK;
    struct limit_grant *g = NULL;

    if (takes) {
        q->verdict->output_bound = q->has_token_rule ? bound_of(q) : LIMIT_NO_BOUND;
        g = q->token_count > 0 ? make_grant(q, arena) : NULL;
    }
    for (size_t i = 0; i < q->count; i++) {
        const struct hold *h = &q->holds[i];

        if (takes) {
            take(q, h, g);
        }
        level_of(q, &q->request->rules[h->rule], h->counter);
        h->counter->holds--;
    }
    return g;
}

enum corral_err limit_reserve(struct limiter *l, const struct limit_request *request,
                              struct arena *arena, struct limit_verdict *out,
                              struct limit_grant **grant)
{
    NOT_ZEROED struct hold holds[LIMIT_RULES_MAX];
    struct question q = {.request = request, .verdict = out, .holds = holds};

    *out = (struct limit_verdict){.output_bound = LIMIT_NO_BOUND};
    q.account = limiter_account(l, request->tenant);
    assert(q.account != NULL && request->rule_count <= LIMIT_RULES_MAX);
    pthread_mutex_lock(&q.account->lock);
    q.err = look_all(l, &q);
    struct limit_grant *g = close_all(&q, arena);

    pthread_mutex_unlock(&q.account->lock);
    if (q.err == CE_OK) {
        *grant = g;
    }
    return q.err;
}

/* The counter behind a hold, in the window of now. */
static struct counter *current(struct limit_grant *g, struct hold *h, uint64_t now_ms)
{
    struct counter *c = h->counter;

    roll(c, &g->rules[h->rule], now_ms);
    if (g->metered == 0) {
        h->window = c->windows;
    }
    if (c->budget && !c->dirty) {
        limit_account_mark(g->account, h->index);
    }
    return c;
}

void limit_meter(struct limit_grant *g, bool prompt, uint64_t output, uint64_t now_ms)
{
    if (g == NULL) {
        return;
    }
    uint64_t of_prompt = prompt ? g->prompt_reserved : 0;
    uint64_t of_output = tokens_least(output, g->output_reserved);

    pthread_mutex_lock(&g->account->lock);
    for (size_t i = 0; i < g->count; i++) {
        struct counter *c = current(g, &g->holds[i], now_ms);

        window_use(&c->window, of_prompt + of_output);
        window_owe(&c->window, &g->rules[g->holds[i].rule], output - of_output);
    }
    pthread_mutex_unlock(&g->account->lock);
    g->prompt_reserved -= of_prompt;
    g->output_reserved -= of_output;
    g->metered_prompt += of_prompt;
    g->metered += of_prompt + output;
}

static uint64_t told_or(int64_t told, uint64_t metered)
{
    return told < 0 ? metered : (uint64_t)told;
}

void limit_settle(struct limit_grant *g, struct limit_counts counts, uint64_t now_ms)
{
    if (g == NULL) {
        return;
    }
    uint64_t actual = told_or(counts.prompt, g->metered_prompt) +
                      told_or(counts.output, g->metered - g->metered_prompt);
    uint64_t missing = actual > g->metered ? actual - g->metered : 0;
    uint64_t too_much = actual < g->metered ? g->metered - actual : 0;
    uint64_t reserved = g->prompt_reserved + g->output_reserved;
    uint64_t covered = tokens_least(missing, reserved);

    pthread_mutex_lock(&g->account->lock);
    for (size_t i = 0; i < g->count; i++) {
        struct counter *c = current(g, &g->holds[i], now_ms);

        window_use(&c->window, covered);
        window_release(&c->window, reserved - covered);
        window_owe(&c->window, &g->rules[g->holds[i].rule], missing - covered);
        if (c->windows == g->holds[i].window) {
            window_credit(&c->window, too_much);
        }
        assert(c->holds > 0);
        c->holds--;
    }
    g->account->grants--;
    pthread_mutex_unlock(&g->account->lock);
    g->count = 0;
}

struct limit_usage limit_look(struct limiter *l, uint32_t tenant, const struct limit_rule *rule,
                              struct slice user, struct slice model, uint64_t now_ms)
{
    struct limit_usage usage = {0};
    struct counter fresh = {0};
    struct limit_account *a = limiter_account(l, tenant);
    const struct limit_who who = limiter_who(l, rule->per, user, model);
    struct counter_key key = limiter_key(l, rule, &who);

    if (a != NULL) {
        pthread_mutex_lock(&a->lock);
        uint32_t index = limit_account_find(a, &key);

        fresh = index == COUNTER_NONE ? fresh : *limit_account_at(a, index);
        pthread_mutex_unlock(&a->lock);
    }
    if (rule->requests > 0) {
        struct gcra_level level = gcra_look(rule, fresh.window.used, as_ns(now_ms));
        uint64_t burst = rule->burst == 0 ? rule->requests : rule->burst;

        usage.used = burst - level.remaining;
        usage.remaining = level.remaining;
        usage.reset_ms = as_ms(level.reset_ns);
        return usage;
    }
    window_roll(&fresh.window, rule, now_ms);
    usage.used = fresh.window.used;
    usage.reserved = fresh.window.reserved;
    usage.debt = fresh.window.debt;
    usage.remaining = window_room(&fresh.window, rule);
    usage.reset_ms = fresh.window.ends_ms - now_ms;
    return usage;
}
