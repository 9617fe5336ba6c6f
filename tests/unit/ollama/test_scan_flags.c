#include "base/err.h"
#include "ollama/scan_check.h"
#include "unit.h"

static enum corral_err flag_by_key(void *arg, size_t depth, uint8_t around,
                                   const struct scan_value *v, uint8_t *out_role)
{
    *out_role = depth == 0                       ? 1
                : slice_eq_str(v->key, "struct") ? SCAN_ROLE_STRUCT
                : slice_eq_str(v->key, "name")   ? SCAN_ROLE_STRICT
                                                 : 0;
    return CE_OK;
}

static enum corral_err end_nothing(void *arg, size_t depth, uint8_t role, size_t end)
{
    return CE_OK;
}

START_TEST(a_visitor_says_what_is_a_struct_and_what_is_strict)
{
    static const struct scan_visitor visitor = {.on_begin = flag_by_key, .on_end = end_nothing};
    static const struct {
        struct slice text;
        enum corral_err err;
    } cases[] = {
#define CASE(text, err) {SLICE_LITERAL(text), err}
        CASE("{\"a\":1,\"A\":2}", CE_OK),
        CASE("{\"a\":1,\"\\u0041\":2}", CE_OK),
        CASE("{\"a\":1,\"\\u0061\":2}", CE_JSON_DUPLICATE),
        CASE("{\"A\":1,\"A\":2}", CE_JSON_DUPLICATE),
        CASE("{\"k\":1,\"\xe2\x84\xaa\":2}", CE_OK),
        CASE("{\"struct\":{\"a\":1,\"A\":2}}", CE_JSON_DUPLICATE),
        CASE("{\"struct\":{\"k\":1,\"\xe2\x84\xaa\":2}}", CE_JSON_DUPLICATE),
        CASE("{\"struct\":{\"a\":{\"b\":1,\"B\":2}}}", CE_OK),
        CASE("{\"x\":\"\\ud83d\"}", CE_OK),
        CASE("{\"x\":\"\\ud83d\\ud83d\\ude00\"}", CE_OK),
        CASE("{\"x\":\"\\ude00\\\"\"}", CE_OK),
        CASE("{\"x\":\"\\u0000\"}", CE_OK),
        CASE("{\"x\":\"\xff\"}", CE_OK),
        CASE("{\"x\":\"\xf0\x9f\x98\"}", CE_OK),
        CASE("{\"x\":[\"\xed\xa0\x80\"]}", CE_OK),
        CASE("{\"x\":\"\xe2\"\"}", CE_JSON_SYNTAX),
        CASE("{\"x\":\"\\ud83d\\u\"}", CE_JSON_SYNTAX),
        CASE("{\"x\":\"\0\"}", CE_JSON_NUL),
        CASE("{\"name\":\"\\ud83d\"}", CE_JSON_UTF8),
        CASE("{\"name\":\"\\u0000\"}", CE_JSON_NUL),
        CASE("{\"name\":\"\xff\"}", CE_JSON_UTF8),
        CASE("{\"name\":1,\"x\":\"\\ud83d\"}", CE_OK),
        CASE("{\"\\ud83d\":1}", CE_JSON_UTF8),
        CASE("{\"x\":{\"\xff\":1}}", CE_JSON_UTF8),
        CASE("{\"x\":{\"\\u0000\":1}}", CE_JSON_NUL),
#undef CASE
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t cut = 0; cut < cases[i].text.len; cut++) {
            struct scan_check c;
            struct arena arena = {0};

            scan_check_init(&c, SCAN_KEYS_MAX, &arena, &visitor, NULL);
            enum corral_err err = scan_check_feed(&c, slice_of(cases[i].text.ptr, cut), false);

            err = err == CE_MORE ? scan_check_feed(&c, cases[i].text, true) : err;
            ck_assert_msg(err == cases[i].err, "%.*s at %zu: %s", SLICE_ARG(cases[i].text), cut,
                          err_reason(err));
            arena_finish(&arena);
        }
    }
}
END_TEST

static Suite *flags_suite(void)
{
    Suite *suite = suite_create("ollama_scan_flags");
    TCase *tc = tcase_create("flags");

    tcase_add_test(tc, a_visitor_says_what_is_a_struct_and_what_is_strict);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(flags_suite)
