#include "ollama/route.h"
#include "unit.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(paths_are_clean_or_refused)
{
    static const char *const good[] = {
        "/", "/api/tags", "/api/tags/", "/v1/models/me/x:8b", "/api/blobs/sha256:" HEX64, "/~a"};
    static const char *const bad[] = {"",
                                      "api",
                                      "/api//tags",
                                      "//api/tags",
                                      "/api/%74ags",
                                      "/api/tags;x",
                                      "/api\\tag",
                                      "/api/./tag",
                                      "/api/../tag",
                                      "/..",
                                      "/.",
                                      "/api/tags/..",
                                      "/\xc3\xa9",
                                      "/api tags",
                                      "/api?x",
                                      "/v1/models/a%2fb",
                                      "/api/tags//"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_msg(route_path_clean(slice_str(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(!route_path_clean(slice_str(bad[i])), "%s", bad[i]);
    }
    ck_assert(!route_path_clean(slice_of("/a\0b", 4)));
}
END_TEST

START_TEST(only_names_of_models_are_decoded)
{
    static const struct {
        const char *path;
        const char *decoded;
    } cases[] = {
        {"/v1/models/a", "/v1/models/a"},
        {"/v1/models/hf.co%2FOrg%2fRepo%3AQ4%5FK", "/v1/models/hf.co/Org/Repo:Q4_K"},
        {"/v1/models/hf.co/Org/Repo%3AQ4", "/v1/models/hf.co/Org/Repo:Q4"},
        {"/v1/models/a%252Fb", "/v1/models/a%2Fb"},
        {"/v1/models/a%2", "/v1/models/a%2"},
        {"/v1/models/a%", "/v1/models/a%"},
        {"/v1/models/a%zz", "/v1/models/a%zz"},
        {"/v1/models/%2e%2E%2f", "/v1/models/../"},
        {"/v1%2Fmodels/a", "/v1%2Fmodels/a"},
        {"/v1/models%2Fa", "/v1/models%2Fa"},
        {"/api/%74ags", "/api/%74ags"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena arena = {0};

        ck_assert_msg(
            slice_eq_str(route_path_decoded(slice_str(cases[i].path), &arena), cases[i].decoded),
            "%s", cases[i].path);
        arena_finish(&arena);
    }
}
END_TEST

START_TEST(every_route_is_found)
{
    static const struct {
        const char *method;
        const char *path;
        enum route_id id;
        enum route_class class;
        enum verb verb;
        const char *param;
    } cases[] = {
        {"GET", "/", ROUTE_ID_ROOT, ROUTE_LOCAL, VERB_NONE, ""},
        {"HEAD", "/", ROUTE_ID_ROOT, ROUTE_LOCAL, VERB_NONE, ""},
        {"GET", "/api/version", ROUTE_ID_VERSION, ROUTE_LOCAL, VERB_NONE, ""},
        {"HEAD", "/api/tags", ROUTE_ID_TAGS, ROUTE_MERGED, VERB_LIST, ""},
        {"GET", "/api/ps", ROUTE_ID_PS, ROUTE_MERGED, VERB_LIST, ""},
        {"GET", "/v1/models", ROUTE_ID_V1_MODELS, ROUTE_MERGED, VERB_LIST, ""},
        {"GET", "/v1/models/me/x:8b", ROUTE_ID_V1_MODEL, ROUTE_MERGED, VERB_LIST, "me/x:8b"},
        {"POST", "/api/generate", ROUTE_ID_GENERATE, ROUTE_INFERENCE, VERB_GENERATE, ""},
        {"POST", "/api/chat", ROUTE_ID_CHAT, ROUTE_INFERENCE, VERB_CHAT, ""},
        {"POST", "/api/embed", ROUTE_ID_EMBED, ROUTE_INFERENCE, VERB_EMBED, ""},
        {"POST", "/api/embeddings", ROUTE_ID_EMBEDDINGS, ROUTE_INFERENCE, VERB_EMBED, ""},
        {"POST", "/v1/chat/completions", ROUTE_ID_V1_CHAT, ROUTE_INFERENCE, VERB_CHAT, ""},
        {"POST", "/v1/completions", ROUTE_ID_V1_COMPLETIONS, ROUTE_INFERENCE, VERB_GENERATE, ""},
        {"POST", "/v1/embeddings", ROUTE_ID_V1_EMBEDDINGS, ROUTE_INFERENCE, VERB_EMBED, ""},
        {"POST", "/v1/responses", ROUTE_ID_V1_RESPONSES, ROUTE_INFERENCE, VERB_CHAT, ""},
        {"POST", "/v1/messages", ROUTE_ID_V1_MESSAGES, ROUTE_INFERENCE, VERB_CHAT, ""},
        {"POST", "/api/show", ROUTE_ID_SHOW, ROUTE_SHOW, VERB_SHOW, ""},
        /* S-278: none of these reaches a replica unless enabled */
        {"POST", "/api/pull", ROUTE_ID_PULL, ROUTE_ADMIN, VERB_PULL, ""},
        {"POST", "/api/push", ROUTE_ID_PUSH, ROUTE_ADMIN, VERB_PUSH, ""},
        {"POST", "/api/create", ROUTE_ID_CREATE, ROUTE_ADMIN, VERB_CREATE, ""},
        {"POST", "/api/copy", ROUTE_ID_COPY, ROUTE_ADMIN, VERB_COPY, ""},
        {"DELETE", "/api/delete", ROUTE_ID_DELETE, ROUTE_ADMIN, VERB_DELETE, ""},
        {"POST", "/api/blobs/sha256:" HEX64, ROUTE_ID_BLOB_PUT, ROUTE_ADMIN, VERB_BLOB,
         "sha256:" HEX64},
        {"HEAD", "/api/blobs/sha256-" HEX64, ROUTE_ID_BLOB_HEAD, ROUTE_ADMIN, VERB_BLOB,
         "sha256-" HEX64},
        {"POST", "/api/me", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, ""},
        {"POST", "/api/signout", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, ""},
        {"DELETE", "/api/user/keys/abc", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, "abc"},
        {"POST", "/api/experimental/web_search", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, "web_search"},
        {"GET", "/api/experimental/a/b", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, "a/b"},
        {"GET", "/api/status", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, ""},
        {"POST", "/v1/audio/transcriptions", ROUTE_ID_OFF, ROUTE_OFF, VERB_NONE, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_match m;
        enum corral_err err = route_find(slice_str(cases[i].method), slice_str(cases[i].path), &m);

        ck_assert_msg(err == CE_OK, "%s", cases[i].path);
        ck_assert_int_eq(m.route->id, cases[i].id);
        ck_assert_int_eq(m.route->class, cases[i].class);
        ck_assert_int_eq(m.route->verb, cases[i].verb);
        ck_assert(slice_eq_str(m.param, cases[i].param));
        ck_assert(m.route->allowed_by_default ==
                  (cases[i].class != ROUTE_ADMIN && cases[i].class != ROUTE_OFF));
    }
}
END_TEST

START_TEST(everything_else_is_refused)
{
    static const struct {
        const char *method;
        const char *path;
        enum corral_err err;
        const char *allow;
    } cases[] = {
        {"GET", "/api/generate", CE_METHOD_NOT_ALLOWED, "POST"},
        {"get", "/api/tags", CE_METHOD_NOT_ALLOWED, "GET, HEAD"},
        {"POST", "/api/tags", CE_METHOD_NOT_ALLOWED, "GET, HEAD"},
        {"GET", "/api/delete", CE_METHOD_NOT_ALLOWED, "DELETE"},
        {"GET", "/api/blobs/sha256:" HEX64, CE_METHOD_NOT_ALLOWED, "POST, HEAD"},
        {"OPTIONS", "/v1/models", CE_METHOD_NOT_ALLOWED, "GET, HEAD"},
        {"GET", "/api/tags/", CE_ROUTE_UNKNOWN, NULL},
        {"GET", "/API/tags", CE_ROUTE_UNKNOWN, NULL},
        {"GET", "/v1", CE_ROUTE_UNKNOWN, NULL},
        {"POST", "/v1/messages/count_tokens", CE_ROUTE_UNKNOWN, NULL},
        {"GET", "/v1/models/", CE_ROUTE_UNKNOWN, NULL},
        {"GET", "/metrics", CE_ROUTE_UNKNOWN, NULL},
        {"GET", "/v1/models/a~b", CE_MODEL_NAME, NULL},
        {"GET", "/v1/models/a/", CE_MODEL_NAME, NULL},
        /* S-281 */
        {"POST", "/api/blobs/sha256:abc", CE_HTTP_TARGET, NULL},
        {"POST", "/api/blobs/sha256-", CE_HTTP_TARGET, NULL},
        {"POST", "/api/blobs/SHA256:" HEX64, CE_HTTP_TARGET, NULL},
        {"POST", "/api/blobs/sha256:" HEX64 "0", CE_HTTP_TARGET, NULL},
        {"POST",
         "/api/blobs/sha256:A123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
         CE_HTTP_TARGET, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_match m = {0};
        enum corral_err err = route_find(slice_str(cases[i].method), slice_str(cases[i].path), &m);

        ck_assert_msg(err == cases[i].err, "%s %s", cases[i].path, err_reason(err));
        if (cases[i].allow != NULL) {
            ck_assert_str_eq(m.allow, cases[i].allow);
        }
    }
}
END_TEST

START_TEST(verbs_have_one_spelling)
{
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        enum verb parsed = VERB_NONE;

        ck_assert_int_eq(verb_parse(slice_str(verb_name((enum verb)v)), &parsed), CE_OK);
        ck_assert_uint_eq(parsed, v);
    }
    enum verb out;
    ck_assert_int_eq(verb_parse(SLICE_LITERAL("Chat"), &out), CE_NOT_FOUND);
    ck_assert_int_eq(verb_parse(SLICE_LITERAL("none"), &out), CE_NOT_FOUND);
    ck_assert_uint_eq(VERB_BIT(VERB_NONE), 0);
    ck_assert_uint_eq(VERBS_DEFAULT, 0x1f);
}
END_TEST

static Suite *route_suite(void)
{
    Suite *suite = suite_create("ollama_route");
    TCase *tc = tcase_create("route");

    tcase_add_test(tc, paths_are_clean_or_refused);
    tcase_add_test(tc, only_names_of_models_are_decoded);
    tcase_add_test(tc, every_route_is_found);
    tcase_add_test(tc, everything_else_is_refused);
    tcase_add_test(tc, verbs_have_one_spelling);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(route_suite)
