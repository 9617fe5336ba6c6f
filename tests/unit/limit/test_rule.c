#include "base/mem.h"
#include "limit/rule.h"
#include "unit.h"

/* Wall milliseconds of dates in UTC, from `date -u -d DATE +%s`. */
#define SECONDS(s) ((uint64_t)(s)*1000)

static const struct {
    const char *what;
    enum limit_calendar calendar;
    uint64_t now_ms;
    uint64_t ends_ms;
} ends[] = {
    {"1970 begins", LIMIT_DAY, 0, SECONDS(86400)},
    {"last millisecond of a day", LIMIT_DAY, SECONDS(86400) - 1, SECONDS(86400)},
    {"midnight belongs to the new day", LIMIT_DAY, SECONDS(86400), SECONDS(172800)},
    {"a day in 2026", LIMIT_DAY, SECONDS(1795267347) + 349, SECONDS(1795305600)},
    {"1970 begins, month", LIMIT_MONTH, 0, SECONDS(2678400)},
    {"2026-01-31 23:59:59.999", LIMIT_MONTH, SECONDS(1769904000) - 1, SECONDS(1769904000)},
    {"2026-02-01 00:00", LIMIT_MONTH, SECONDS(1769904000), SECONDS(1772323200)},
    {"2026-02-28 12:00, 28 days", LIMIT_MONTH, SECONDS(1772280000), SECONDS(1772323200)},
    {"2028-02-28 12:00, leap", LIMIT_MONTH, SECONDS(1835352000), SECONDS(1835481600)},
    {"2028-02-29 23:59:59.999, leap", LIMIT_MONTH, SECONDS(1835481600) - 1, SECONDS(1835481600)},
    {"2100-02-28, no leap year", LIMIT_MONTH, SECONDS(4107456000), SECONDS(4107542400)},
    {"2026-04-30, 30 days", LIMIT_MONTH, SECONDS(1777507200), SECONDS(1777593600)},
    {"2026-12-31 23:59:59.999", LIMIT_MONTH, SECONDS(1798761600) - 1, SECONDS(1798761600)},
    {"2026-12-01", LIMIT_MONTH, SECONDS(1796083200), SECONDS(1798761600)},
};

START_TEST(calendar_windows_end_in_utc)
{
    struct limit_rule r = {.tokens = 1, .calendar = ends[_i].calendar};

    ck_assert_msg(limit_rule_end_ms(&r, ends[_i].now_ms) == ends[_i].ends_ms, "%s: %llu",
                  ends[_i].what, (unsigned long long)limit_rule_end_ms(&r, ends[_i].now_ms));
}
END_TEST

/* Four times a day for 30 years: a window lies ahead, is no longer than its length, and has no
 * gaps. */
START_TEST(calendar_windows_cover_30_years)
{
    const uint64_t step_ms = SECONDS(21600);
    struct limit_rule r = {.tokens = 1, .calendar = (uint32_t)_i};
    uint64_t end = limit_rule_end_ms(&r, SECONDS(1767225600));
    unsigned wrong = 0;

    for (uint64_t now = SECONDS(1767225600); now < SECONDS(2713910400); now += step_ms) {
        uint64_t next = limit_rule_end_ms(&r, now);

        wrong += next <= now || next - now > limit_rule_length_ms(&r);
        wrong += next != end && now != end;
        end = next;
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(windows_of_seconds_begin_now)
{
    struct limit_rule r = {.tokens = 1, .window_s = 60};

    ck_assert_uint_eq(limit_rule_end_ms(&r, 1795267347349), 1795267407349);
    ck_assert_uint_eq(limit_rule_length_ms(&r), 60000);
    r.calendar = LIMIT_DAY;
    ck_assert_uint_eq(limit_rule_length_ms(&r), 86400000);
    r.calendar = LIMIT_MONTH;
    ck_assert_uint_eq(limit_rule_length_ms(&r), UINT64_C(2678400000));
}
END_TEST

START_TEST(finish_frees_all)
{
    struct limit_rule r = {.name = xstrdup("a"), .model_count = 2};

    r.models = xcalloc(2, sizeof(*r.models));
    r.models[0] = xstrdup("qwen3:*");
    r.models[1] = xstrdup("gemma3:4b");
    limit_rule_finish(&r);
    ck_assert_ptr_null(r.name);
    ck_assert_ptr_null(r.models);
    limit_rule_finish(&r);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/rule");
    TCase *c = tcase_create("rule");

    tcase_add_loop_test(c, calendar_windows_end_in_utc, 0, (int)(sizeof(ends) / sizeof(ends[0])));
    tcase_add_loop_test(c, calendar_windows_cover_30_years, LIMIT_DAY, LIMIT_MONTH + 1);
    tcase_add_test(c, windows_of_seconds_begin_now);
    tcase_add_test(c, finish_frees_all);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
