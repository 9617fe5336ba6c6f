/*
 * The bound of virtual token counters (Sheng et al., OSDI 2024, theorem 4.4): over any time in
 * which two tenants both wait for a model and may run, the service they get there differs by at
 * most 2 U; and no tenant gets more than 4 U beyond one that waits all the time. U: the dearest
 * that a model's slots can be at once. Checked after every step of random schedules with several
 * models, weights, max_running, estimates that are corrected both ways, and cancelled grants.
 */
#include <string.h>

#include "sched/ledger_replicas.h"
#include "unit.h"

#include "base/slice.h"

enum {
    MODELS = 3,
    TENANTS = 5,
    LIVE = 160,
    NOTES = 4096,
    MAX_INPUT = 400,
    MAX_OUTPUT = 300,
    SEEDS = 1000,
    STEPS = 3000,
};

struct job {
    struct ticket_ref ref; /* generation 0: free */
    uint32_t tenant;
    uint32_t model;
    uint32_t estimate;
    uint32_t charged;
    bool running;
};

/* What one tenant got of one model since two tenants began to wait for it together. */
struct pair {
    bool open;
    double least;
    double most;
    double at_least_other; /* least of (service of b - service of a) while a waits */
};

struct world {
    struct ledger *ledger;
    uint64_t random;
    uint32_t slots[MODELS];
    uint32_t weight[TENANTS];
    uint32_t max_running[TENANTS];
    uint32_t running[TENANTS];
    uint32_t waiting[MODELS][TENANTS];
    double served[MODELS][TENANTS]; /* units / weight, corrections included */
    struct pair pairs[MODELS][TENANTS][TENANTS];
    struct job jobs[LIVE];
    bool active[MODELS][TENANTS]; /* sends at present */
};

/* As ck_assert, which writes to a pipe each time: too slow for what is checked a million times. */
static void must(bool holds, const char *what)
{
    if (!holds) {
        ck_abort_msg("%s", what);
    }
}

static struct ticket_ref notes[NOTES];
static size_t note_count;

static void on_notify(void *arg, unsigned worker, struct ticket_ref ref)
{
    must(note_count < NOTES, "too many notes");
    notes[note_count++] = ref;
}

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 16) % below;
}

static void serve(struct world *w, const struct job *j, double units)
{
    w->served[j->model][j->tenant] += units / w->weight[j->tenant];
}

static void granted(struct world *w, struct job *j)
{
    j->running = true;
    w->running[j->tenant]++;
    must(w->running[j->tenant] <= w->max_running[j->tenant], "over max_running");
    serve(w, j, (double)j->estimate * LEDGER_INPUT_WEIGHT);
}

static struct job *find_job(struct world *w, struct ticket_ref ref)
{
    for (size_t i = 0; i < LIVE; i++) {
        if (w->jobs[i].ref.generation == ref.generation && w->jobs[i].ref.index == ref.index) {
            return &w->jobs[i];
        }
    }
    ck_abort_msg("a grant for nobody");
    return NULL;
}

/* Take what was granted, but now and then cancel it instead: the estimate is given back. */
static void take_grants(struct world *w)
{
    for (size_t i = 0; i < note_count; i++) { /* more may come meanwhile */
        struct ledger_grant grant;
        struct job *j = find_job(w, notes[i]);

        w->waiting[j->model][j->tenant]--;
        if (draw(w, 20) == 0) {
            ledger_cancel(w->ledger, j->ref);
            j->ref.generation = 0;
            continue;
        }
        must(ledger_take(w->ledger, notes[i], &grant) == CE_OK, "a grant is there to be taken");
        granted(w, j);
    }
    note_count = 0;
}

static void send(struct world *w, struct job *j, uint32_t model, uint32_t tenant)
{
    struct ledger_grant grant;

    *j = (struct job){.tenant = tenant, .model = model, .estimate = draw(w, MAX_INPUT + 1)};
    const struct ledger_request request = {
        .tenant = tenant + 1,
        .model = model + 1,
        .input_tokens = j->estimate,
    };
    enum corral_err err = ledger_enter(w->ledger, &request, &j->ref, &grant);

    must(err == CE_OK || err == CE_PENDING, "nobody is refused");
    if (err == CE_OK) {
        granted(w, j);
    } else {
        w->waiting[model][tenant]++;
    }
}

static void finish(struct world *w, struct job *j)
{
    uint32_t input = draw(w, 3) == 0 ? UINT32_MAX : draw(w, MAX_INPUT + 1);
    uint32_t output = draw(w, 3) == 0 ? UINT32_MAX : draw(w, MAX_OUTPUT + 1);

    if (input != UINT32_MAX) {
        serve(w, j, ((double)input - j->estimate) * LEDGER_INPUT_WEIGHT);
    }
    if (output != UINT32_MAX) {
        serve(w, j, ((double)output - j->charged) * LEDGER_OUTPUT_WEIGHT);
    }
    w->running[j->tenant]--;
    ledger_release(w->ledger, j->ref, input, output);
    j->ref.generation = 0;
}

static void stream(struct world *w, struct job *j)
{
    uint32_t more = draw(w, MAX_OUTPUT - j->charged + 1);

    j->charged += more;
    serve(w, j, (double)more * LEDGER_OUTPUT_WEIGHT);
    ledger_charge(w->ledger, j->ref, more);
}

static void step(struct world *w)
{
    struct job *j = &w->jobs[draw(w, LIVE)];
    uint32_t model = draw(w, MODELS);
    uint32_t tenant = draw(w, TENANTS);

    if (draw(w, 150) == 0) {
        w->active[model][tenant] = !w->active[model][tenant];
    }
    if (j->ref.generation == 0) {
        if (w->active[model][tenant]) {
            send(w, j, model, tenant);
        }
    } else if (j->running && draw(w, 2) == 0) {
        finish(w, j);
    } else if (j->running) {
        stream(w, j);
    } else if (draw(w, 30) == 0) {
        w->waiting[j->model][j->tenant]--;
        ledger_cancel(w->ledger, j->ref);
        j->ref.generation = 0;
    }
    take_grants(w);
}

static bool may_be_served(const struct world *w, uint32_t model, uint32_t tenant)
{
    return w->waiting[model][tenant] > 0 && w->running[tenant] < w->max_running[tenant];
}

static void look_at_pair(struct world *w, uint32_t model, uint32_t a, uint32_t b)
{
    struct pair *p = &w->pairs[model][a][b];
    double apart = w->served[model][b] - w->served[model][a];
    uint32_t lighter = w->weight[a] < w->weight[b] ? w->weight[a] : w->weight[b];
    double dearest =
        (double)w->slots[model] * (MAX_INPUT + MAX_OUTPUT) * LEDGER_OUTPUT_WEIGHT / lighter;

    if (!may_be_served(w, model, a)) {
        *p = (struct pair){0};
        return;
    }
    if (!p->open) {
        *p = (struct pair){true, apart, apart, apart};
    }
    p->at_least_other = apart < p->at_least_other ? apart : p->at_least_other;
    must(apart - p->at_least_other <= 4 * dearest, "one that waits lost more than 4 U");
    if (!may_be_served(w, model, b)) {
        p->least = apart;
        p->most = apart;
        return;
    }
    p->least = apart < p->least ? apart : p->least;
    p->most = apart > p->most ? apart : p->most;
    must(p->most - p->least <= 2 * dearest, "two that wait are more than 2 U apart");
}

static void look(struct world *w)
{
    for (uint32_t model = 0; model < MODELS; model++) {
        for (uint32_t a = 0; a < TENANTS; a++) {
            for (uint32_t b = 0; b < TENANTS; b++) {
                if (a != b) {
                    look_at_pair(w, model, a, b);
                }
            }
        }
    }
}

static void begin(struct world *w, uint64_t seed)
{
    struct ledger_row rows[MODELS];

    memset(w, 0, sizeof(*w));
    note_count = 0;
    w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w->ledger = ledger_create(on_notify, NULL);
    for (uint32_t m = 0; m < MODELS; m++) {
        w->slots[m] = 1 + draw(w, 3);
        rows[m] = (struct ledger_row){m + 1, w->slots[m], true};
    }
    ledger_set_replica(w->ledger, 1, LEDGER_USABLE, rows, MODELS, 0);
    for (uint32_t t = 0; t < TENANTS; t++) {
        w->weight[t] = 1 + draw(w, 4);
        w->max_running[t] = draw(w, 2) == 0 ? 1 + draw(w, 3) : 100;
        ledger_set_tenant(w->ledger, t + 1,
                          &(struct ledger_tenant_settings){w->weight[t], w->max_running[t], LIVE});
        for (uint32_t m = 0; m < MODELS; m++) {
            w->active[m][t] = draw(w, 2) == 0;
        }
    }
}

START_TEST(service_differs_by_at_most_two_u)
{
    static struct world w;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(&w, seed);
        for (int i = 0; i < STEPS; i++) {
            step(&w);
            look(&w);
        }
        ledger_destroy(w.ledger);
    }
}
END_TEST

static struct ticket_ref ask(struct ledger *l, uint32_t tenant, uint32_t model,
                             enum corral_err wanted)
{
    const struct ledger_request request = {.tenant = tenant, .model = model, .input_tokens = 10};
    struct ledger_grant grant;
    struct ticket_ref ref;

    ck_assert_int_eq(ledger_enter(l, &request, &ref, &grant), wanted);
    return ref;
}

static struct ledger *two_models(void)
{
    struct ledger *l = ledger_create(on_notify, NULL);
    const struct ledger_row rows[] = {{1, 1, true}, {2, 1, true}};

    note_count = 0;
    ledger_set_replica(l, 1, LEDGER_USABLE, rows, 2, 0);
    return l;
}

/* The running request ends; who is next? */
static struct ticket_ref next_after(struct ledger *l, struct ticket_ref running)
{
    struct ledger_grant grant;

    note_count = 0;
    ledger_release(l, running, 10, 50);
    ck_assert_uint_eq(note_count, 1);
    ck_assert_int_eq(ledger_take(l, notes[0], &grant), CE_OK);
    return notes[0];
}

/* Tenant 2 has been served 1,000 requests of model 1 while tenant 1 ran something on model 2. */
START_TEST(running_elsewhere_saves_up_no_turns)
{
    struct ledger *l = two_models();
    struct ticket_ref elsewhere = ask(l, 1, 2, CE_OK);
    struct ticket_ref running = ask(l, 2, 1, CE_OK);
    uint32_t own = 0;
    struct ticket_ref seconds[10];

    for (int i = 0; i < 1000; i++) {
        ask(l, 2, 1, CE_PENDING);
        running = next_after(l, running);
    }
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        seconds[i] = ask(l, 2, 1, CE_PENDING);
    }
    for (int i = 0; i < 1001; i++) {
        ask(l, 1, 1, CE_PENDING);
    }
    for (int i = 0; i < 20; i++) {
        running = next_after(l, running);
        for (size_t n = 0; n < ARRAY_LEN(seconds); n++) {
            own += seconds[n].index == running.index && seconds[n].generation == running.generation;
        }
    }
    ck_assert_uint_ge(own, 9); /* every other one */
    ledger_cancel(l, elsewhere);
    ledger_destroy(l);
}
END_TEST

/* And the other way round: what it was served elsewhere does not make it wait here. */
START_TEST(service_elsewhere_costs_no_turns)
{
    struct ledger *l = two_models();
    struct ticket_ref elsewhere = ask(l, 1, 2, CE_OK);
    struct ticket_ref running = ask(l, 2, 1, CE_OK);
    struct ticket_ref first;

    for (int i = 0; i < 1000; i++) {
        ask(l, 1, 2, CE_PENDING);
        elsewhere = next_after(l, elsewhere);
    }
    for (int i = 0; i < 10; i++) {
        ask(l, 2, 1, CE_PENDING);
    }
    first = ask(l, 1, 1, CE_PENDING);
    running = next_after(l, running);
    if (running.index != first.index) {
        running = next_after(l, running);
    }
    ck_assert_uint_eq(running.index, first.index);
    ledger_destroy(l);
}
END_TEST

/* At max_running on model 2 while it waits for model 1: that saves up no turns either. */
START_TEST(being_parked_saves_up_no_turns)
{
    struct ledger *l = two_models();
    const struct ledger_tenant_settings one = {1, 1, 2000};
    struct ticket_ref running = ask(l, 2, 1, CE_OK);
    uint32_t own = 0;

    ledger_set_tenant(l, 1, &one);
    struct ticket_ref elsewhere = ask(l, 1, 2, CE_OK);

    for (int i = 0; i < 1000; i++) {
        ask(l, 1, 1, CE_PENDING);
    }
    for (int i = 0; i < 1000; i++) {
        ask(l, 2, 1, CE_PENDING);
        running = next_after(l, running);
    }
    struct ticket_ref second = ask(l, 2, 1, CE_PENDING);

    note_count = 0;
    ledger_release(l, elsewhere, 10, 50); /* not parked any more */
    ck_assert_uint_eq(note_count, 0);
    for (int i = 0; i < 3 && own == 0; i++) {
        running = next_after(l, running);
        own += second.index == running.index;
    }
    ck_assert_uint_eq(own, 1);
    ledger_destroy(l);
}
END_TEST

/* At max_running it is served again as soon as one of its own ends. */
START_TEST(a_parked_tenant_keeps_its_slots_busy)
{
    struct ledger *l = ledger_create(on_notify, NULL);
    const struct ledger_row row = {1, 4, true};
    const struct ledger_tenant_settings one = {1, 1, 2000};
    struct ticket_ref others[3];
    struct ticket_ref mine;

    note_count = 0;
    ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, 0);
    ledger_set_tenant(l, 1, &one);
    mine = ask(l, 1, 1, CE_OK);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        others[i] = ask(l, 2, 1, CE_OK);
    }
    for (int i = 0; i < 20; i++) {
        ask(l, 2, 1, CE_PENDING);
        struct ticket_ref waits = ask(l, 1, 1, CE_PENDING);

        for (size_t n = 0; n < ARRAY_LEN(others); n++) {
            ledger_charge(l, others[n], 50);
        }
        mine = next_after(l, mine);
        ck_assert_uint_eq(mine.index, waits.index);
        ck_assert_uint_eq(mine.generation, waits.generation);
    }
    ledger_destroy(l);
}
END_TEST

static Suite *fairness_suite(void)
{
    Suite *suite = suite_create("fairness");
    TCase *tc = tcase_create("counters");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, running_elsewhere_saves_up_no_turns);
    tcase_add_test(tc, service_elsewhere_costs_no_turns);
    tcase_add_test(tc, being_parked_saves_up_no_turns);
    tcase_add_test(tc, a_parked_tenant_keeps_its_slots_busy);
    tcase_add_test(tc, service_differs_by_at_most_two_u);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(fairness_suite)
