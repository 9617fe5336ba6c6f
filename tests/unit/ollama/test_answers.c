#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "ollama/catalog.h"
#include "ollama/dialect.h"
#include "ollama/scan.h"
#include "ollama/version.h"
#include "unit.h"

static const struct route *route_of(const char *path)
{
    struct route_match m;

    ck_assert_int_eq(route_find(SLICE_LITERAL("POST"), slice_str(path), &m), CE_OK);
    return m.route;
}

START_TEST(errors_have_the_callers_shape)
{
    static const struct {
        enum dialect dialect;
        struct dialect_error error;
        const char *body;
    } cases[] = {
        {DIALECT_NATIVE, {404, NULL}, "{\"error\":\"no \\\"x\\\"\"}"},
        {DIALECT_OPENAI,
         {400, NULL},
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"invalid_request_error\","
         "\"param\":null,\"code\":null}}"},
        {DIALECT_OPENAI,
         {401, NULL},
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"invalid_request_error\","
         "\"param\":null,\"code\":\"invalid_api_key\"}}"},
        {DIALECT_OPENAI,
         {404, NULL},
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"not_found_error\",\"param\":null,"
         "\"code\":\"model_not_found\"}}"},
        {DIALECT_OPENAI,
         {429, "insufficient_quota", "insufficient_quota"},
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"insufficient_quota\",\"param\":null,"
         "\"code\":\"insufficient_quota\"}}"},
        {DIALECT_OPENAI,
         {502, NULL},
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"api_error\",\"param\":null,"
         "\"code\":null}}"},
        {DIALECT_ANTHROPIC,
         {413, NULL},
         "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\",\"message\":\"no "
         "\\\"x\\\"\"},\"request_id\":\"req_1\"}"},
        {DIALECT_ANTHROPIC,
         {415, NULL},
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no "
         "\\\"x\\\"\"},\"request_id\":\"req_1\"}"},
        {DIALECT_ANTHROPIC,
         {503, NULL},
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no "
         "\\\"x\\\"\"},\"request_id\":\"req_1\"}"},
        {DIALECT_ANTHROPIC,
         {504, NULL},
         "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no \\\"x\\\"\"},"
         "\"request_id\":\"req_1\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = buf_make(1024);
        struct arena arena = {0};

        ck_assert_int_eq(dialect_error_body(cases[i].dialect, &cases[i].error,
                                            SLICE_LITERAL("no \"x\""), SLICE_LITERAL("req_1"), &b),
                         CE_OK);
        ck_assert_msg(slice_eq_str(buf_slice(&b), cases[i].body), "%.*s", SLICE_ARG(buf_slice(&b)));
        ck_assert_int_eq(scan_check(buf_slice(&b), 100, &arena, NULL), CE_OK);
        arena_finish(&arena);
        buf_finish(&b);
    }
}
END_TEST

START_TEST(errors_inside_a_stream)
{
    static const struct {
        const char *path;
        const char *event;
    } cases[] = {
        {"/api/chat", "{\"error\":\"it broke\"}\n"},
        {"/v1/chat/completions",
         "data: {\"error\":{\"message\":\"it broke\",\"type\":\"api_error\",\"param\":null,"
         "\"code\":null}}\n\n"},
        {"/v1/messages",
         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
         "\"message\":\"it broke\"},\"request_id\":\"r\"}\n\n"},
        {"/v1/responses",
         "event: error\ndata: {\"type\":\"error\",\"code\":\"api_error\",\"message\":\"it broke\","
         "\"param\":null,\"sequence_number\":0,\"error\":{\"message\":\"it broke\",\"type\":"
         "\"api_error\",\"param\":null,\"code\":null}}\n\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = buf_make(1024);

        ck_assert_int_eq(dialect_error_event(route_of(cases[i].path),
                                             &(struct dialect_error){.status = 502},
                                             SLICE_LITERAL("it broke"), SLICE_LITERAL("r"), &b),
                         CE_OK);
        ck_assert_msg(slice_eq_str(buf_slice(&b), cases[i].event), "%.*s",
                      SLICE_ARG(buf_slice(&b)));
        buf_finish(&b);
    }
    ck_assert_str_eq(dialect_content_type(route_of("/api/chat"), true), "application/x-ndjson");
    ck_assert_str_eq(dialect_content_type(route_of("/v1/messages"), true), "text/event-stream");
    ck_assert_str_eq(dialect_content_type(route_of("/v1/messages"), false), "application/json");
}
END_TEST

START_TEST(a_full_buffer_is_told)
{
    struct buf b = buf_make(20);

    ck_assert_int_eq(dialect_error_body(DIALECT_OPENAI, &(struct dialect_error){.status = 500},
                                        SLICE_LITERAL("m"), SLICE_LITERAL("r"), &b),
                     CE_TOO_LARGE);
    buf_finish(&b);
}
END_TEST

#define TAG(name, stamp, digest)                                                                   \
    "{\"name\":\"" name "\",\"model\":\"" name "\",\"modified_at\":\"" stamp                       \
    "\",\"size\":253113689,\"digest\":\"" digest "\",\"details\":{\"parent_model\":\"\","          \
    "\"format\":\"gguf\",\"family\":\"gemma3\"}}"
#define REMOTE(name)                                                                               \
    "{\"name\":\"" name "\",\"model\":\"" name "\",\"remote_model\":\"big\","                      \
    "\"remote_host\":\"https://ollama.com:443\"}"
#define LOADED(name, until)                                                                        \
    "{\"name\":\"" name "\",\"model\":\"" name "\",\"size\":467313152,\"digest\":\"36ee\","        \
    "\"details\":{\"parent_model\":\"\"},\"expires_at\":\"" until                                  \
    "\",\"size_vram\":5,\"context_length\":2048}"

#define OLD "2026-11-20T13:22:27.349757397Z"
#define NEW "2026-11-21T13:22:27+02:00"

static struct catalog *parsed(enum catalog_kind kind, const char *json)
{
    struct catalog *c = NULL;

    ck_assert_int_eq(catalog_parse(kind, slice_str(json), &c), CE_OK);
    return c;
}

static bool not_secret(const struct model_name *model, void *arg)
{
    return !model_pattern_matches(SLICE_LITERAL("secret*"), model);
}

static const struct catalog_filter everyone = {NULL, NULL, NULL};
static const struct catalog_filter filtered = {not_secret, NULL, NULL};

typedef enum corral_err write_fn(const struct catalog_merged *, struct catalog_filter,
                                 struct buf *);

static void expect_of(enum catalog_kind kind, write_fn *write, const struct catalog *const *lists,
                      size_t count, struct catalog_filter filter, const char *body)
{
    struct catalog_merged *merged = catalog_merge(kind, lists, count);
    struct buf b = buf_make(1 << 16);

    ck_assert_int_eq(write(merged, filter, &b), CE_OK);
    ck_assert_msg(slice_eq_str(buf_slice(&b), body), "%.*s", SLICE_ARG(buf_slice(&b)));
    buf_finish(&b);
    free(merged);
}

static void expect(write_fn *write, const struct catalog *const *lists, size_t count,
                   struct catalog_filter filter, const char *body)
{
    expect_of(CATALOG_TAGS, write, lists, count, filter, body);
}

START_TEST(s298_lists_are_merged_and_filtered)
{
    struct catalog *a =
        parsed(CATALOG_TAGS,
               "{\"models\":[" TAG("tiny:latest", OLD, "aa") "," TAG("secret:8b", OLD, "bb") "]}");
    struct catalog *b = parsed(CATALOG_TAGS, " {\"models\": [" TAG("me/x:1", NEW, "cc") " , " TAG(
                                                 "Tiny:latest", NEW, "dd") "] }");
    const struct catalog *lists[] = {a, NULL, b};

    expect(catalog_write_native, lists, 3, filtered,
           "{\"models\":[" TAG("me/x:1", NEW, "cc") "," TAG("tiny:latest", OLD, "aa") "]}");
    expect(catalog_write_native, lists, 1, everyone,
           "{\"models\":[" TAG("tiny:latest", OLD, "aa") "," TAG("secret:8b", OLD, "bb") "]}");
    expect(catalog_write_v1_models, lists, 3, filtered,
           "{\"object\":\"list\",\"data\":["
           "{\"id\":\"me/x:1\",\"object\":\"model\",\"created\":1795260147,\"owned_by\":\"me\"},"
           "{\"id\":\"tiny:latest\",\"object\":\"model\",\"created\":1795180947,\"owned_by\":"
           "\"library\"}]}\n");
    expect(catalog_write_native, lists, 0, everyone, "{\"models\":[]}");
    expect(catalog_write_v1_models, lists + 1, 1, everyone, "{\"object\":\"list\",\"data\":[]}\n");

    const struct catalog_model *tiny = &a->models[0];

    ck_assert_ptr_eq(catalog_find(a, &b->models[1].name), tiny);
    ck_assert(slice_eq_str(tiny->digest, "aa"));
    ck_assert_uint_eq(tiny->size, 253113689);
    catalog_destroy(a);
    catalog_destroy(b);
    catalog_destroy(NULL);
}
END_TEST

START_TEST(loaded_models_live_longest)
{
    static const char early[] =
        "{\"models\":[" LOADED("tiny:latest", "2026-11-21T13:37:57.2Z") "]}";
    static const char late[] = "{\"models\":[" LOADED("b:1", "2319-01-01T00:00:00Z") "," LOADED(
        "tiny:latest", "2026-11-21T14:37:57.3Z") "]}";
    struct catalog *a = parsed(CATALOG_PS, early);
    struct catalog *b = parsed(CATALOG_PS, late);
    const struct catalog *lists[] = {a, b};

    expect_of(CATALOG_PS, catalog_write_native, lists, 2, everyone, late);
    expect_of(CATALOG_PS, catalog_write_native, lists, 1, everyone, early);
    ck_assert_uint_eq(a->models[0].context_length, 2048);
    ck_assert_uint_eq(a->models[0].size_vram, 5);
    ck_assert_int_eq(b->models[0].time_ns, INT64_MAX);
    catalog_destroy(a);
    catalog_destroy(b);
}
END_TEST

START_TEST(one_model_is_shown)
{
    struct catalog *a =
        parsed(CATALOG_TAGS, "{\"models\":[" TAG("tiny:latest", OLD, "aa") "," REMOTE(
                                 "mine:latest") "," REMOTE("both:latest") "]}");
    struct catalog *other =
        parsed(CATALOG_TAGS, "{\"models\":[" TAG("hf.co/Org/Repo-GGUF:Q4_K_M", OLD,
                                                 "aa") "," TAG("both:latest", OLD, "aa") "]}");
    const struct catalog *lists[] = {a, other};
    struct catalog_merged *merged = catalog_merge(CATALOG_TAGS, lists, 2);
    static const struct {
        const char *id;
        enum corral_err err;
    } cases[] = {
        {"tiny", CE_OK},
        {"TINY:latest", CE_OK},
        {"library/tiny", CE_OK},
        {"nope", CE_MODEL_UNKNOWN},
        {"secret", CE_MODEL_FORBIDDEN},
        {"..", CE_MODEL_NAME},
        {"hf.co/Org/Repo-GGUF:Q4_K_M", CE_OK},
        {"mine", CE_MODEL_REMOTE},
        {"both", CE_OK},
        {"tiny:cloud", CE_MODEL_REMOTE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = buf_make(1024);

        ck_assert_int_eq(catalog_write_v1_model(merged, slice_str(cases[i].id), filtered, &b),
                         cases[i].err);
        ck_assert((b.len > 0) == (cases[i].err == CE_OK));
        if (i == 0) {
            ck_assert(slice_eq_str(buf_slice(&b),
                                   "{\"id\":\"tiny\",\"object\":\"model\",\"created\":1795180947,"
                                   "\"owned_by\":\"library\"}\n"));
        }
        buf_finish(&b);
    }
    ck_assert_uint_eq(merged->remote, 1);
    free(merged);
    catalog_destroy(a);
    catalog_destroy(other);
}
END_TEST

START_TEST(a_replica_may_say_anything)
{
    static const struct {
        const char *json;
        enum corral_err err;
        size_t count;
    } cases[] = {
        {"{\"models\":null}", CE_OK, 0},
        {"{\"models\":[]}", CE_OK, 0},
        {"{\"models\":[1,\"a\",{},{\"name\":5},{\"name\":\"\"},[]]}", CE_OK, 0},
        {"{\"models\":[{\"name\":\"x:cloud\"},{\"name\":\"hf.co/a/b:c\"},{\"model\":\"y\"}]}",
         CE_OK, 3},
        {"{\"models\":[{\"name\":\"y\",\"size\":-1,\"modified_at\":\"yesterday, or so I think\"}]}",
         CE_OK, 1},
        {"{}", CE_UPSTREAM_NONSENSE, 0},
        {"{\"models\":{}}", CE_UPSTREAM_NONSENSE, 0},
        {"[]", CE_UPSTREAM_NONSENSE, 0},
        {"", CE_UPSTREAM_NONSENSE, 0},
        {"<html>", CE_UPSTREAM_NONSENSE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct catalog *c = NULL;

        ck_assert_int_eq(catalog_parse(CATALOG_TAGS, slice_str(cases[i].json), &c), cases[i].err);
        ck_assert(c == NULL || c->count == cases[i].count);
        catalog_destroy(c);
    }
}
END_TEST

START_TEST(lists_are_bounded)
{
    for (int count = CATALOG_MODELS_MAX; count <= CATALOG_MODELS_MAX + 1; count++) {
        struct buf b = buf_make(1 << 20);
        struct catalog *c = NULL;

        ck_assert_int_eq(buf_append_str(&b, "{\"models\":["), CE_OK);
        for (int i = 0; i < count; i++) {
            ck_assert_int_eq(buf_printf(&b, "%s{\"name\":\"m%d\"}", i == 0 ? "" : ",", i), CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&b, "]}"), CE_OK);
        ck_assert_int_eq(catalog_parse(CATALOG_TAGS, buf_slice(&b), &c),
                         count == CATALOG_MODELS_MAX ? CE_OK : CE_TOO_LARGE);
        catalog_destroy(c);
        buf_finish(&b);
    }
}
END_TEST

START_TEST(versions_are_read_and_ordered)
{
    /* from the oldest to the newest */
    static const char *const ordered[] = {
        "0",        "0.0.9",  "0.1",      "0.9.10", "0.10.0-rc9", "0.10.0",
        "0.24.0-3", "0.24.0", "0.24.1+x", "1.0",    "10.0.0",     "429496729.0.0",
    };
    static const char *const broken[] = {
        "{}",
        "[]",
        "{\"version\":1}",
        "{\"version\":\"\"}",
        "{\"version\":\"v1\"}",
        "{\"version\":\"1 \"}",
        "{\"version\":\"1\\n\"}",
        "{\"version\":\"1\\u0022\"}",
        "{\"version\":\"1\",\"version\":\"2\"}",
        "{\"version\":\"0123456789012345678901234567890123456789012345678\"}",
    };
    struct version v[ARRAY_LEN(ordered)];
    struct version kept = {.text = "kept"};

    for (size_t i = 0; i < ARRAY_LEN(ordered); i++) {
        char json[128];

        snprintf(json, sizeof(json), "{\"version\":\"%s\",\"other\":[1]}", ordered[i]);
        ck_assert_int_eq(version_parse(slice_str(json), &v[i]), CE_OK);
        ck_assert_str_eq(v[i].text, ordered[i]);
        ck_assert_int_eq(version_compare(&v[i], &v[i]), 0);
        for (size_t j = 0; j < i; j++) {
            ck_assert_int_lt(version_compare(&v[j], &v[i]), 0);
            ck_assert_int_gt(version_compare(&v[i], &v[j]), 0);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        ck_assert_msg(version_parse(slice_str(broken[i]), &kept) == CE_UPSTREAM_NONSENSE, "%s",
                      broken[i]);
    }
    ck_assert_str_eq(kept.text, "kept");
}
END_TEST

static Suite *answers_suite(void)
{
    Suite *suite = suite_create("ollama_answers");
    TCase *tc = tcase_create("answers");

    tcase_add_test(tc, errors_have_the_callers_shape);
    tcase_add_test(tc, errors_inside_a_stream);
    tcase_add_test(tc, a_full_buffer_is_told);
    tcase_add_test(tc, s298_lists_are_merged_and_filtered);
    tcase_add_test(tc, loaded_models_live_longest);
    tcase_add_test(tc, one_model_is_shown);
    tcase_add_test(tc, a_replica_may_say_anything);
    tcase_add_test(tc, lists_are_bounded);
    tcase_add_test(tc, versions_are_read_and_ordered);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(answers_suite)
