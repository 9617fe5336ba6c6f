#include "limit/model.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const int64_t MS = 1000000;
static const int64_t DAY = 86400000;

/* Days of a month, from the Gregorian rule. */
static int64_t days_of(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month] + (month == 1 && leap ? 1 : 0);
}

/* Counts months up from 1970. */
static uint64_t month_end(uint64_t now_ms)
{
    int64_t end = 0;

    for (int64_t month = 0; end <= (int64_t)now_ms; month++) {
        end += days_of(1970 + month / 12, (int)(month % 12)) * DAY;
    }
    return (uint64_t)end;
}

static uint64_t window_end(const struct limit_rule *r, uint64_t now_ms)
{
    if (r->calendar == LIMIT_MONTH) {
        return month_end(now_ms);
    }
    if (r->calendar == LIMIT_DAY) {
        return now_ms - now_ms % (uint64_t)DAY + (uint64_t)DAY;
    }
    return now_ms + r->window_s * 1000;
}

static uint64_t longest(const struct limit_rule *r)
{
    if (r->calendar == LIMIT_NO_CALENDAR) {
        return r->window_s * 1000;
    }
    return (uint64_t)DAY * (r->calendar == LIMIT_MONTH ? 31 : 1);
}

struct m_counter *m_counter_of(struct model *m, int rule, int user, int model)
{
    uint32_t per = m->rules[rule].per;

    return &m->counters[rule][(per & LIMIT_PER_USER) != 0 ? user : 0]
                       [(per & LIMIT_PER_MODEL) != 0 ? model : 0];
}

void m_begin(struct model *m, const struct limit_rule *rules, int rule_count)
{
    m->rules = rules;
    m->rule_count = rule_count;
    m->grant_count = 0;
    for (int rule = 0; rule < rule_count; rule++) {
        for (int user = 0; user < M_USERS; user++) {
            for (int model = 0; model < M_MODELS; model++) {
                /* not the lists: clearing them is slow under a sanitizer */
                memset(&m->counters[rule][user][model], 0, offsetof(struct m_counter, charges));
            }
        }
    }
}

int64_t m_used(const struct m_counter *c)
{
    int64_t sum = 0;

    for (int i = 0; i < c->charge_count; i++) {
        sum += c->charges[i].tokens;
    }
    return sum;
}

int64_t m_output(const struct m_counter *c)
{
    int64_t sum = 0;

    for (int i = 0; i < c->charge_count; i++) {
        sum += c->charges[i].output ? c->charges[i].tokens : 0;
    }
    return sum < 0 ? 0 : sum; /* what is given back may have been prompt */
}

uint64_t m_reserved(struct model *m, int rule, const struct m_counter *c)
{
    uint64_t sum = 0;

    for (int i = 0; i < m->grant_count; i++) {
        const struct m_grant *g = &m->grants[i];

        if (g->live && g->holds[rule] && m_counter_of(m, rule, g->user, g->model) == c) {
            sum += g->prompt_left + g->output_left;
        }
    }
    return sum;
}

static uint64_t room_of(struct model *m, int rule, const struct m_counter *c)
{
    uint64_t taken = (uint64_t)m_used(c) + m_reserved(m, rule, c);

    return taken < m->rules[rule].tokens ? m->rules[rule].tokens - taken : 0;
}

static void charge(struct m_counter *c, struct m_charge what)
{
    assert(c->charge_count < M_CHARGES);
    if (what.tokens != 0 || what.owed != 0) {
        c->charges[c->charge_count++] = what;
    }
    c->debt = (uint64_t)((int64_t)c->debt + what.owed);
}

/* Into the window what it holds, the rest is owed. */
static void charge_or_owe(struct model *m, int rule, struct m_counter *c, struct m_charge what)
{
    int64_t room = (int64_t)room_of(m, rule, c);

    what.owed = what.tokens > room ? what.tokens - room : 0;
    what.tokens -= what.owed;
    charge(c, what);
}

/* Window by window: one that nobody used pays what a window holds. */
static void touch_tokens(struct model *m, int rule, struct m_counter *c, uint64_t now_ms)
{
    const struct limit_rule *r = &m->rules[rule];

    if (now_ms < c->end_ms) {
        c->end_ms = c->end_ms - now_ms > longest(r) ? window_end(r, now_ms) : c->end_ms;
        return;
    }
    uint64_t end = c->end_ms;

    while (c->debt > 0 && window_end(r, end) <= now_ms) {
        end = window_end(r, end);
        c->debt -= c->debt < r->tokens ? c->debt : r->tokens;
    }
    int64_t carried = (int64_t)c->debt;

    c->charge_count = 0;
    c->debt = 0;
    c->windows++;
    c->end_ms = window_end(r, now_ms);
    charge_or_owe(m, rule, c, (struct m_charge){-1, false, carried, 0});
}

static int64_t step_ns(const struct limit_rule *r)
{
    int64_t window = (int64_t)r->window_s * 1000 * MS;

    return (window + (int64_t)r->requests - 1) / (int64_t)r->requests;
}

static int64_t burst_of(const struct limit_rule *r)
{
    return (int64_t)(r->burst == 0 ? r->requests : r->burst);
}

/* A bucket of nanoseconds that fills with the clock, and empties when that goes back. */
static void touch_requests(const struct limit_rule *r, struct m_counter *c, uint64_t now_ms)
{
    int64_t full = burst_of(r) * step_ns(r);
    uint64_t now_ns = now_ms * (uint64_t)MS;

    c->available_ns = c->filled ? c->available_ns + (int64_t)(now_ns - c->seen_ns) : full;
    c->available_ns = c->available_ns > full ? full : c->available_ns;
    c->available_ns = c->available_ns < 0 ? 0 : c->available_ns;
    c->filled = true;
    c->seen_ns = now_ns;
}

void m_touch(struct model *m, int rule, struct m_counter *c, uint64_t now_ms)
{
    if (m->rules[rule].requests > 0) {
        touch_requests(&m->rules[rule], c, now_ms);
    } else {
        touch_tokens(m, rule, c, now_ms);
    }
}

bool m_too_many(const struct limit_rule *r, const struct m_counter *c)
{
    __int128 window_ns = (__int128)r->window_s * 1000 * MS;

    for (int first = 0; first < c->passed_count; first++) {
        for (int last = first; last < c->passed_count; last++) {
            __int128 above = last - first + 1 - burst_of(r);
            __int128 stretch = (__int128)(c->passed_ms[last] - c->passed_ms[first]) * MS;

            if (above * window_ns > stretch * (__int128)r->requests) {
                return true;
            }
        }
    }
    return false;
}

void m_clock_back(struct model *m)
{
    for (int rule = 0; rule < m->rule_count; rule++) {
        for (int user = 0; user < M_USERS; user++) {
            for (int model = 0; model < M_MODELS; model++) {
                m->counters[rule][user][model].passed_count = 0;
            }
        }
    }
}

/* What one rule says: M_OK, or the refusal and how long it lasts. */
static enum m_result judge(struct model *m, int rule, const struct m_counter *c,
                           const struct m_ask *ask, uint64_t now_ms, uint64_t *wait_ms)
{
    const struct limit_rule *r = &m->rules[rule];
    uint64_t least = ask->prompt + (ask->has_output ? 1 : 0);

    if (r->requests > 0) {
        int64_t missing = step_ns(r) - c->available_ns;

        *wait_ms = missing > 0 ? (uint64_t)((missing + MS - 1) / MS) : 0;
        return missing > 0 ? M_REQUESTS : M_OK;
    }
    *wait_ms = 0;
    if (least > r->tokens) {
        return M_PROMPT;
    }
    if (least <= room_of(m, rule, c)) {
        return M_OK;
    }
    *wait_ms = c->end_ms - now_ms;
    if ((uint64_t)m_used(c) + least <= r->tokens && *wait_ms > 2000) {
        *wait_ms = 2000;
    }
    return r->calendar == LIMIT_NO_CALENDAR ? M_TOKENS : M_BUDGET;
}

static void judge_all(struct model *m, const struct m_ask *ask, uint64_t now_ms,
                      struct m_answer *out)
{
    for (int rule = 0; rule < m->rule_count; rule++) {
        struct m_counter *c = m_counter_of(m, rule, ask->user, ask->model);
        uint64_t wait_ms;

        if ((ask->applies & 1u << rule) == 0) {
            continue;
        }
        m_touch(m, rule, c, now_ms);
        enum m_result result = judge(m, rule, c, ask, now_ms, &wait_ms);

        if (result == M_OK) {
            continue;
        }
        if (m->rules[rule].shadow) {
            out->shadowed |= 1u << rule;
        } else if (result == M_PROMPT) {
            out->result = M_PROMPT;
            out->wait_ms = 0;
        } else if (out->result == M_OK || (out->result != M_PROMPT && wait_ms > out->wait_ms)) {
            out->result = result;
            out->wait_ms = wait_ms;
        }
    }
}

static bool enforced(const struct model *m, const struct m_ask *ask, int rule)
{
    return (ask->applies & 1u << rule) != 0 && !m->rules[rule].shadow;
}

static int64_t bound_of(struct model *m, const struct m_ask *ask)
{
    int64_t bound = ask->asked < 0 ? (int64_t)ask->fallback : ask->asked;
    bool any = false;

    bound = bound == 0 ? 1 : bound;
    for (int rule = 0; rule < m->rule_count; rule++) {
        if (enforced(m, ask, rule) && m->rules[rule].requests == 0) {
            const struct m_counter *c = m_counter_of(m, rule, ask->user, ask->model);
            int64_t room = (int64_t)(room_of(m, rule, c) - ask->prompt);

            bound = room < bound ? room : bound;
            any = true;
        }
    }
    return any && ask->has_output ? bound : -1;
}

static void pass(struct model *m, const struct m_ask *ask, uint64_t now_ms,
                 const struct m_answer *answer)
{
    struct m_grant g = {.live = true, .user = ask->user, .model = ask->model};
    bool any = false;

    g.prompt_left = ask->prompt;
    g.output_left = answer->bound < 0 ? 0 : (uint64_t)answer->bound;
    for (int rule = 0; rule < m->rule_count; rule++) {
        struct m_counter *c = m_counter_of(m, rule, ask->user, ask->model);

        if ((ask->applies & 1u << rule) == 0) {
            continue;
        }
        any = any || m->rules[rule].requests == 0;
        if ((answer->shadowed & 1u << rule) != 0) {
            continue;
        }
        if (m->rules[rule].requests > 0) {
            assert(c->passed_count < M_CHARGES);
            c->available_ns -= step_ns(&m->rules[rule]);
            c->passed_ms[c->passed_count++] = now_ms;
        } else {
            g.holds[rule] = true;
        }
    }
    if (any) {
        assert(m->grant_count < M_GRANTS);
        m->grants[m->grant_count++] = g;
    }
}

static void tell_levels(struct model *m, const struct m_ask *ask, struct m_answer *out)
{
    for (int rule = 0; rule < m->rule_count; rule++) {
        const struct m_counter *c = m_counter_of(m, rule, ask->user, ask->model);
        bool of_requests = m->rules[rule].requests > 0;
        int64_t *least = of_requests ? &out->requests_left : &out->tokens_left;

        if (enforced(m, ask, rule)) {
            int64_t left = of_requests ? c->available_ns / step_ns(&m->rules[rule])
                                       : (int64_t)room_of(m, rule, c);

            *least = *least < 0 || left < *least ? left : *least;
        }
    }
}

struct m_answer m_reserve(struct model *m, const struct m_ask *ask, uint64_t now_ms)
{
    struct m_answer answer = {.bound = -1, .tokens_left = -1, .requests_left = -1};

    judge_all(m, ask, now_ms, &answer);
    if (answer.result == M_OK) {
        answer.bound = bound_of(m, ask);
        pass(m, ask, now_ms, &answer);
    }
    tell_levels(m, ask, &answer);
    return answer;
}

void m_meter(struct model *m, int grant, bool prompt, uint64_t output, uint64_t now_ms)
{
    struct m_grant *g = &m->grants[grant];
    uint64_t of_prompt = prompt ? g->prompt_left : 0;
    uint64_t reserved = output < g->output_left ? output : g->output_left;

    for (int rule = 0; rule < m->rule_count; rule++) {
        struct m_counter *c = m_counter_of(m, rule, g->user, g->model);

        if (g->holds[rule]) {
            m_touch(m, rule, c, now_ms);
            charge(c, (struct m_charge){grant, false, (int64_t)of_prompt, 0});
            charge(c, (struct m_charge){grant, true, (int64_t)reserved, 0});
        }
    }
    g->prompt_left -= of_prompt;
    g->output_left -= reserved;
    g->prompt_metered += of_prompt;
    g->output_metered += output;
    for (int rule = 0; rule < m->rule_count; rule++) {
        if (g->holds[rule]) {
            charge_or_owe(m, rule, m_counter_of(m, rule, g->user, g->model),
                          (struct m_charge){grant, true, (int64_t)(output - reserved), 0});
        }
    }
}

/* Only what was charged in this very window can be given back. */
static void give_back(struct m_counter *c, int grant, uint64_t metered, int64_t tokens)
{
    int64_t here = 0;

    for (int i = 0; i < c->charge_count; i++) {
        here += c->charges[i].grant == grant ? c->charges[i].tokens + c->charges[i].owed : 0;
    }
    if (here == (int64_t)metered) {
        int64_t owed = tokens < (int64_t)c->debt ? tokens : (int64_t)c->debt;

        charge(c, (struct m_charge){grant, true, owed - tokens, -owed});
    }
}

void m_settle(struct model *m, int grant, int64_t prompt, int64_t output, uint64_t now_ms)
{
    struct m_grant *g = &m->grants[grant];
    uint64_t metered = g->prompt_metered + g->output_metered;
    uint64_t actual = (prompt < 0 ? g->prompt_metered : (uint64_t)prompt) +
                      (output < 0 ? g->output_metered : (uint64_t)output);
    int64_t more = (int64_t)actual - (int64_t)metered;
    int64_t reserved = (int64_t)(g->prompt_left + g->output_left);
    int64_t covered = more < reserved ? more : reserved;

    for (int rule = 0; rule < m->rule_count; rule++) {
        if (g->holds[rule]) {
            m_touch(m, rule, m_counter_of(m, rule, g->user, g->model), now_ms);
        }
    }
    g->live = false; /* its reservation is gone */
    for (int rule = 0; rule < m->rule_count; rule++) {
        struct m_counter *c = m_counter_of(m, rule, g->user, g->model);

        if (!g->holds[rule]) {
            continue;
        }
        c->settled += actual;
        if (more < 0) {
            give_back(c, grant, metered, -more);
        } else {
            charge(c, (struct m_charge){grant, false, covered, 0});
            charge_or_owe(m, rule, c, (struct m_charge){grant, false, more - covered, 0});
        }
    }
}
