/* Replicas that are lost: who waits, for how long, and in which order they are served again. */
#include "sched/ledger_replicas.h"
#include "sched/ledger_view.h"
#include "unit.h"

#include "base/slice.h"

enum { NOTES = 64, GRACE_MS = 30000, T0 = 1000 };

static const struct ledger_row row = {.model = 1, .slots = 1, .loaded = true};
static struct ticket_ref notes[NOTES];
static size_t note_count;

static void on_notify(void *arg, unsigned worker, struct ticket_ref ref)
{
    ck_assert_uint_lt(note_count, NOTES);
    notes[note_count++] = ref;
}

static struct ledger *make(void)
{
    struct ledger *l = ledger_create(on_notify, NULL);

    note_count = 0;
    ledger_set_queue(l, 100, GRACE_MS);
    ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, T0);
    return l;
}

static struct ticket_ref enter(struct ledger *l, uint32_t tenant, enum corral_err wanted)
{
    const struct ledger_request request = {.tenant = tenant, .model = 1, .input_tokens = 10};
    struct ledger_grant grant;
    struct ticket_ref ref = {0};

    ck_assert_int_eq(ledger_enter(l, &request, &ref, &grant), wanted);
    return ref;
}

static void take(struct ledger *l, struct ticket_ref ref, enum corral_err wanted)
{
    struct ledger_grant grant;

    ck_assert_int_eq(ledger_take(l, ref, &grant), wanted);
}

START_TEST(waiting_goes_on_for_the_grace)
{
    struct ledger *l = make();
    struct ticket_ref running = enter(l, 1, CE_OK);
    struct ticket_ref before = enter(l, 1, CE_PENDING);

    ledger_set_replica(l, 1, LEDGER_LOST, &row, 1, T0 + 5);
    ledger_release(l, running, 1, 1);
    struct ticket_ref after = enter(l, 2, CE_PENDING);

    ck_assert_uint_eq(ledger_give_up(l, T0 + 5), GRACE_MS);
    ck_assert_uint_eq(ledger_give_up(l, T0 + GRACE_MS + 4), 1);
    ck_assert_uint_eq(note_count, 0);
    ck_assert_uint_eq(ledger_give_up(l, T0 + GRACE_MS + 5), LEDGER_NEVER);
    ck_assert_uint_eq(note_count, 2);
    take(l, before, CE_NO_REPLICA);
    take(l, after, CE_NO_REPLICA);
    take(l, after, CE_NOT_FOUND);
    enter(l, 1, CE_NO_REPLICA);
    ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, T0 + GRACE_MS + 9);
    ledger_release(l, enter(l, 1, CE_OK), 1, 1);
    ledger_destroy(l);
}
END_TEST

START_TEST(who_waited_is_served_when_it_returns)
{
    struct ledger *l = make();
    struct ticket_ref running = enter(l, 1, CE_OK);
    struct ticket_ref waits = enter(l, 1, CE_PENDING);

    ledger_set_replica(l, 1, LEDGER_LOST, &row, 1, T0 + 5);
    ledger_release(l, running, 1, 1);
    ck_assert_uint_eq(note_count, 0);
    ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, T0 + 20000);
    ck_assert_uint_eq(note_count, 1);
    take(l, waits, CE_OK);
    ck_assert_uint_eq(ledger_give_up(l, T0 + 60000), LEDGER_NEVER);
    ledger_release(l, waits, 1, 1);
    ledger_destroy(l);
}
END_TEST

/* Of two replicas; and what another model needs is of no interest. */
START_TEST(the_grace_counts_from_the_last_loss)
{
    struct ledger *l = make();
    const struct ledger_row other = {.model = 2, .slots = 1, .loaded = true};

    ledger_set_replica(l, 2, LEDGER_USABLE, &row, 1, T0);
    ledger_set_replica(l, 3, LEDGER_USABLE, &other, 1, T0);
    ledger_set_replica(l, 1, LEDGER_LOST, &row, 1, T0 + 100);
    ck_assert_uint_eq(ledger_give_up(l, T0 + 100), LEDGER_NEVER);
    ledger_set_replica(l, 2, LEDGER_LOST, &row, 1, T0 + 50000);
    ledger_set_replica(l, 2, LEDGER_LOST, &row, 1, T0 + 50500); /* lost already */
    ck_assert_uint_eq(ledger_give_up(l, T0 + 51000), GRACE_MS - 1000);
    enter(l, 1, CE_PENDING);
    ledger_destroy(l);
}
END_TEST

/* A pod with a new address: the old one goes before the new one has been asked. */
START_TEST(what_a_replica_that_is_gone_had_is_lost)
{
    struct ledger *l = make();
    struct ticket_ref running = enter(l, 1, CE_OK);
    struct ticket_ref waits = enter(l, 1, CE_PENDING);

    ledger_set_replica(l, 1, LEDGER_GONE, NULL, 0, T0 + 5);
    ledger_release(l, running, 1, 1);
    enter(l, 2, CE_PENDING);
    ck_assert_uint_eq(note_count, 0);
    ledger_set_replica(l, 2, LEDGER_USABLE, &row, 1, T0 + 900);
    take(l, waits, CE_OK);
    ledger_set_replica(l, 2, LEDGER_GONE, NULL, 0, T0 + 1000);
    ck_assert_uint_eq(ledger_give_up(l, T0 + 1000 + GRACE_MS), LEDGER_NEVER);
    enter(l, 1, CE_MODEL_UNKNOWN); /* nobody lists it any more */
    ledger_destroy(l);
}
END_TEST

/* Deleted from the disk of a replica that answers: nobody needs to wait for that. */
START_TEST(a_deleted_model_is_unknown_at_once)
{
    struct ledger *l = make();
    const struct ledger_row other = {.model = 2, .slots = 1, .loaded = true};
    struct ticket_ref running = enter(l, 1, CE_OK);
    struct ticket_ref waits = enter(l, 1, CE_PENDING);

    ledger_set_replica(l, 1, LEDGER_USABLE, &other, 1, T0 + 5);
    ck_assert_uint_eq(note_count, 1);
    take(l, waits, CE_PENDING); /* look again */
    enter(l, 1, CE_MODEL_UNKNOWN);
    ledger_release(l, running, 1, 1);
    ledger_destroy(l);
}
END_TEST

START_TEST(who_was_put_back_comes_first)
{
    struct ledger *l = make();
    struct ledger_grant grant;
    struct ticket_ref refused = enter(l, 1, CE_OK);
    struct ticket_ref second = enter(l, 1, CE_PENDING);

    ck_assert_int_eq(ledger_put_back(l, refused, T0 + 5, &grant), CE_PENDING);
    ck_assert_uint_eq(note_count, 0); /* not to the same replica again */
    ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, T0 + 900);
    ck_assert_uint_eq(note_count, 1);
    take(l, refused, CE_OK);
    ledger_release(l, refused, 10, 1);
    take(l, second, CE_OK);
    ledger_release(l, second, 10, 1);
    ledger_destroy(l);
}
END_TEST

START_TEST(who_is_put_back_goes_elsewhere_at_once)
{
    struct ledger *l = make();
    struct ledger_grant grant;
    struct ticket_ref refused = enter(l, 1, CE_OK);

    ledger_set_replica(l, 2, LEDGER_USABLE, &row, 1, T0);
    ck_assert_int_eq(ledger_put_back(l, refused, T0 + 5, &grant), CE_OK);
    ck_assert_uint_eq(grant.replica, 2);
    ck_assert_uint_eq(note_count, 0);
    ck_assert_int_eq(ledger_put_back(l, refused, T0 + 6, &grant), CE_PENDING);
    ledger_set_queue(l, 100, 0);
    (void)ledger_give_up(l, T0 + 7);
    take(l, refused, CE_NO_REPLICA);
    ck_assert_int_eq(ledger_put_back(l, refused, T0 + 8, &grant), CE_NO_REPLICA);
    ledger_destroy(l);
}
END_TEST

static uint64_t service;

static void note_service(void *arg, const struct ledger_tenant_view *t)
{
    service += t->service;
}

START_TEST(what_was_not_sent_is_not_charged)
{
    struct ledger *l = make();
    struct ledger_grant grant;
    struct ticket_ref ref = enter(l, 1, CE_OK);

    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(ledger_put_back(l, ref, T0 + 5, &grant), CE_PENDING);
        ledger_set_replica(l, 1, LEDGER_USABLE, &row, 1, T0 + 900);
        take(l, ref, CE_OK);
    }
    ledger_release(l, ref, 10, 0);
    service = 0;
    ledger_each_tenant(l, note_service, NULL);
    ck_assert_uint_eq(service, 10);
    ledger_destroy(l);
}
END_TEST

START_TEST(without_a_grace_it_is_refused_at_once)
{
    struct ledger *l = make();
    struct ledger_grant grant;
    struct ticket_ref refused;
    struct ticket_ref second;

    ledger_set_queue(l, 100, 0);
    refused = enter(l, 1, CE_OK);
    second = enter(l, 1, CE_PENDING);
    ck_assert_int_eq(ledger_put_back(l, refused, T0 + 5, &grant), CE_NO_REPLICA);
    ck_assert_uint_eq(note_count, 1);
    take(l, second, CE_NO_REPLICA);
    enter(l, 1, CE_NO_REPLICA);
    ledger_destroy(l);
}
END_TEST

/* They hold places in the queue, and ask for no slot. */
START_TEST(who_waits_for_a_change_is_counted)
{
    struct ledger *l = make();
    const struct ledger_tenant_settings narrow = {1, 1, 1};
    struct ticket_ref a;
    struct ticket_ref b;

    ledger_set_tenant(l, 1, &narrow);
    ledger_set_queue(l, 2, GRACE_MS);
    ck_assert_int_eq(ledger_wait(l, 0, 1, &a), CE_PENDING);
    ck_assert_int_eq(ledger_wait(l, 0, 1, &b), CE_QUEUE_TENANT_FULL);
    ck_assert_int_eq(ledger_wait(l, 0, 2, &b), CE_PENDING);
    ck_assert_int_eq(ledger_wait(l, 0, 3, &b), CE_QUEUE_FULL);
    ledger_set_replica(l, 1, LEDGER_LOST, &row, 1, T0 + 5);
    (void)ledger_give_up(l, T0 + 5 + GRACE_MS);
    ck_assert_uint_eq(note_count, 0);
    ledger_wake(l);
    ck_assert_uint_eq(note_count, 2);
    take(l, notes[0], CE_PENDING);
    ledger_cancel(l, notes[1]);
    take(l, notes[1], CE_NOT_FOUND);
    ledger_destroy(l);
}
END_TEST

static void count_row(void *arg, const struct ledger_row_view *view)
{
    ++*(size_t *)arg;
}

static size_t rows_of(struct ledger *l)
{
    size_t count = 0;

    ledger_each_row(l, count_row, &count);
    return count;
}

/* A row goes with the last thing that is said of it: it is listed, waited for, or used. */
START_TEST(rows_do_not_pile_up)
{
    struct ledger *l = make();
    struct ticket_ref running = enter(l, 1, CE_OK);

    for (uint32_t replica = 2; replica < 1000; replica++) {
        ledger_set_replica(l, replica, LEDGER_USABLE, &row, 1, T0);
        ck_assert(ledger_knows_replica(l, replica));
        ledger_set_replica(l, replica, LEDGER_USABLE, NULL, 0, T0); /* it has deleted the model */
        ck_assert(!ledger_knows_replica(l, replica));
        ledger_set_replica(l, replica, LEDGER_USABLE, &row, 1, T0);
        ledger_set_replica(l, replica, LEDGER_GONE, NULL, 0, T0);
    }
    ck_assert(ledger_knows_replica(l, 999)); /* which may come back */
    ledger_set_replica(l, 1, LEDGER_GONE, NULL, 0, T0);
    (void)ledger_give_up(l, T0 + GRACE_MS);
    ck_assert_uint_eq(rows_of(l), 1);
    ck_assert(ledger_knows_replica(l, 1) && ledger_knows_model(l, 1));
    ledger_release(l, running, 1, 1);
    ck_assert_uint_eq(rows_of(l), 0);
    ck_assert(!ledger_knows_replica(l, 1) && !ledger_knows_model(l, 1));
    ledger_destroy(l);
}
END_TEST

static Suite *lost_suite(void)
{
    Suite *suite = suite_create("lost");
    TCase *tc = tcase_create("replicas");

    tcase_add_test(tc, waiting_goes_on_for_the_grace);
    tcase_add_test(tc, rows_do_not_pile_up);
    tcase_add_test(tc, who_waited_is_served_when_it_returns);
    tcase_add_test(tc, the_grace_counts_from_the_last_loss);
    tcase_add_test(tc, what_a_replica_that_is_gone_had_is_lost);
    tcase_add_test(tc, a_deleted_model_is_unknown_at_once);
    tcase_add_test(tc, who_was_put_back_comes_first);
    tcase_add_test(tc, who_is_put_back_goes_elsewhere_at_once);
    tcase_add_test(tc, what_was_not_sent_is_not_charged);
    tcase_add_test(tc, without_a_grace_it_is_refused_at_once);
    tcase_add_test(tc, who_waits_for_a_change_is_counted);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(lost_suite)
