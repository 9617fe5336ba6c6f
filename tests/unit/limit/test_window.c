#include "limit/window.h"
#include "unit.h"

enum { MINUTE_MS = 60000, LIMIT = 1000 };

static const uint64_t T0 = UINT64_C(1795267347349);

static struct limit_rule minute(void)
{
    return (struct limit_rule){.tokens = LIMIT, .window_s = 60};
}

static void check(const struct window *w, uint64_t used, uint64_t reserved, uint64_t debt)
{
    ck_assert_uint_eq(w->used, used);
    ck_assert_uint_eq(w->reserved, reserved);
    ck_assert_uint_eq(w->debt, debt);
}

START_TEST(begins_with_the_first_request)
{
    struct limit_rule r = minute();
    struct window w = {0};

    ck_assert(window_roll(&w, &r, T0));
    ck_assert_uint_eq(w.ends_ms, T0 + MINUTE_MS);
    ck_assert_uint_eq(window_room(&w, &r), LIMIT);
    ck_assert(!window_roll(&w, &r, T0 + MINUTE_MS - 1));
    ck_assert_uint_eq(w.ends_ms, T0 + MINUTE_MS);
    ck_assert(window_roll(&w, &r, T0 + MINUTE_MS));
    ck_assert_uint_eq(w.ends_ms, T0 + 2 * MINUTE_MS);
}
END_TEST

START_TEST(reserved_becomes_used_or_free)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_reserve(&w, 700);
    ck_assert_uint_eq(window_room(&w, &r), 300);
    window_use(&w, 200);
    check(&w, 200, 500, 0);
    window_release(&w, 500);
    check(&w, 200, 0, 0);
    window_credit(&w, 50);
    check(&w, 150, 0, 0);
    ck_assert_uint_eq(window_room(&w, &r), 850);
}
END_TEST

START_TEST(a_roll_forgets_what_was_used_not_what_is_reserved)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_reserve(&w, 900);
    window_use(&w, 300);
    for (int i = 1; i <= 5; i++) { /* the stream lives on over five windows */
        window_roll(&w, &r, T0 + (uint64_t)i * MINUTE_MS);
        check(&w, 0, 600 - 100 * ((uint64_t)i - 1), 0);
        window_use(&w, 100);
    }
    window_release(&w, 100);
    check(&w, 100, 0, 0);
}
END_TEST

START_TEST(what_finds_no_room_is_owed)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_reserve(&w, 900);
    window_owe(&w, &r, 350);
    check(&w, 100, 900, 250);
    window_credit(&w, 300); /* what is owed first */
    check(&w, 50, 900, 0);
}
END_TEST

START_TEST(debt_fills_the_next_windows)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_owe(&w, &r, 3300);
    check(&w, 1000, 0, 2300);
    window_roll(&w, &r, T0 + MINUTE_MS);
    check(&w, 1000, 0, 1300);
    window_roll(&w, &r, T0 + 2 * MINUTE_MS);
    check(&w, 1000, 0, 300);
    window_roll(&w, &r, T0 + 3 * MINUTE_MS);
    check(&w, 300, 0, 0);
    window_roll(&w, &r, T0 + 4 * MINUTE_MS);
    check(&w, 0, 0, 0);
}
END_TEST

START_TEST(debt_leaves_the_reserved_alone)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_reserve(&w, 800);
    window_owe(&w, &r, 900);
    check(&w, 200, 800, 700);
    window_roll(&w, &r, T0 + MINUTE_MS);
    check(&w, 200, 800, 500);
    ck_assert_uint_eq(window_room(&w, &r), 0);
}
END_TEST

/* Debt 2300 after a window that ended at T0 + 60 s; windows that pass unused pay 1000 each. */
static const struct {
    uint64_t later_ms; /* after that end */
    uint64_t used;
    uint64_t debt;
} unused[] = {
    {0, 1000, 1300},         {MINUTE_MS - 1, 1000, 1300},
    {MINUTE_MS, 1000, 300},  {2 * MINUTE_MS - 1, 1000, 300},
    {2 * MINUTE_MS, 300, 0}, {3 * MINUTE_MS - 1, 300, 0},
    {3 * MINUTE_MS, 0, 0},   {UINT64_C(1) << 50, 0, 0},
};

START_TEST(windows_without_requests_pay_debt)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_owe(&w, &r, 3300);
    window_roll(&w, &r, T0 + MINUTE_MS + unused[_i].later_ms);
    check(&w, unused[_i].used, 0, unused[_i].debt);
}
END_TEST

/* February has 28 days: it pays like any other month. */
START_TEST(a_short_month_pays_debt)
{
    struct limit_rule r = {.tokens = LIMIT, .calendar = LIMIT_MONTH};
    struct window w = {0};

    window_roll(&w, &r, UINT64_C(1769904000000) - 1); /* 2026-01-31, ends 2026-02-01 */
    window_owe(&w, &r, 2700);
    window_roll(&w, &r, UINT64_C(1772323200000)); /* 2026-03-01 */
    check(&w, 700, 0, 0);
    ck_assert_uint_eq(w.ends_ms, UINT64_C(1775001600000));
}
END_TEST

START_TEST(a_clock_set_back_keeps_the_count)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_owe(&w, &r, 400);
    ck_assert(!window_roll(&w, &r, T0 - 1000 * MINUTE_MS)); /* far, yet no new window */
    check(&w, 400, 0, 0);
    ck_assert_uint_eq(w.ends_ms, T0 - 999 * MINUTE_MS);
    window_roll(&w, &r, T0 - 999 * MINUTE_MS - 1);
    check(&w, 400, 0, 0);
    window_roll(&w, &r, T0 - 999 * MINUTE_MS);
    check(&w, 0, 0, 0);
}
END_TEST

START_TEST(a_clock_set_back_over_a_month_end)
{
    struct limit_rule r = {.tokens = LIMIT, .calendar = LIMIT_MONTH};
    struct window w = {0};

    window_roll(&w, &r, UINT64_C(1772323200000)); /* 2026-03-01, ends 2026-04-01 */
    window_owe(&w, &r, 400);
    window_roll(&w, &r, UINT64_C(1772280000000)); /* 2026-02-28 12:00: more than 31 days */
    check(&w, 400, 0, 0);
    ck_assert_uint_eq(w.ends_ms, UINT64_C(1772323200000));
}
END_TEST

START_TEST(a_lower_limit_leaves_no_room)
{
    struct limit_rule r = minute();
    struct window w = {0};

    window_roll(&w, &r, T0);
    window_reserve(&w, 900);
    window_use(&w, 400);
    r.tokens = 600;
    ck_assert_uint_eq(window_room(&w, &r), 0);
    window_owe(&w, &r, 10);
    check(&w, 400, 500, 10);
    window_roll(&w, &r, T0 + MINUTE_MS);
    check(&w, 10, 500, 0);
    ck_assert_uint_eq(window_room(&w, &r), 90);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/window");
    TCase *c = tcase_create("window");

    tcase_add_test(c, begins_with_the_first_request);
    tcase_add_test(c, reserved_becomes_used_or_free);
    tcase_add_test(c, a_roll_forgets_what_was_used_not_what_is_reserved);
    tcase_add_test(c, what_finds_no_room_is_owed);
    tcase_add_test(c, debt_fills_the_next_windows);
    tcase_add_test(c, debt_leaves_the_reserved_alone);
    tcase_add_loop_test(c, windows_without_requests_pay_debt, 0,
                        (int)(sizeof(unused) / sizeof(unused[0])));
    tcase_add_test(c, a_short_month_pays_debt);
    tcase_add_test(c, a_clock_set_back_keeps_the_count);
    tcase_add_test(c, a_clock_set_back_over_a_month_end);
    tcase_add_test(c, a_lower_limit_leaves_no_room);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
