#include "app/expiry.h"
#include "unit.h"

enum { DAY = 86400 };

static const struct {
    int64_t left_s;
    enum expiry_stage stage;
} stages[] = {
    {-1, EXPIRY_OVER},
    {0, EXPIRY_OVER},
    {1, EXPIRY_1_DAY},
    {DAY, EXPIRY_1_DAY},
    {DAY + 1, EXPIRY_3_DAYS},
    {3 * DAY, EXPIRY_3_DAYS},
    {3 * DAY + 1, EXPIRY_14_DAYS},
    {14 * DAY, EXPIRY_14_DAYS},
    {14 * DAY + 1, EXPIRY_FAR},
    {3650 * (int64_t)DAY, EXPIRY_FAR},
};

START_TEST(an_end_comes_nearer_in_stages)
{
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        ck_assert_int_eq(expiry_stage_of(1795000000 + stages[i].left_s, 1795000000),
                         stages[i].stage);
    }
}
END_TEST

static Suite *expiry_suite(void)
{
    Suite *suite = suite_create("expiry");
    TCase *tc = tcase_create("expiry");

    tcase_add_test(tc, an_end_comes_nearer_in_stages);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(expiry_suite)
