/* Texts that are small for what they cost a parser: each is refused, or read, in time by its
 * length. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "config/load.h"
#include "unit.h"

enum {
    LIMIT_MS = 3000, /* a tenth of that without a sanitizer; some took hours */
    BOMB_BYTES = 2 * 1024 * 1024,
};

static const char good[] = "listeners: [{address: \"127.0.0.1:8080\"}]\napi_keys_file: keys\n"
                           "replicas: [{url: \"http://127.0.0.1:11434\"}]\n";

static uint64_t cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static enum corral_err parse(const struct buf *text, struct config_errors *errors)
{
    struct settings s;
    uint64_t began = cpu_ms();
    enum corral_err err = config_parse(buf_slice(text), &s, errors);
    uint64_t took = cpu_ms() - began;

    ck_assert_msg(took < LIMIT_MS, "took %llu ms", (unsigned long long)took);
    if (err == CE_OK) {
        settings_finish(&s);
    }
    return err;
}

static const struct {
    const char *first;
    const char *again; /* up to BOMB_BYTES */
    const char *says;
} bombs[] = {
    {"", "[", "more than 32 levels"},
    {"", "{", "more than 32 levels"},
    {"", "- ", "more than 32 levels"},
    {"", "? ", "more than 32 levels"},
    {"", "a: [", "more than 32 levels"},
    {"", "{a: ", "more than 32 levels"},
    {"", "[{", "more than 32 levels"},
    {"a: ", "[\n", "more than 32 levels"},
    {"[", "[],", "more than 262144 values"},
    {"[", "{},", "more than 262144 values"},
    {"[", "a,", "more than 262144 values"},
    {"", "- a\n", "more than 262144 values"},
    {"", "a: 1\n", "more than 262144 values"},
    {"{", "a: 1, ", "more than 262144 values"},
    {"", "a", ""},
    {"a: \"", "a\n", ""},
    {"a: \"", "\\x41", ""},
    {"a: '", "''", ""},
    {"a: |\n", " a\n", ""},
    {"a: >\n", " a\n\n", ""},
    {"a:", " ", "unknown key"},
    {"a:", "\n", "unknown key"},
    {"", "# a\n", "empty"},
    {"", "%TAG !a! tag:a\n", "directives"},
    {"# \xc2\x85", "%YAML 1.1\n", "directives"},
    {"", "---\na\n", "only one document"},
    {"[", "&a a,", "anchors"},
    {"[", "*a,", "anchors"},
    {"[", "!a a,", "tags"},
    {"", "\xff", "not YAML"},
    {"", "\xff\xfe[", "not YAML"},
    {"\xff\xfe", "[", "not YAML"},
    {"", "\t", "not YAML"},
    {"", "a: b: ", "not YAML"},
    {"", ":", ""},
    {"tenants: [", "{name: a},", "more than 262144 values"},
    {"server_names: [", "a,", "more than 262144 values"},
    {"tenants: [{name: a, verbs: [", "x, ", "more than 262144 values"},
    {"tenants:\n- name: a\n", "  weight: 1\n", "more than 262144 values"},
};

START_TEST(a_bomb_is_refused_soon)
{
    struct buf text = buf_make(BOMB_BYTES);
    struct config_errors errors = {0};
    bool found = false;

    ck_assert_int_eq(buf_append_str(&text, bombs[_i].first), CE_OK);
    while (buf_append_str(&text, bombs[_i].again) == CE_OK) {
        ;
    }
    ck_assert_int_eq(parse(&text, &errors), CE_CONFIG);
    for (size_t i = 0; i < errors.count; i++) {
        found = found || strstr(errors.at[i].text, bombs[_i].says) != NULL;
        ck_assert_uint_ge(errors.at[i].line, 1);
        ck_assert_uint_ge(errors.at[i].column, 1);
    }
    ck_assert_msg(found, "%s", errors.at[0].text);
    config_errors_finish(&errors);
    buf_finish(&text);
}
END_TEST

/* Different unknown keys: each would be compared with all before it. */
START_TEST(many_keys_take_no_square)
{
    struct buf text = buf_make(CONFIG_MAX_BYTES);
    struct config_errors errors = {0};

    for (int i = 0; i < 130000; i++) {
        ck_assert_int_eq(buf_printf(&text, "key_%d: 1\n", i), CE_OK);
    }
    ck_assert_int_eq(parse(&text, &errors), CE_CONFIG);
    ck_assert_uint_eq(errors.count, CONFIG_MAX_ERRORS);
    config_errors_finish(&errors);
    buf_finish(&text);
}
END_TEST

START_TEST(deep_blocks_are_refused)
{
    struct buf text = buf_make(BOMB_BYTES);
    struct config_errors errors = {0};

    for (int i = 0; buf_printf(&text, "%*sa:\n", i, "") == CE_OK; i++) {
        ;
    }
    ck_assert_int_eq(parse(&text, &errors), CE_CONFIG);
    ck_assert_uint_eq(errors.count, 1);
    ck_assert_uint_eq(errors.at[0].line, 33);
    ck_assert_uint_eq(errors.at[0].column, 33);
    config_errors_finish(&errors);
    buf_finish(&text);
}
END_TEST

START_TEST(the_place_of_the_depth_is_told)
{
    struct buf text = buf_make(CONFIG_MAX_BYTES);
    struct config_errors errors = {0};

    ck_assert_int_eq(buf_append_str(&text, "tenants: [\n  "), CE_OK);
    for (int i = 0; i < 40000; i++) {
        ck_assert_int_eq(buf_append_str(&text, "["), CE_OK);
    }
    ck_assert_int_eq(parse(&text, &errors), CE_CONFIG);
    ck_assert_uint_eq(errors.count, 1);
    ck_assert_uint_eq(errors.at[0].line, 2);
    ck_assert_uint_eq(errors.at[0].column, 2 + 31);
    config_errors_finish(&errors);
    buf_finish(&text);
}
END_TEST

/* As large as a good file may be: what is compared with what does not grow by the square. */
START_TEST(a_large_herd_is_read_soon)
{
    struct buf text = buf_make(CONFIG_MAX_BYTES);
    struct config_errors errors = {0};

    ck_assert_int_eq(buf_printf(&text,
                                "%stls: {client_auth: optional, client_ca_dir: /x}\n"
                                "tenants:\n",
                                good),
                     CE_OK);
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(buf_printf(&text, "- name: t%d\n  certificate_names: [", i), CE_OK);
        for (int n = 0; n < 100; n++) {
            ck_assert_int_eq(buf_printf(&text, "\"dns:a%d.b%d\",", n, i), CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&text, "]\n  limits:\n"), CE_OK);
        for (int n = 0; n < 16; n++) {
            ck_assert_int_eq(buf_printf(&text, "  - {name: l%d, requests: 9, window_s: 60}\n", n),
                             CE_OK);
        }
    }
    ck_assert_msg(parse(&text, &errors) == CE_OK, "line %zu: %s", errors.at[0].line,
                  errors.count > 0 ? errors.at[0].text : "");
    buf_finish(&text);
}
END_TEST

START_TEST(a_name_of_two_tenants_is_found)
{
    struct buf text = buf_make(CONFIG_MAX_BYTES);
    struct config_errors errors = {0};

    ck_assert_int_eq(buf_printf(&text,
                                "%stls: {client_auth: optional, client_ca_dir: /x}\n"
                                "tenants:\n- {name: a, certificate_names: [\"dns:x\"]}\n"
                                "- {name: b, certificate_names: [\"dns:y\", \"dns:x\"]}\n",
                                good),
                     CE_OK);
    ck_assert_int_eq(parse(&text, &errors), CE_CONFIG);
    ck_assert_uint_eq(errors.count, 1);
    ck_assert_uint_eq(errors.at[0].line, 7);
    ck_assert_ptr_nonnull(strstr(errors.at[0].text, "stands for the tenant \"a\" already"));
    config_errors_finish(&errors);
    buf_finish(&text);
}
END_TEST

static Suite *bombs_suite(void)
{
    Suite *suite = suite_create("bombs");
    TCase *tc = tcase_create("config");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_bomb_is_refused_soon, 0, (int)ARRAY_LEN(bombs));
    tcase_add_test(tc, many_keys_take_no_square);
    tcase_add_test(tc, deep_blocks_are_refused);
    tcase_add_test(tc, the_place_of_the_depth_is_told);
    tcase_add_test(tc, a_large_herd_is_read_soon);
    tcase_add_test(tc, a_name_of_two_tenants_is_found);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(bombs_suite)
