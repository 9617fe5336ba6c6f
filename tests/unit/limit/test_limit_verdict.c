#include <stdio.h>

#include "limit/fixture.h"

START_TEST(takes_from_all_or_none)
{
    const struct limit_rule rules[] = {tokens("a", 1000), requests("b", 10), tokens("c", 200),
                                       requests("d", 2)};
    struct limit_request request = ask_of(rules, 4);
    struct limit_verdict v;
    struct limit_grant *g;
    struct limit_grant *none;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    check(&rules[0], T0, 0, 150, 0);
    ck_assert_uint_eq(look(&rules[1], T0).used, 1);
    check(&rules[2], T0, 0, 150, 0);
    ck_assert_uint_eq(look(&rules[3], T0).used, 1);
    ck_assert_int_eq(reserve(&request, &v, &none), CE_LIMIT_TOKENS);
    ck_assert_ptr_null(none);
    ck_assert_ptr_eq(v.refused_by, &rules[2]);
    check(&rules[0], T0, 0, 150, 0);
    ck_assert_uint_eq(look(&rules[1], T0).used, 1);
    ck_assert_uint_eq(look(&rules[3], T0).used, 1);
    limit_settle(g, UNTOLD, T0);
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    limit_settle(g, UNTOLD, T0);
    ck_assert_int_eq(reserve(&request, &v, &none), CE_LIMIT_REQUESTS);
    ck_assert_ptr_eq(v.refused_by, &rules[3]);
    ck_assert_uint_eq(v.wait_ms, 30000);
    ck_assert_uint_eq(look(&rules[1], T0).used, 2);
}
END_TEST

START_TEST(rules_that_do_not_apply_are_left_out)
{
    const struct limit_rule rules[] = {tokens("a", 100), requests("b", 10)};
    const bool applies[] = {false, true};
    struct limit_request request = ask_of(rules, 2);
    struct limit_verdict v;
    struct limit_grant *g;

    request.applies = applies;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_ptr_null(g); /* nothing to settle */
    ck_assert_int_eq(v.output_bound, LIMIT_NO_BOUND);
    ck_assert_ptr_null(v.tokens.rule);
    ck_assert_uint_eq(v.requests.remaining, 9);
    ck_assert_uint_eq(limiter_totals(limiter).counters, 1);
    limit_meter(g, true, 1, T0);
    limit_settle(g, UNTOLD, T0);
}
END_TEST

/* Whichever of the rules comes last. */
START_TEST(the_tightest_bounds_the_output)
{
    const struct limit_rule rules[] = {tokens("small", 130), tokens("large", 1000)};
    const struct limit_rule turned[] = {tokens("other large", 1000), tokens("other small", 130)};
    const struct limit_rule *const orders[] = {rules, turned};

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        struct limit_request request = ask_of(orders[i], 2);
        struct limit_verdict v;
        struct limit_grant *g;

        ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
        ck_assert_int_eq(v.output_bound, 30);
        limit_settle(g, UNTOLD, T0);
    }
}
END_TEST

/* The longest wait is told on a refusal, the least that remains in the header fields. */
START_TEST(the_tightest_speaks)
{
    struct limit_rule rules[] = {tokens("minute", 1000), tokens("hour", 500), tokens("day", 400),
                                 requests("few", 5), requests("many", 50)};
    struct limit_request request = ask_of(rules, 5);
    struct limit_verdict v;
    struct limit_grant *g;

    rules[1].window_s = 3600;
    rules[2].window_s = 0;
    rules[2].calendar = LIMIT_DAY;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_ptr_eq(v.tokens.rule, &rules[2]);
    ck_assert_uint_eq(v.tokens.remaining, 250);
    ck_assert_uint_eq(v.tokens.reset_ms, MIDNIGHT - T0);
    ck_assert_ptr_eq(v.requests.rule, &rules[3]);
    ck_assert_uint_eq(v.requests.remaining, 4);
    ck_assert_uint_eq(v.requests.reset_ms, 12000);
    limit_meter(g, true, 50, T0);
    limit_settle(g, (struct limit_counts){450, 50}, T0);
    ck_assert_int_eq(reserve(&request, &v, &g), CE_LIMIT_BUDGET);
    ck_assert_ptr_eq(v.refused_by, &rules[2]); /* the hour has no room either, but ends before */
    ck_assert_uint_eq(v.wait_ms, MIDNIGHT - T0);
    ck_assert_uint_eq(v.tokens.remaining, 0);
    ck_assert_uint_eq(v.requests.remaining, 4);
}
END_TEST

START_TEST(waits_shortly_for_what_is_only_reserved)
{
    const struct limit_rule r = tokens("t", 200);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;
    struct limit_grant *none;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_int_eq(reserve(&request, &v, &none), CE_LIMIT_TOKENS);
    ck_assert_uint_eq(v.wait_ms, 2000);
    request.now_ms = T0 + MINUTE_MS - 500; /* the window's end is nearer */
    ck_assert_int_eq(reserve(&request, &v, &none), CE_LIMIT_TOKENS);
    ck_assert_uint_eq(v.wait_ms, 500);
    request.now_ms = T0;
    limit_meter(g, true, 10, T0);
    ck_assert_int_eq(reserve(&request, &v, &none), CE_LIMIT_TOKENS);
    ck_assert_uint_eq(v.wait_ms, MINUTE_MS);
    limit_settle(g, UNTOLD, T0);
}
END_TEST

START_TEST(a_prompt_above_the_limit_never_passes)
{
    const struct limit_rule rules[] = {requests("r", 1), tokens("t", 100), tokens("u", 100000)};
    struct limit_request request = ask_of(rules, 3);
    struct limit_verdict v;
    struct limit_grant *g;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_LIMIT_PROMPT); /* 100 and one of output */
    ck_assert_ptr_eq(v.refused_by, &rules[1]);
    ck_assert_uint_eq(v.wait_ms, 0);
    request.has_output = false;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK); /* 100 fit, and none was counted before */
    limit_settle(g, UNTOLD, T0);
    request.has_output = true; /* the request limit has a wait, which would be of no use */
    ck_assert_int_eq(reserve(&request, &v, &g), CE_LIMIT_PROMPT);
    ck_assert_uint_eq(v.wait_ms, 0);
}
END_TEST

START_TEST(shadows_tell_and_never_refuse)
{
    struct limit_rule rules[] = {tokens("real", 100000), requests("r", 2), tokens("t", 200),
                                 tokens("p", 50)};
    struct limit_request request = ask_of(rules, 4);
    struct limit_verdict v;
    struct limit_grant *g;

    rules[1].shadow = rules[2].shadow = rules[3].shadow = true;
    request.output_asked = 5000;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_uint_eq(v.shadowed, 1u << 3);
    ck_assert_int_eq(v.output_bound, 5000); /* the shadow's 200 bound nothing */
    ck_assert_ptr_eq(v.tokens.rule, &rules[0]);
    ck_assert_ptr_null(v.requests.rule);
    ck_assert_ptr_null(v.refused_by);
    limit_settle(g, (struct limit_counts){100, 100}, T0);
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_uint_eq(v.shadowed, 1u << 2 | 1u << 3);
    limit_settle(g, UNTOLD, T0);
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_uint_eq(v.shadowed, 1u << 1 | 1u << 2 | 1u << 3);
    limit_settle(g, UNTOLD, T0);
}
END_TEST

/* Twice the rate of a shadow rule: it tells of every second one, as if it were enforced. */
START_TEST(shadows_tell_what_would_be_refused)
{
    struct limit_rule rules[] = {requests("r", 60), tokens("t", 6000)};
    struct limit_request request = ask_of(rules, 2);
    unsigned told[2] = {0, 0};
    struct limit_verdict v;
    struct limit_grant *g;

    rules[0].shadow = rules[1].shadow = true;
    rules[0].burst = 1;
    for (unsigned i = 0; i < 600; i++) { /* two a second, 200 tokens each, for five minutes */
        request.now_ms = T0 + i * UINT64_C(500);
        ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
        limit_meter(g, true, 100, request.now_ms);
        limit_settle(g, UNTOLD, request.now_ms);
        told[0] += v.shadowed & 1;
        told[1] += v.shadowed >> 1 & 1;
    }
    ck_assert_uint_eq(told[0], 300);
    ck_assert_uint_eq(told[1], 600 - 5 * 30);
    request.now_ms += MINUTE_MS;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert_uint_eq(v.shadowed, 0); /* no debt of the past */
    limit_settle(g, UNTOLD, request.now_ms);
}
END_TEST

START_TEST(the_store_is_bounded)
{
    struct limit_rule rules[] = {tokens("t", 1000), tokens("u", 1000)};
    struct limit_request request = ask_of(rules, 2);
    struct limit_verdict v;
    struct limit_grant *g;
    char user[16];

    rules[0].per = LIMIT_PER_USER;
    for (int i = 0; i < 999; i++) {
        snprintf(user, sizeof(user), "user%d", i);
        request.user = slice_str(user);
        request.prompt_tokens = 0;
        request.output_asked = 1;
        ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
        limit_settle(g, UNTOLD, T0);
    }
    ck_assert_uint_eq(limiter_totals(limiter).counters, 1000);
    request.user = SLICE_LITERAL("one more");
    ck_assert_int_eq(reserve(&request, &v, &g), CE_LIMIT_STORE);
    check(&rules[1], T0, 0, 0, 0);
    request.user = SLICE_LITERAL("user7"); /* who is there goes on */
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    limit_settle(g, UNTOLD, T0);
    request.now_ms = T0 + MINUTE_MS;
    request.user = SLICE_LITERAL("one more");
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    limit_settle(g, UNTOLD, request.now_ms);
    ck_assert_uint_eq(limiter_totals(limiter).counters, 1000);
}
END_TEST

static const struct {
    uint32_t per;
    bool by_user;
    bool by_model;
} wards[] = {
    {0, false, false},
    {LIMIT_PER_USER, true, false},
    {LIMIT_PER_MODEL, false, true},
    {LIMIT_PER_USER | LIMIT_PER_MODEL, true, true},
};

static bool has_its_own(struct limit_rule *r, struct slice user, struct slice model)
{
    return limit_look(limiter, TENANT, r, user, model, T0).reserved == 0;
}

START_TEST(counters_are_per_user_and_model)
{
    struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;

    r.per = wards[_i].per;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert(!has_its_own(&r, request.user, request.model));
    ck_assert(has_its_own(&r, SLICE_LITERAL("bob"), request.model) == wards[_i].by_user);
    ck_assert(has_its_own(&r, request.user, SLICE_LITERAL("gemma3:4b")) == wards[_i].by_model);
    ck_assert(has_its_own(&r, SLICE_LITERAL("annq"), SLICE_LITERAL("wen3:8b")) == (r.per != 0));
    limit_settle(g, UNTOLD, T0);
}
END_TEST

/* Subjects of some issuers are long and differ at their end only. */
START_TEST(long_names_are_told_apart)
{
    enum { LONG = 700 };
    static char ann[LONG];
    static char bob[LONG];
    struct limit_rule r = tokens("t", 1000);
    struct limit_request request = ask_of(&r, 1);
    struct limit_verdict v;
    struct limit_grant *g;

    memset(ann, 'x', sizeof(ann));
    memcpy(bob, ann, sizeof(bob));
    bob[LONG - 1] = 'y';
    r.per = LIMIT_PER_USER;
    request.user = slice_of(ann, LONG);
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    ck_assert(!has_its_own(&r, slice_of(ann, LONG), request.model));
    ck_assert(has_its_own(&r, slice_of(bob, LONG), request.model));
    ck_assert(has_its_own(&r, slice_of(ann, LONG - 1), request.model));
    limit_settle(g, UNTOLD, T0);
}
END_TEST

/* A reload turns a rule of requests into one of tokens: nanoseconds are no tokens. */
START_TEST(a_rule_that_changes_its_kind_begins_anew)
{
    const struct limit_rule before = requests("a", 10);
    const struct limit_rule after = tokens("a", 1000);
    struct limit_request request = ask_of(&before, 1);
    struct limit_verdict v;
    struct limit_grant *g;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    request.rules = &after;
    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    check(&after, T0, 0, 150, 0);
    limit_settle(g, UNTOLD, T0);
    ck_assert_uint_eq(look(&before, T0).used, 1);
}
END_TEST

/* A grant outlives a reload that lowers the limit: no more is given out, nothing is lost. */
START_TEST(a_reload_lowers_the_limit)
{
    const struct limit_rule before = tokens("a", 1000);
    const struct limit_rule after = tokens("a", 120);
    struct limit_request request = ask_of(&before, 1);
    struct limit_verdict v;
    struct limit_grant *g;
    struct limit_grant *none;

    ck_assert_int_eq(reserve(&request, &v, &g), CE_OK);
    request.rules = &after;
    ck_assert_int_eq(reserve(&request, &v, &none), CE_LIMIT_TOKENS);
    ck_assert_uint_eq(v.tokens.remaining, 0);
    limit_meter(g, true, 30, T0);
    limit_settle(g, UNTOLD, T0);
    check(&after, T0, 130, 0, 0);
    ck_assert_uint_eq(look(&after, T0).remaining, 0);
}
END_TEST

START_TEST(looks_at_what_nobody_used)
{
    struct limit_rule r = requests("r", 60);
    const struct limit_rule t = tokens("t", 1000);

    r.burst = 5;
    ck_assert_uint_eq(look(&r, T0).remaining, 5);
    ck_assert_uint_eq(look(&r, T0).used, 0);
    ck_assert_uint_eq(look(&r, T0).reset_ms, 0);
    ck_assert_uint_eq(look(&t, T0).remaining, 1000);
    ck_assert_uint_eq(look(&t, T0).reset_ms, MINUTE_MS);
    ck_assert_uint_eq(limiter_totals(limiter).counters, 0);
    ck_assert_uint_eq(
        limit_look(limiter, 7, &t, SLICE_LITERAL(""), SLICE_LITERAL(""), T0).remaining, 1000);
    ck_assert_uint_eq(
        limit_look(limiter, 99, &t, SLICE_LITERAL(""), SLICE_LITERAL(""), T0).remaining, 1000);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/verdict");
    TCase *c = tcase_create("verdict");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, takes_from_all_or_none);
    tcase_add_test(c, rules_that_do_not_apply_are_left_out);
    tcase_add_test(c, the_tightest_speaks);
    tcase_add_test(c, the_tightest_bounds_the_output);
    tcase_add_test(c, waits_shortly_for_what_is_only_reserved);
    tcase_add_test(c, a_prompt_above_the_limit_never_passes);
    tcase_add_test(c, shadows_tell_and_never_refuse);
    tcase_add_test(c, shadows_tell_what_would_be_refused);
    tcase_add_test(c, the_store_is_bounded);
    tcase_add_loop_test(c, counters_are_per_user_and_model, 0, (int)ARRAY_LEN(wards));
    tcase_add_test(c, long_names_are_told_apart);
    tcase_add_test(c, a_rule_that_changes_its_kind_begins_anew);
    tcase_add_test(c, a_reload_lowers_the_limit);
    tcase_add_test(c, looks_at_what_nobody_used);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
