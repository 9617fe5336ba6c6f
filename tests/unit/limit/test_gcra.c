#include "limit/gcra.h"
#include "unit.h"

#define NS UINT64_C(1000000000)

static const uint64_t T0 = UINT64_C(1795267347) * NS;

static struct limit_rule rule(uint64_t requests, uint64_t burst, uint64_t window_s)
{
    return (struct limit_rule){.requests = requests, .burst = burst, .window_s = window_s};
}

/* Ask as limit.c does. */
static bool ask(const struct limit_rule *r, uint64_t *tat_ns, uint64_t now_ns)
{
    *tat_ns = gcra_roll(r, *tat_ns, now_ns);
    if (!gcra_look(r, *tat_ns, now_ns).open) {
        return false;
    }
    *tat_ns = gcra_take(r, *tat_ns, now_ns);
    return true;
}

static uint64_t ask_all(const struct limit_rule *r, uint64_t *tat_ns, uint64_t now_ns)
{
    uint64_t passed = 0;

    while (passed < 100000 && ask(r, tat_ns, now_ns)) {
        passed++;
    }
    return passed;
}

/* After `burst` at T0 one more passes at T0 + step_ns and no nanosecond earlier. */
static const struct {
    uint64_t requests;
    uint64_t burst;
    uint64_t window_s;
    uint64_t at_once;
    uint64_t step_ns;
} rates[] = {
    {60, 0, 60, 60, NS},          {60, 1, 60, 1, NS},      {60, 5, 60, 5, NS}, {1, 0, 1, 1, NS},
    {1, 1, 86400, 1, 86400 * NS}, {3, 0, 1, 3, 333333334}, /* a third of a second, rounded up */
    {7, 2, 1, 2, 142857143},                               /* a seventh */
    {1000000000, 3, 1, 3, 1},                              /* one a nanosecond */
    {600000000, 3, 1, 3, 2},                               /* 1.67 ns */
    {1000000000, 3, 60, 3, 60},   {999999999, 2, 1, 2, 2},
};

START_TEST(bursts_then_one_each_step)
{
    struct limit_rule r = rule(rates[_i].requests, rates[_i].burst, rates[_i].window_s);
    uint64_t tat = 0;
    uint64_t step = rates[_i].step_ns;

    ck_assert_uint_eq(gcra_look(&r, tat, T0).remaining, rates[_i].at_once);
    ck_assert_uint_eq(ask_all(&r, &tat, T0), rates[_i].at_once);
    struct gcra_level level = gcra_look(&r, tat, T0);

    ck_assert_uint_eq(level.remaining, 0);
    ck_assert_uint_eq(level.wait_ns, step);
    ck_assert_uint_eq(level.reset_ns, step * rates[_i].at_once);
    ck_assert(!ask(&r, &tat, T0 + step - 1));
    ck_assert(ask(&r, &tat, T0 + step));
    ck_assert(!ask(&r, &tat, T0 + step));
    ck_assert_uint_eq(ask_all(&r, &tat, T0 + step + step * rates[_i].at_once), rates[_i].at_once);
}
END_TEST

/* requests > 1e9 x window: a nanosecond is the least step. */
START_TEST(more_than_one_a_nanosecond)
{
    struct limit_rule r = rule(3000000000, 4, 1);
    uint64_t tat = 0;

    ck_assert_uint_eq(ask_all(&r, &tat, T0), 4);
    ck_assert_uint_eq(ask_all(&r, &tat, T0 + 1), 1);
    ck_assert_uint_eq(ask_all(&r, &tat, T0 + 100), 4);
}
END_TEST

START_TEST(largest_numbers_of_the_configuration)
{
    struct limit_rule r = rule(1000000000, 0, 86400);
    struct gcra_level level = gcra_look(&r, 0, T0);

    ck_assert_uint_eq(level.remaining, 1000000000);
    ck_assert_uint_eq(gcra_take(&r, 0, T0), T0 + 86400);
    r = rule(1, 1, 86400);
    ck_assert_uint_eq(gcra_take(&r, 0, T0), T0 + 86400 * NS);
}
END_TEST

/* In any stretch t no more than burst + t x requests / window, whoever asks whenever. */
START_TEST(never_above_the_exact_rate)
{
    struct limit_rule r = rule(7, 2, 1);
    uint64_t tat = 0;
    uint64_t passed = 0;

    for (uint64_t t = 0; t <= 3 * NS; t += 1000003) {
        passed += ask(&r, &tat, T0 + t);
        ck_assert_uint_le((passed - 2) * NS * (passed >= 2), t * 7);
    }
    ck_assert_uint_ge(passed, 2 + 20);
    tat = 0;
    ck_assert_uint_eq(ask_all(&r, &tat, T0), 2);
    ck_assert(!ask(&r, &tat, T0 + NS / 7)); /* 142857142.86 ns are not over */
    ck_assert(ask(&r, &tat, T0 + NS / 7 + 1));
}
END_TEST

/* Until the clock was set back by `back_s`, all of the burst was taken. */
START_TEST(a_clock_set_back_costs_one_refill)
{
    static const uint64_t back_s[] = {1, 59, 60, 61, 3600, 86400, 31536000};
    struct limit_rule r = rule(60, 10, 60);
    uint64_t tat = 0;
    uint64_t now = T0 - back_s[_i] * NS;

    ck_assert_uint_eq(ask_all(&r, &tat, T0), 10);
    ck_assert(!ask(&r, &tat, now));
    tat = gcra_roll(&r, tat, now);
    struct gcra_level level = gcra_look(&r, tat, now);

    ck_assert_uint_le(level.reset_ns, 10 * NS);
    ck_assert(!ask(&r, &tat, now + level.wait_ns - 1));
    ck_assert(ask(&r, &tat, now + level.wait_ns));
    ck_assert_uint_ge(ask_all(&r, &tat, now + 11 * NS), 9);
}
END_TEST

START_TEST(a_clock_set_forward_gives_one_burst)
{
    struct limit_rule r = rule(60, 10, 60);
    uint64_t tat = 0;

    ck_assert_uint_eq(ask_all(&r, &tat, T0), 10);
    ck_assert_uint_eq(ask_all(&r, &tat, T0 + 31536000 * NS), 10);
}
END_TEST

START_TEST(a_lower_limit_takes_hold_at_once)
{
    struct limit_rule r = rule(60, 60, 60);
    uint64_t tat = 0;

    ck_assert_uint_eq(ask_all(&r, &tat, T0), 60);
    r.burst = 2; /* 60 s were to wait, now it is one step */
    ck_assert(!ask(&r, &tat, T0));
    ck_assert(ask(&r, &tat, T0 + NS));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/gcra");
    TCase *c = tcase_create("gcra");

    tcase_add_loop_test(c, bursts_then_one_each_step, 0, (int)(sizeof(rates) / sizeof(rates[0])));
    tcase_add_test(c, more_than_one_a_nanosecond);
    tcase_add_test(c, largest_numbers_of_the_configuration);
    tcase_add_test(c, never_above_the_exact_rate);
    tcase_add_loop_test(c, a_clock_set_back_costs_one_refill, 0, 7);
    tcase_add_test(c, a_clock_set_forward_gives_one_burst);
    tcase_add_test(c, a_lower_limit_takes_hold_at_once);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
