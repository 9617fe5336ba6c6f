#include "config/load.h"
#include "unit.h"

#include <stdio.h>

static const char good[] = "listeners: [{address: \"127.0.0.1:8080\"}]\n"
                           "api_keys_file: keys\n"
                           "tenants: [{name: a}]\n"
                           "replicas: [{url: \"http://127.0.0.1:11434\", slots: 3}]\n";

START_TEST(defaults_are_filled_in)
{
    struct settings s;
    struct config_errors errors = {0};

    ck_assert_int_eq(config_parse(slice_str(good), &s, &errors), CE_OK);
    ck_assert_uint_eq(s.replicas[0].slots, 3);
    ck_assert_uint_eq(s.replicas[0].port, 11434);
    ck_assert_uint_eq(s.timeouts.idle_s, 75);
    ck_assert_uint_eq(s.timeouts.cancel_grace_ms, 2000);
    ck_assert_uint_eq(s.limits.body_bytes, 20u << 20);
    ck_assert_uint_eq(s.limits.body_memory_bytes, 256u << 20);
    ck_assert_uint_eq(s.queue.max_waiting, 4096);
    ck_assert_uint_eq(s.queue.max_wait_s, 300);
    ck_assert_uint_eq(s.auth.tenants[0].verbs, VERBS_DEFAULT);
    ck_assert_str_eq(s.auth.tenants[0].models[0], "*");
    ck_assert_str_eq(s.health_address, "0.0.0.0:8081");
    settings_finish(&s);
}
END_TEST

/* The annotated example is the first thing people copy: it must be right. */
START_TEST(the_annotated_example_is_valid)
{
    struct settings s;
    struct config_errors errors = {0};
    char *text;
    size_t len;

    ck_assert_int_eq(config_read_file(CORRAL_EXAMPLE, &text, &len, &errors), CE_OK);
    enum corral_err err = config_parse(slice_of(text, len), &s, &errors);

    ck_assert_msg(err == CE_OK, "line %zu: %s", errors.count > 0 ? errors.at[0].line : 0,
                  errors.count > 0 ? errors.at[0].text : "");
    settings_finish(&s);
    free(text);
}
END_TEST

START_TEST(the_reference_is_the_schema)
{
    struct buf out = buf_make(1 << 20);
    struct config_errors errors = {0};
    char *text;
    size_t len;

    ck_assert_int_eq(config_write_reference(&out), CE_OK);
    ck_assert_int_eq(config_read_file(CORRAL_REFERENCE, &text, &len, &errors), CE_OK);
    ck_assert_msg(slice_eq(buf_slice(&out), slice_of(text, len)),
                  "docs/CONFIGURATION.md is not what `corral reference` prints");
    buf_finish(&out);
    free(text);
}
END_TEST

static const struct {
    const char *text;
    size_t line;
    const char *says;
} broken[] = {
    {"listeners: []\n", 1, "at least one entry"},
    {"listenrs: []\n", 1, "did you mean \"listeners\"?"},
    {"tenants: [{name: a, wieght: 2}]\n", 1, "did you mean \"weight\"?"},
    {"timeouts: {idle_s: 5m}\n", 1, "not a whole number"},
    {"timeouts:\n  idle_s: 0\n", 2, "out of range: 1 to 86400"},
    {"workers: 1\nworkers: 2\n", 2, "a second time"},
    {"a: &x 1\n", 1, "anchors"},
    {"log: {level: loud}\n", 1, "not a level"},
    {"listeners: [{address: \"0.0.0.0:80\"}]\n", 1, "needs tls: true"},
    {"replicas: [{url: \"https://x/y\"}]\n", 1, "without a path"},
    {"replicas: [{url: \"http://x/api\"}]\n", 1, "without a path"},
    {"tenants: [{name: a, verbs: [pull]}]\n", 1, "cannot be granted"},
    {"tenants: [{name: \"a b\"}]\n", 1, "only letters"},
    {"queue:\n", 1, "has no value"},
    {"[", 2, "not YAML"},
    {"", 1, "the file is empty"},
};

START_TEST(faults_are_explained)
{
    struct settings s;
    struct config_errors errors = {0};
    bool found = false;

    ck_assert_int_eq(config_parse(slice_str(broken[_i].text), &s, &errors), CE_CONFIG);
    for (size_t i = 0; i < errors.count; i++) {
        found = found || (strstr(errors.at[i].text, broken[_i].says) != NULL &&
                          errors.at[i].line == broken[_i].line);
    }
    ck_assert_msg(found, "%s -> line %zu: %s", broken[_i].text, errors.at[0].line,
                  errors.at[0].text);
    config_errors_finish(&errors);
}
END_TEST

static Suite *config_suite(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");

    tcase_add_test(tc, defaults_are_filled_in);
    tcase_add_test(tc, the_annotated_example_is_valid);
    tcase_add_test(tc, the_reference_is_the_schema);
    tcase_add_loop_test(tc, faults_are_explained, 0, (int)ARRAY_LEN(broken));
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(config_suite)
