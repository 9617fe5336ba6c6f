#include <pthread.h>

#include "base/rand.h"
#include "sched/ledger_replicas.h"
#include "sched/ledger_view.h"
#include "unit.h"

#include "base/slice.h"

enum { NOTES = 4096 };

static struct ticket_ref notes[NOTES];
static size_t note_count;

static void on_notify(void *arg, unsigned worker, struct ticket_ref ref)
{
    ck_assert_uint_lt(note_count, NOTES);
    notes[note_count++] = ref;
}

static struct ledger *make(uint32_t slots, bool loaded)
{
    struct ledger *l = ledger_create(on_notify, NULL);
    const struct ledger_row row = {.model = 1, .slots = slots, .loaded = loaded};

    note_count = 0;
    ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, 0);
    return l;
}

static struct ledger_request ask(uint32_t tenant)
{
    return (struct ledger_request){.tenant = tenant, .model = 1, .input_tokens = 10};
}

static enum corral_err enter(struct ledger *l, uint32_t tenant, struct ticket_ref *out)
{
    struct ledger_request request = ask(tenant);
    struct ledger_grant grant;

    return ledger_enter(l, &request, out, &grant);
}

START_TEST(slots_are_never_exceeded)
{
    struct ledger *l = make(2, true);
    struct ticket_ref a;
    struct ticket_ref b;
    struct ticket_ref c;
    struct ledger_grant grant;

    ck_assert_int_eq(enter(l, 1, &a), CE_OK);
    ck_assert_int_eq(enter(l, 1, &b), CE_OK);
    ck_assert_int_eq(enter(l, 1, &c), CE_PENDING);
    ck_assert_uint_eq(note_count, 0);
    ledger_release(l, a, 10, 5);
    ck_assert_uint_eq(note_count, 1);
    ck_assert_int_eq(ledger_take(l, notes[0], &grant), CE_OK);
    ck_assert_uint_eq(grant.replica, 1);
    ledger_release(l, b, 10, 5);
    ledger_release(l, c, 10, 5);
    ledger_release(l, c, 10, 5); /* out of date: nothing happens */
    ledger_destroy(l);
}
END_TEST

START_TEST(a_cancelled_grant_goes_to_the_next)
{
    struct ledger *l = make(1, true);
    struct ticket_ref a;
    struct ticket_ref b;
    struct ticket_ref c;
    struct ledger_grant grant;

    ck_assert_int_eq(enter(l, 1, &a), CE_OK);
    ck_assert_int_eq(enter(l, 1, &b), CE_PENDING);
    ck_assert_int_eq(enter(l, 1, &c), CE_PENDING);
    ledger_release(l, a, 10, 5);
    ledger_cancel(l, b); /* granted, not yet taken */
    ck_assert_uint_eq(note_count, 2);
    ck_assert_int_eq(ledger_take(l, notes[0], &grant), CE_NOT_FOUND);
    ck_assert_int_eq(ledger_take(l, notes[1], &grant), CE_OK);
    ledger_release(l, c, 10, 5);
    ledger_destroy(l);
}
END_TEST

START_TEST(bounds_refuse)
{
    struct ledger *l = make(1, true);
    const struct ledger_tenant_settings narrow = {1, 1, 1};
    struct ticket_ref t;

    ledger_set_tenant(l, 1, &narrow);
    ledger_set_queue(l, 2, 0);
    ck_assert_int_eq(enter(l, 1, &t), CE_OK);
    ck_assert_int_eq(enter(l, 1, &t), CE_PENDING);
    ck_assert_int_eq(enter(l, 1, &t), CE_QUEUE_TENANT_FULL);
    ck_assert_int_eq(enter(l, 2, &t), CE_PENDING);
    ck_assert_int_eq(enter(l, 3, &t), CE_QUEUE_FULL);
    ledger_destroy(l);
}
END_TEST

START_TEST(max_running_waits_and_does_not_block_others)
{
    struct ledger *l = make(4, true);
    const struct ledger_tenant_settings one = {1, 1, 10};
    struct ticket_ref a;
    struct ticket_ref b;
    struct ticket_ref c;
    struct ledger_grant grant;

    ledger_set_tenant(l, 1, &one);
    ck_assert_int_eq(enter(l, 1, &a), CE_OK);
    ck_assert_int_eq(enter(l, 1, &b), CE_PENDING);
    ck_assert_int_eq(enter(l, 2, &c), CE_OK);
    ledger_release(l, a, 10, 1);
    ck_assert_uint_eq(note_count, 1);
    ck_assert_int_eq(ledger_take(l, b, &grant), CE_OK);
    ledger_destroy(l);
}
END_TEST

START_TEST(one_cold_load_a_replica)
{
    struct ledger *l = ledger_create(on_notify, NULL);
    const struct ledger_row rows[] = {{1, 1, false}, {2, 1, false}};
    struct ledger_request request = ask(1);
    struct ledger_grant grant;
    struct ticket_ref a;
    struct ticket_ref b;

    note_count = 0;
    ledger_set_replica(l, 1, LEDGER_USABLE, rows, 2, 0);
    ck_assert_int_eq(ledger_enter(l, &request, &a, &grant), CE_OK);
    ck_assert(grant.cold);
    request.model = 2;
    ck_assert_int_eq(ledger_enter(l, &request, &b, &grant), CE_PENDING);
    ledger_first_byte(l, a);
    ck_assert_int_eq(ledger_take(l, b, &grant), CE_OK);
    ck_assert(grant.cold);
    ledger_destroy(l);
}
END_TEST

START_TEST(loaded_replicas_come_first_then_the_idlest)
{
    struct ledger *l = ledger_create(on_notify, NULL);
    const struct ledger_row cold = {1, 4, false};
    const struct ledger_row warm = {1, 2, true};
    struct ledger_request request = ask(1);
    struct ledger_grant grant;
    struct ticket_ref t;

    note_count = 0;
    ledger_set_replica(l, 1, LEDGER_USABLE, &cold, 1, 0);
    ledger_set_replica(l, 2, LEDGER_USABLE, &warm, 1, 0);
    ledger_set_replica(l, 3, LEDGER_USABLE, &warm, 1, 0);
    uint32_t first;

    ck_assert_int_eq(ledger_enter(l, &request, &t, &grant), CE_OK);
    first = grant.replica;
    ck_assert_int_eq(ledger_enter(l, &request, &t, &grant), CE_OK);
    ck_assert_uint_ne(first, grant.replica);
    ck_assert_uint_ne(1, first);
    ck_assert_uint_ne(1, grant.replica);
    ck_assert_int_eq(ledger_enter(l, &request, &t, &grant), CE_OK);
    ck_assert_int_eq(ledger_enter(l, &request, &t, &grant), CE_OK);
    ck_assert_int_eq(ledger_enter(l, &request, &t, &grant), CE_OK);
    ck_assert_uint_eq(grant.replica, 1);
    ledger_destroy(l);
}
END_TEST

/* Without a grace. */
START_TEST(a_lost_replica_strands_nobody)
{
    struct ledger *l = make(1, true);
    const struct ledger_row row = {.model = 1, .slots = 1, .loaded = true};
    struct ticket_ref a;
    struct ticket_ref b;
    struct ledger_grant grant;

    ck_assert_int_eq(enter(l, 1, &a), CE_OK);
    ck_assert_int_eq(enter(l, 1, &b), CE_PENDING);
    ledger_set_replica(l, 1, LEDGER_LOST, &row, 1, 5);
    ck_assert_uint_eq(note_count, 1);
    ck_assert_int_eq(ledger_take(l, b, &grant), CE_NO_REPLICA);
    ck_assert_int_eq(enter(l, 1, &b), CE_NO_REPLICA);
    struct ledger_request other = ask(1);

    other.model = 9;
    ck_assert_int_eq(ledger_enter(l, &other, &b, &grant), CE_MODEL_UNKNOWN);
    ledger_release(l, a, 1, 1);
    ledger_destroy(l);
}
END_TEST

static uint64_t service_of[8];

static void note_service(void *arg, const struct ledger_tenant_view *t)
{
    if (t->tenant < 8) {
        service_of[t->tenant] = t->service;
    }
}

/* Two backlogged tenants share one slot by weight, however many requests each sends. */
static void compete(uint32_t weight_1, uint32_t weight_2, uint32_t cost_1, uint32_t cost_2)
{
    struct ledger *l = make(1, true);
    const struct ledger_tenant_settings one = {weight_1, 1000, 1000};
    const struct ledger_tenant_settings two = {weight_2, 1000, 1000};
    struct ticket_ref running;
    uint32_t owner_of[NOTES] = {0};

    ledger_set_tenant(l, 1, &one);
    ledger_set_tenant(l, 2, &two);
    ck_assert_int_eq(enter(l, 3, &running), CE_OK);
    for (int i = 0; i < 400; i++) {
        struct ticket_ref t;
        uint32_t tenant = i % 11 == 0 ? 2 : 1;

        ck_assert_int_eq(enter(l, tenant, &t), CE_PENDING);
        owner_of[t.index] = tenant;
        if (i % 11 == 0) { /* keep both backlogged */
            for (int n = 0; n < 4; n++) {
                ck_assert_int_eq(enter(l, 2, &t), CE_PENDING);
                owner_of[t.index] = 2;
            }
        }
    }
    ledger_release(l, running, 0, 0);
    for (int served = 0; served < 120; served++) {
        struct ledger_grant grant;
        struct ticket_ref ref = notes[note_count - 1];
        uint32_t cost = owner_of[ref.index] == 1 ? cost_1 : cost_2;

        ck_assert_int_eq(ledger_take(l, ref, &grant), CE_OK);
        ledger_charge(l, ref, cost);
        ledger_release(l, ref, 10, cost);
    }
    ledger_each_tenant(l, note_service, NULL);
    double share_1 = (double)service_of[1] / weight_1;
    double share_2 = (double)service_of[2] / weight_2;
    double most = (double)(10 + 2 * (cost_1 > cost_2 ? cost_1 : cost_2));

    /* The paper's bound: 2 x the largest request, in weighted units. */
    ck_assert_double_le(share_1 - share_2, 2 * most);
    ck_assert_double_le(share_2 - share_1, 2 * most);
    ledger_destroy(l);
}

START_TEST(service_follows_weights)
{
    compete(1, 1, 50, 50);
    compete(1, 1, 80, 10);
    compete(3, 1, 50, 50);
    compete(1, 4, 20, 90);
}
END_TEST

START_TEST(absence_earns_no_credit)
{
    struct ledger *l = make(1, true);
    struct ticket_ref running;
    struct ticket_ref t;
    struct ledger_grant grant;
    int first_tenant = 0;

    ck_assert_int_eq(enter(l, 1, &running), CE_OK);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(enter(l, 1, &t), CE_PENDING);
    }
    for (int i = 0; i < 20; i++) {
        ledger_release(l, running, 10, 100);
        running = notes[note_count - 1];
        ck_assert_int_eq(ledger_take(l, running, &grant), CE_OK);
    }
    struct ticket_ref late[20];

    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(enter(l, 2, &late[i]), CE_PENDING);
    }
    for (int i = 0; i < 10; i++) {
        ledger_release(l, running, 10, 100);
        running = notes[note_count - 1];
        ck_assert_int_eq(ledger_take(l, running, &grant), CE_OK);
        bool is_late = false;

        for (int n = 0; n < 20; n++) {
            is_late = is_late || late[n].index == running.index;
        }
        first_tenant += !is_late;
    }
    ck_assert_int_ge(first_tenant, 4); /* turns, not ten in a row for the one who was away */
    ledger_destroy(l);
}
END_TEST

static unsigned in_flight_seen;

static void note_row(void *arg, const struct ledger_row_view *row)
{
    ck_assert_uint_le(row->in_flight, row->slots);
    in_flight_seen += row->in_flight;
}

/* 200,000 random steps: never over the slots, nothing lost, everything given back at the end. */
START_TEST(random_sequences_keep_the_books)
{
    enum { LIVE = 64, STEPS = 200000 };
    struct ledger *l = ledger_create(on_notify, NULL);
    const struct ledger_row rows[] = {{1, 2, true}, {2, 1, false}};
    struct ticket_ref live[LIVE] = {0};
    bool taken[LIVE] = {false};
    struct ledger_grant grant;

    note_count = 0;
    ledger_set_replica(l, 1, LEDGER_USABLE, rows, 2, 0);
    ledger_set_replica(l, 2, LEDGER_USABLE, rows, 1, 0);
    ledger_set_queue(l, UINT32_MAX, 700);
    for (int step = 0; step < STEPS; step++) {
        uint64_t r = rand_u64();
        size_t i = r % LIVE;
        struct ledger_request request = ask((uint32_t)(1 + r / 64 % 5));

        request.model = (uint32_t)(1 + (r >> 20) % 2);
        if (live[i].generation == 0) {
            enum corral_err err = ledger_enter(l, &request, &live[i], &grant);

            ck_assert(err == CE_OK || err == CE_PENDING || err == CE_NO_REPLICA);
            taken[i] = err == CE_OK;
            live[i].generation = err == CE_NO_REPLICA ? 0 : live[i].generation;
        } else if (taken[i] && (r >> 30) % 50 == 1) {
            enum corral_err err = ledger_put_back(l, live[i], (uint64_t)step, &grant);

            ck_assert(err == CE_OK || err == CE_PENDING || err == CE_NO_REPLICA);
            taken[i] = err == CE_OK;
            live[i].generation = err == CE_NO_REPLICA ? 0 : live[i].generation;
        } else if ((r >> 30) % 3 == 0) {
            ledger_cancel(l, live[i]);
            live[i].generation = 0;
        } else if (taken[i]) {
            ledger_first_byte(l, live[i]);
            ledger_charge(l, live[i], (uint32_t)(r >> 40) % 100);
            ledger_release(l, live[i], 3, 7);
            live[i].generation = 0;
        }
        for (size_t n = 0; n < note_count; n++) {
            enum corral_err err = ledger_take(l, notes[n], &grant);

            for (size_t k = 0; k < LIVE; k++) {
                bool same =
                    live[k].index == notes[n].index && live[k].generation == notes[n].generation;

                taken[k] = taken[k] || (same && err == CE_OK);
                live[k].generation = same && err == CE_NO_REPLICA ? 0 : live[k].generation;
            }
        }
        note_count = 0;
        if (step % 500 == 250) {
            ledger_set_replica(l, 1 + (r >> 51) % 2,
                               (r >> 50) % 2 == 0 ? LEDGER_USABLE : LEDGER_LOST, rows, 2,
                               (uint64_t)step);
        }
        if (step % 100 == 50) {
            (void)ledger_give_up(l, (uint64_t)step);
        }
        in_flight_seen = 0;
        ledger_each_row(l, note_row, NULL);
    }
    for (size_t i = 0; i < LIVE; i++) {
        ledger_cancel(l, live[i]);
    }
    in_flight_seen = 0;
    ledger_each_row(l, note_row, NULL);
    ck_assert_uint_eq(in_flight_seen, 0);
    ledger_destroy(l);
}
END_TEST

static struct ledger *shared;

/* Several workers at once: what TSan looks at. */
static void *hammer(void *arg)
{
    uint32_t tenant = (uint32_t)(uintptr_t)arg;
    struct ledger_grant grant;

    for (int i = 0; i < 20000; i++) {
        struct ledger_request request = ask(tenant);
        struct ticket_ref ref;
        enum corral_err err = ledger_enter(shared, &request, &ref, &grant);

        if (err == CE_PENDING && ledger_take(shared, ref, &grant) != CE_OK) {
            ledger_cancel(shared, ref);
        } else if (err == CE_OK || err == CE_PENDING) {
            ledger_charge(shared, ref, 3);
            ledger_release(shared, ref, 10, 3);
        }
    }
    return NULL;
}

static void ignore_note(void *arg, unsigned worker, struct ticket_ref ref)
{
}

START_TEST(workers_share_one_ledger)
{
    const struct ledger_row row = {.model = 1, .slots = 3, .loaded = true};
    pthread_t threads[4];

    shared = ledger_create(ignore_note, NULL);
    ledger_set_replica(shared, 1, LEDGER_USABLE, &row, 1, 0);
    for (uintptr_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
    }
    for (int i = 0; i < 200; i++) {
        ledger_each_row(shared, note_row, NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    in_flight_seen = 0;
    ledger_each_row(shared, note_row, NULL);
    ck_assert_uint_eq(in_flight_seen, 0);
    ledger_destroy(shared);
}
END_TEST

static Suite *ledger_suite(void)
{
    Suite *suite = suite_create("sched");
    TCase *tc = tcase_create("ledger");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, slots_are_never_exceeded);
    tcase_add_test(tc, a_cancelled_grant_goes_to_the_next);
    tcase_add_test(tc, bounds_refuse);
    tcase_add_test(tc, max_running_waits_and_does_not_block_others);
    tcase_add_test(tc, one_cold_load_a_replica);
    tcase_add_test(tc, loaded_replicas_come_first_then_the_idlest);
    tcase_add_test(tc, a_lost_replica_strands_nobody);
    tcase_add_test(tc, service_follows_weights);
    tcase_add_test(tc, absence_earns_no_credit);
    tcase_add_test(tc, workers_share_one_ledger);
    tcase_add_test(tc, random_sequences_keep_the_books);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(ledger_suite)
