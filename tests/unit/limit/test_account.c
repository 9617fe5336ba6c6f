#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>

#include "base/mem.h"
#include "limit/account.h"
#include "unit.h"

static const uint64_t T0 = UINT64_C(1795267347349);

/* Keys that share a bucket in eights: chains are walked. */
static struct counter_key key_of(uint64_t n)
{
    return (struct counter_key){{n / 8, n}};
}

static struct counter *get(struct limit_account *a, uint64_t n, uint64_t now_ms)
{
    struct counter_key key = key_of(n);
    uint32_t index = limit_account_get(a, &key, now_ms);

    return index == COUNTER_NONE ? NULL : limit_account_at(a, index);
}

static bool known(const struct limit_account *a, uint64_t n)
{
    struct counter_key key = key_of(n);

    return limit_account_find(a, &key) != COUNTER_NONE;
}

START_TEST(finds_what_it_got)
{
    struct limit_account *a = limit_account_create(1000);

    ck_assert(!known(a, 0));
    for (uint64_t n = 0; n < 1000; n++) {
        struct counter *c = get(a, n, T0);

        ck_assert_uint_eq(c->window.ends_ms, 0);
        c->window.used = n;
        c->window.ends_ms = T0 + 1;
    }
    for (uint64_t n = 0; n < 1000; n++) {
        ck_assert_uint_eq(get(a, n, T0)->window.used, n);
    }
    ck_assert(!known(a, 1000));
    ck_assert_uint_eq(a->live, 1000);
    limit_account_destroy(a);
    limit_account_destroy(NULL);
}
END_TEST

/* What keeps a counter in a full table of one from being reused. */
static const struct {
    const char *what;
    uint64_t debt;
    uint64_t ends_ms;
    uint32_t holds;
    bool dirty;
    bool reused;
} fates[] = {
    {"old", 0, UINT64_C(1795267347349), 0, false, true},
    {"never used", 0, 0, 0, false, true},
    {"its window lasts", 0, UINT64_C(1795267347350), 0, false, false},
    {"held", 0, 0, 1, false, false},
    {"indebted", 1, UINT64_C(1795267347349), 0, false, false},
    {"indebted for 32 days less 1 ms", 1, UINT64_C(1792502547350), 0, false, false},
    {"indebted for 32 days", 1, UINT64_C(1792502547349), 0, false, true},
    {"dirty", 0, 0, 0, true, false},
};

START_TEST(reuses_old_ones_only)
{
    struct limit_account *a = limit_account_create(1);
    struct counter *c = get(a, 1, T0);

    c->window.debt = fates[_i].debt;
    c->window.ends_ms = fates[_i].ends_ms;
    c->holds = fates[_i].holds;
    c->dirty = fates[_i].dirty;
    ck_assert_msg((get(a, 2, T0) != NULL) == fates[_i].reused, "%s", fates[_i].what);
    ck_assert(known(a, 1) != fates[_i].reused);
    ck_assert(known(a, 2) == fates[_i].reused);
    ck_assert_uint_eq(a->live, 1);
    limit_account_destroy(a);
}
END_TEST

START_TEST(a_full_table_gives_none)
{
    struct limit_account *a = limit_account_create(100);

    for (uint64_t n = 0; n < 100; n++) {
        get(a, n, T0)->window.ends_ms = T0 + 1000;
    }
    ck_assert_ptr_null(get(a, 100, T0 + 999));
    ck_assert_ptr_nonnull(get(a, 50, T0 + 999)); /* those that are there stay usable */
    ck_assert_ptr_nonnull(get(a, 100, T0 + 1000));
    ck_assert_uint_eq(a->live, 100);
    limit_account_destroy(a);
}
END_TEST

/* One call looks at a few, the next ones go on: the one old counter of 1000 is found. */
START_TEST(the_search_goes_on)
{
    struct limit_account *a = limit_account_create(1000);
    unsigned tries = 1;

    for (uint64_t n = 0; n < 1000; n++) {
        get(a, n, T0)->window.ends_ms = n == 777 ? T0 : T0 + 1000;
    }
    while (get(a, 5000, T0) == NULL) {
        ck_assert_uint_lt(++tries, 20);
    }
    ck_assert_uint_gt(tries, 1);
    ck_assert(!known(a, 777));
    for (uint64_t n = 0; n < 1000; n++) {
        ck_assert(known(a, n) == (n != 777));
    }
    limit_account_destroy(a);
}
END_TEST

/* Users come and go through a small table: every lookup finds its own count or a fresh one. */
START_TEST(lookups_hold_after_reuse)
{
    enum { ROOM = 64, USERS = 20000 };
    struct limit_account *a = limit_account_create(ROOM);
    unsigned wrong = 0; /* an assertion is slow */

    for (uint64_t n = 0; n < USERS; n++) {
        struct counter *c = get(a, n, T0 + n);

        ck_assert_ptr_nonnull(c);
        ck_assert_uint_eq(c->window.used, 0);
        c->window.used = n + 1;
        c->window.ends_ms = T0 + n + ROOM / 2;
        for (uint64_t past = 1; past <= n && past < ROOM / 2; past++) {
            wrong += get(a, n - past, T0 + n)->window.used != n - past + 1;
        }
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(a->live, ROOM);
    limit_account_destroy(a);
}
END_TEST

START_TEST(marks_are_a_queue)
{
    struct limit_account *a = limit_account_create(10);

    a->kept = true;
    for (uint64_t n = 0; n < 3; n++) {
        get(a, n, T0)->budget = true;
        limit_account_mark(a, (uint32_t)n);
    }
    limit_account_mark(a, 0); /* once is enough */
    ck_assert_uint_eq(a->dirty_count, 3);
    ck_assert_uint_eq(limit_account_unmark(a), 0);
    limit_account_mark(a, 0); /* changed again: to the end */
    ck_assert_uint_eq(limit_account_unmark(a), 1);
    ck_assert_uint_eq(limit_account_unmark(a), 2);
    ck_assert_uint_eq(limit_account_unmark(a), 0);
    ck_assert_uint_eq(limit_account_unmark(a), COUNTER_NONE);
    limit_account_mark(a, 2);
    ck_assert_uint_eq(limit_account_unmark(a), 2);
    ck_assert_uint_eq(a->dirty_count, 0);
    limit_account_destroy(a);
}
END_TEST

/* Without a state directory nobody would unmark them: the table would fill up for ever. */
START_TEST(nothing_is_marked_in_vain)
{
    struct limit_account *a = limit_account_create(10);

    get(a, 0, T0)->budget = true;
    get(a, 1, T0)->budget = false;
    limit_account_mark(a, 0);
    a->kept = true;
    limit_account_mark(a, 1);
    ck_assert_uint_eq(limit_account_unmark(a), COUNTER_NONE);
    limit_account_destroy(a);
}
END_TEST

/* What the manual says a counter costs. */
START_TEST(bytes_a_counter)
{
    enum { USERS = 100000, CAPACITY = 262144 };
    struct limit_account *a = limit_account_create(CAPACITY);
    size_t before = mallinfo2().uordblks;

    for (uint64_t n = 0; n < USERS; n++) {
        struct counter_key key = {{n * UINT64_C(0x9e3779b97f4a7c15), n}};

        (void)limit_account_get(a, &key, T0);
    }
    ck_assert_uint_eq(a->live, USERS);
    size_t bytes = mallinfo2().uordblks - before; /* 0 where a sanitizer has malloc */
    ck_assert_uint_eq(sizeof(struct counter), 64);
    ck_assert_uint_le(bytes, USERS * 65);
    printf("# %d counters: %.2f bytes each, beside a table of %zu\n", USERS, (double)bytes / USERS,
           CAPACITY * sizeof(uint32_t));
    limit_account_destroy(a);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/account");
    TCase *c = tcase_create("account");

    tcase_add_test(c, finds_what_it_got);
    tcase_add_loop_test(c, reuses_old_ones_only, 0, (int)(sizeof(fates) / sizeof(fates[0])));
    tcase_add_test(c, a_full_table_gives_none);
    tcase_add_test(c, the_search_goes_on);
    tcase_add_test(c, lookups_hold_after_reuse);
    tcase_add_test(c, marks_are_a_queue);
    tcase_add_test(c, nothing_is_marked_in_vain);
    tcase_add_test(c, bytes_a_counter);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
