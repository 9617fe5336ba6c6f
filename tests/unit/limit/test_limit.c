#include <pthread.h>

#include "limit/fixture.h"

START_TEST(reserves_meters_settles)
{
    const struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_int_eq(v.output_bound, 50);
    ck_assert_ptr_eq(v.tokens.rule, &r);
    ck_assert_uint_eq(v.tokens.remaining, 850);
    ck_assert_uint_eq(v.tokens.reset_ms, MINUTE_MS);
    ck_assert_ptr_null(v.requests.rule);
    check(&r, T0, 0, 150, 0);
    limit_meter(g, true, 0, T0 + 1);
    check(&r, T0, 100, 50, 0);
    for (int i = 0; i < 20; i++) {
        limit_meter(g, false, 1, T0 + 2);
    }
    check(&r, T0, 120, 30, 0);
    limit_settle(g, (struct limit_counts){95, 21}, T0 + 3);
    check(&r, T0, 116, 0, 0);
    ck_assert_uint_eq(look(&r, T0 + 3).remaining, 884);
    ck_assert_uint_eq(limiter_totals(limiter).counters, 1);
}
END_TEST

/* Limit 1000, prompt 100 of it; 300 are in use. */
static const struct {
    const char *what;
    int64_t asked;
    uint64_t fallback;
    bool has_output;
    int64_t bound;
} bounds[] = {
    {"as asked", 50, 500, true, 50},
    {"all the room there is", 600, 500, true, 600},
    {"more than there is room", 601, 500, true, 600},
    {"far more", INT64_MAX, 500, true, 600},
    {"nothing asked", LIMIT_NO_BOUND, 500, true, 500},
    {"nothing asked, little room", LIMIT_NO_BOUND, 5000, true, 600},
    {"0 is 1: to Ollama it is no limit", 0, 500, true, 1},
    {"default 0 is 1", LIMIT_NO_BOUND, 0, true, 1},
    {"embeddings", 50, 500, false, LIMIT_NO_BOUND},
};

START_TEST(bounds_the_output)
{
    const struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *before;
    struct limit_grant *g;

    request.output_asked = 200;
    ck_assert_int_eq(reserve(&request, &v, &before), CE_OK);
    request.output_asked = bounds[_i].asked;
    request.output_default = bounds[_i].fallback;
    request.has_output = bounds[_i].has_output;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_msg(v.output_bound == bounds[_i].bound, "%s: %lld", bounds[_i].what,
                  (long long)v.output_bound);
    check(&r, T0, 0, 400 + (bounds[_i].bound < 0 ? 0 : (uint64_t)bounds[_i].bound), 0);
    limit_settle(g, UNTOLD, T0);
    limit_settle(before, UNTOLD, T0);
    check(&r, T0, 0, 0, 0);
}
END_TEST

/* Prompt 100 and bound 50 reserved, 100 + 20 metered. */
static const struct {
    const char *what;
    struct limit_counts counts;
    uint64_t limit;
    uint64_t later_ms; /* settled so long after */
    uint64_t used;
    uint64_t debt;
} ends[] = {
    {"nothing told", {-1, -1}, 1000, 0, 120, 0},
    {"as metered", {100, 20}, 1000, 0, 120, 0},
    {"output less", {100, 15}, 1000, 0, 115, 0},
    {"output more, reserved", {100, 50}, 1000, 0, 150, 0},
    {"prompt more, reserved", {130, -1}, 1000, 0, 150, 0},
    {"prompt more, there is room", {400, 20}, 1000, 0, 420, 0},
    {"prompt more, no room", {400, 20}, 300, 0, 300, 120},
    {"prompt less", {40, -1}, 1000, 0, 60, 0},
    {"only the output told", {-1, 7}, 1000, 0, 107, 0},
    {"explicit zeros", {0, 0}, 1000, 0, 0, 0},
    {"zero prompt: all of it was cached", {0, 20}, 1000, 0, 20, 0},
    {"window over, nothing told", {-1, -1}, 1000, MINUTE_MS, 0, 0},
    {"window over, less", {50, 10}, 1000, MINUTE_MS, 0, 0},
    {"window over, more: in the new one", {100, 30}, 1000, MINUTE_MS, 10, 0},
    {"window over, much more", {1500, 20}, 1000, MINUTE_MS, 1000, 400},
};

START_TEST(settles_by_the_counts)
{
    const struct limit_rule r = tokens("t", ends[_i].limit);
    struct limit_request request = ask_of(&r, 1);
    uint64_t later = T0 + ends[_i].later_ms;
    struct limit_verdict v;
    struct limit_grant *g;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    limit_meter(g, true, 5, T0);
    limit_meter(g, false, 15, T0);
    limit_settle(g, ends[_i].counts, later);
    struct limit_usage u = look(&r, later);

    ck_assert_msg(u.used == ends[_i].used && u.debt == ends[_i].debt && u.reserved == 0,
                  "%s: used %llu, debt %llu", ends[_i].what, (unsigned long long)u.used,
                  (unsigned long long)u.debt);
}
END_TEST

/* What others used in this window stays, when one that began in the last one was charged too much.
 */
START_TEST(credit_is_for_its_own_window)
{
    const struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *old;
    struct limit_grant *other;

    ck_assert_int_eq(reserve(&request, &v, &old), CE_OK);
    limit_meter(old, true, 20, T0);
    request.now_ms = T0 + MINUTE_MS;
    ck_assert_int_eq(reserve(&request, &v, &other), CE_OK);
    limit_meter(other, true, 20, T0 + MINUTE_MS);
    limit_settle(old, (struct limit_counts){1, 1}, T0 + MINUTE_MS);
    limit_settle(other, UNTOLD, T0 + MINUTE_MS);
    check(&r, T0 + MINUTE_MS, 120, 0, 0);
}
END_TEST

/* The clock goes over the day's end and back: the same end, but a window with counts of others. */
START_TEST(credit_is_not_fooled_by_the_clock)
{
    struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *old;
    struct limit_grant *other;

    r.window_s = 0;
    r.calendar = LIMIT_DAY;
    request.now_ms = MIDNIGHT - 1000;
    ck_assert_int_eq(reserve(&request, &v, &old), CE_OK);
    limit_meter(old, true, 20, MIDNIGHT - 1000);
    request.now_ms = MIDNIGHT + 1000;
    ck_assert_int_eq(reserve(&request, &v, &other), CE_OK);
    limit_meter(other, true, 20, MIDNIGHT + 1000);
    limit_settle(other, UNTOLD, MIDNIGHT - 1000);
    limit_settle(old, (struct limit_counts){1, 1}, MIDNIGHT - 1000);
    check(&r, MIDNIGHT - 1000, 120, 0, 0);
}
END_TEST

/* Workers read the clock on their own: one a millisecond behind does not cost a grant its credit.
 */
START_TEST(credit_survives_a_worker_that_is_late)
{
    const struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;
    struct limit_grant *late;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    limit_meter(g, true, 20, T0);
    request.now_ms = T0 - 1;
    ck_assert_int_eq(reserve(&request, &v, &late), CE_OK);
    limit_settle(late, UNTOLD, T0 - 1);
    limit_settle(g, (struct limit_counts){50, 20}, T0 + 5);
    check(&r, T0 + 5, 70, 0, 0);
}
END_TEST

START_TEST(aborted_after_some)
{
    const struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK); /* while it waited in the queue */
    limit_settle(g, UNTOLD, T0);
    check(&r, T0, 0, 0, 0);
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK); /* after 3 of 50 */
    limit_meter(g, true, 0, T0);
    limit_meter(g, false, 3, T0);
    limit_settle(g, UNTOLD, T0);
    check(&r, T0, 103, 0, 0);
}
END_TEST

/* A replica that puts out more than it was told to: counted, never above the limit. */
START_TEST(output_above_the_bound_is_owed)
{
    const struct limit_rule r = tokens("t", 200);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    limit_meter(g, true, 130, T0);
    check(&r, T0, 200, 0, 30);
    limit_meter(g, false, 10, T0);
    limit_settle(g, UNTOLD, T0);
    check(&r, T0, 200, 0, 40);
    check(&r, T0 + MINUTE_MS, 40, 0, 0);
}
END_TEST

/* Counts of a replica gone mad: the sum stays a number. */
START_TEST(debt_does_not_overflow)
{
    const struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g[3];

    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(reserve(&request, &v, &g[i]), CE_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        limit_settle(g[i], (struct limit_counts){INT64_MAX, -1}, T0);
    }
    ck_assert_uint_ge(look(&r, T0).debt, (uint64_t)INT64_MAX);
    ck_assert_uint_eq(look(&r, T0).used, 1000);
}
END_TEST

struct racer {
    const struct limit_rule *rules;
    pthread_t thread;
    uint64_t passed;
    uint64_t charged;
};

static void *race(void *arg)
{
    enum { ROUNDS = 2000 };
    struct racer *me = arg;
    struct limit_request request = ask_of(me->rules, 3);
    struct arena mine = {0};
    struct limit_verdict v;
    struct limit_grant *g;

    request.prompt_tokens = 10;
    request.output_asked = 20;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (limit_reserve(limiter, &request, &mine, &v, &g) != CE_OK) {
            continue;
        }
        limit_meter(g, true, 0, T0);
        limit_meter(g, false, 7, T0);
        limit_settle(g, (struct limit_counts){11, 6}, T0);
        me->passed++;
        me->charged += 17;
    }
    arena_finish(&mine);
    return NULL;
}

START_TEST(two_threads_share_an_account)
{
    struct limit_rule rules[] = {tokens("t", 50000), requests("r", 100000), tokens("u", 100000)};
    struct racer racers[2] = {{.rules = rules}, {.rules = rules}};

    rules[2].per = LIMIT_PER_USER;
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(racers[i].thread, NULL);
    }
    uint64_t passed = racers[0].passed + racers[1].passed;

    check(&rules[0], T0, racers[0].charged + racers[1].charged, 0, 0);
    check(&rules[2], T0, 17 * passed, 0, 0);
    ck_assert_uint_eq(look(&rules[1], T0).used, passed);
    ck_assert_uint_ge(passed, (50000 - 60) / 17); /* refused only when there was no room */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit");
    TCase *c = tcase_create("settling");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, reserves_meters_settles);
    tcase_add_loop_test(c, bounds_the_output, 0, (int)ARRAY_LEN(bounds));
    tcase_add_loop_test(c, settles_by_the_counts, 0, (int)ARRAY_LEN(ends));
    tcase_add_test(c, credit_is_for_its_own_window);
    tcase_add_test(c, credit_is_not_fooled_by_the_clock);
    tcase_add_test(c, credit_survives_a_worker_that_is_late);
    tcase_add_test(c, aborted_after_some);
    tcase_add_test(c, output_above_the_bound_is_owed);
    tcase_add_test(c, debt_does_not_overflow);
    tcase_add_test(c, two_threads_share_an_account);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
