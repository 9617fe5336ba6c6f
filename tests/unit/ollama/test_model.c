#include "ollama/model.h"
#include "unit.h"

START_TEST(s275_every_spelling_is_one_name)
{
    static const struct {
        const char *spelled;
        const char *canonical;
        const char *shortest;
    } cases[] = {
        {"llama3", "registry.ollama.ai/library/llama3:latest", "llama3:latest"},
        {"llama3:latest", "registry.ollama.ai/library/llama3:latest", "llama3:latest"},
        {"library/llama3", "registry.ollama.ai/library/llama3:latest", "llama3:latest"},
        {"registry.ollama.ai/library/llama3:latest", "registry.ollama.ai/library/llama3:latest",
         "llama3:latest"},
        {" llama3 ", "registry.ollama.ai/library/llama3:latest", "llama3:latest"},
        {"LLAMA3", "registry.ollama.ai/library/llama3:latest", "llama3:latest"},
        {"Registry.Ollama.AI/Library/Llama3:LATEST", "registry.ollama.ai/library/llama3:latest",
         "llama3:latest"},
        {"llama3:local", "registry.ollama.ai/library/llama3:latest", "llama3:latest"},
        {"llama3:8B:LOCAL", "registry.ollama.ai/library/llama3:8b", "llama3:8b"},
        {"me/x.1_y-z:q4_K_M", "registry.ollama.ai/me/x.1_y-z:q4_k_m", "me/x.1_y-z:q4_k_m"},
        {"cloud", "registry.ollama.ai/library/cloud:latest", "cloud:latest"},
        {"x-cloud:8b", "registry.ollama.ai/library/x-cloud:8b", "x-cloud:8b"},
        {"a..b:1..2", "registry.ollama.ai/library/a..b:1..2", "a..b:1..2"},
        {"hf.co/Org/Repo-GGUF:Q4_K_M", "hf.co/org/repo-gguf:q4_k_m", "hf.co/org/repo-gguf:q4_k_m"},
        {"hf.co/me/x", "hf.co/me/x:latest", "hf.co/me/x:latest"},
        {"h:1/a/b", "h:1/a/b:latest", "h:1/a/b:latest"},
        {"localhost:5000/Me/x:8b", "localhost:5000/me/x:8b", "localhost:5000/me/x:8b"},
        {"registry.ollama.ai:443/library/llama3", "registry.ollama.ai:443/library/llama3:latest",
         "registry.ollama.ai:443/library/llama3:latest"},
        {"_h/a/b:c", "_h/a/b:c", "_h/a/b:c"},
        {"169.254.169.254/a/b", "169.254.169.254/a/b:latest", "169.254.169.254/a/b:latest"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_name m;

        ck_assert_msg(model_parse(slice_str(cases[i].spelled), &m) == CE_OK, "%s",
                      cases[i].spelled);
        ck_assert(slice_eq_str(model_text(&m), cases[i].canonical));
        ck_assert(slice_eq_str(model_short(&m), cases[i].shortest));
    }
}
END_TEST

/* Each part as long as it may be; or the host one byte longer. */
static struct slice longest_name(bool fits)
{
    static char room[MODEL_SPELLED_MAX];
    size_t host = fits ? MODEL_HOST_MAX : MODEL_HOST_MAX + 1;

    memset(room, 'a', sizeof(room));
    room[host] = '/';
    room[host + 1 + MODEL_PART_MAX] = '/';
    room[host + 2 + 2 * MODEL_PART_MAX] = ':';
    return slice_of(room, host + 3 + 3 * MODEL_PART_MAX);
}

START_TEST(s276_names_that_are_none)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "a:",
                                      ":a",
                                      "/a",
                                      "a/",
                                      "a//b",
                                      "..",
                                      "../a",
                                      "a/../b",
                                      "-a",
                                      ".a",
                                      "a/-b",
                                      "a/.b",
                                      "a:.b",
                                      "a:-b",
                                      "a@sha256:abc",
                                      "a b",
                                      "a\\b",
                                      "a%2fb",
                                      "a\nb",
                                      "caf\xc3\xa9",
                                      "hf.co//x",
                                      "hf.co/me/",
                                      "-hf.co/me/x",
                                      ".hf.co/me/x",
                                      "../a/b",
                                      "h c/a/b",
                                      "[::1]/a/b",
                                      "h/n.s/b",
                                      ":5000/a/b",
                                      "a: 1b",
                                      "a: cloud",
                                      "a:1b\tlocal",
                                      "a: local",
                                      "a:1b :local",
                                      "a :local",
                                      "a :1b",
                                      "a/b/c/d",
                                      "n.s/model",
                                      "https://registry.ollama.ai/library/llama3",
                                      "user@registry.ollama.ai/library/x",
                                      "a:b:c",
                                      "http://x",
                                      "\xef\xbb\xbf"
                                      "a",
                                      "a:cloud:b",
                                      "a*"};
    char longest[MODEL_SPELLED_MAX + 2];
    struct model_name m;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(model_parse(slice_str(bad[i]), &m) == CE_MODEL_NAME, "%s", bad[i]);
    }
    memset(longest, 'a', sizeof(longest));
    ck_assert_int_eq(model_parse(slice_of(longest, MODEL_PART_MAX), &m), CE_OK);
    ck_assert_int_eq(model_parse(slice_of(longest, MODEL_PART_MAX + 1), &m), CE_MODEL_NAME);
    ck_assert_int_eq(model_parse(longest_name(true), &m), CE_OK);
    ck_assert_int_eq(model_parse(longest_name(false), &m), CE_MODEL_NAME);
    memset(longest, ' ', sizeof(longest));
    longest[0] = 'a';
    ck_assert_int_eq(model_parse(slice_of(longest, MODEL_SPELLED_MAX), &m), CE_OK);
    ck_assert_int_eq(model_parse(slice_of(longest, MODEL_SPELLED_MAX + 1), &m), CE_MODEL_NAME);
    ck_assert_int_eq(model_parse(slice_of("a\0b", 3), &m), CE_MODEL_NAME);
}
END_TEST

START_TEST(s277_cloud_names_are_known)
{
    static const char *const remote[] = {"x:cloud",      "x:CLOUD ",      "x:20b-Cloud",
                                         "x:1-cloud",    "me/x:8b-cloud", "x:cloud:local",
                                         "x:CLOUD:LOCAL"};
    struct model_name m;

    for (size_t i = 0; i < ARRAY_LEN(remote); i++) {
        ck_assert_msg(model_parse(slice_str(remote[i]), &m) == CE_MODEL_REMOTE, "%s", remote[i]);
    }
    ck_assert_int_eq(model_parse(SLICE_LITERAL("X:20b-Cloud"), &m), CE_MODEL_REMOTE);
    ck_assert(slice_eq_str(model_short(&m), "x:20b-cloud"));
}
END_TEST

START_TEST(patterns_cover_what_they_say)
{
    static const struct {
        const char *pattern;
        const char *model;
        bool matches;
    } cases[] = {
        {"*", "llama3", true},
        {"*", "me/x:8b", true},
        {"llama3", "llama3", true},
        {"llama3", "llama3:8b", true},
        {"llama3", "llama31", false},
        {"LLAMA3*", "llama3.1:8b", true},
        {"llama3*", "me/llama3", false},
        {"llama3:8b", "llama3:8b", true},
        {"llama3:8b", "llama3", false},
        {"llama3:*b", "llama3:70b", true},
        {"library/llama3:8b", "llama3:8b", true},
        {"me/*", "me/x:8b", true},
        {"me/*", "you/x", false},
        {"*/x", "me/x", true},
        {"registry.ollama.ai/library/llama3:latest", "llama3", true},
        {"*a*b*", "xaxbx", true},
        {"*a*b*", "xbxax", false},
        {"a*a", "a", false},
        {"a**b", "acb", true},
        {"", "a", false},
        {"a*:latest", "a", true},
        {"*:8b", "a:8b", true},
        {"*:8b", "me/a:8b", false},
        {"*", "hf.co/org/repo:q4", true},
        {"hf.co/*", "hf.co/Org/Repo-GGUF:Q4_K_M", true},
        {"HF.co/Org/*", "hf.co/org/repo:q4", true},
        {"hf.co/org/*:q4*", "hf.co/org/repo:q4_k_m", true},
        {"hf.co/org/*:q4*", "hf.co/org/repo:q8", false},
        {"hf.co/*", "org/repo", false},
        {"localhost:5000/*", "localhost:5000/me/x:8b", true},
        {"localhost:5000/me/x:8b", "localhost:5000/me/x:8b", true},
        {"localhost:5000/me/x:8b", "localhost:5000/me/x:9b", false},
        {"org/*", "hf.co/org/repo", false},
        {"llama3*", "hf.co/library/llama3", false},
        {"registry.ollama.ai/*", "llama3:8b", true},
        {"registry.ollama.ai/*", "registry.ollama.ai:443/library/llama3", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct model_name m;

        ck_assert_int_eq(model_parse(slice_str(cases[i].model), &m), CE_OK);
        ck_assert_msg(model_pattern_matches(slice_str(cases[i].pattern), &m) == cases[i].matches,
                      "%s %s", cases[i].pattern, cases[i].model);
    }
}
END_TEST

START_TEST(long_patterns_cover_nothing)
{
    char pattern[4096];
    struct model_name m;

    ck_assert_int_eq(model_parse(SLICE_LITERAL("a"), &m), CE_OK);
    memset(pattern, '*', sizeof(pattern));
    ck_assert(model_pattern_matches(slice_of(pattern, 200), &m));
    ck_assert(!model_pattern_matches(slice_of(pattern, MODEL_SPELLED_MAX), &m));
    ck_assert(!model_pattern_matches(slice_of(pattern, sizeof(pattern)), &m));
}
END_TEST

static Suite *model_suite(void)
{
    Suite *suite = suite_create("ollama_model");
    TCase *tc = tcase_create("model");

    tcase_add_test(tc, s275_every_spelling_is_one_name);
    tcase_add_test(tc, s276_names_that_are_none);
    tcase_add_test(tc, s277_cloud_names_are_known);
    tcase_add_test(tc, patterns_cover_what_they_say);
    tcase_add_test(tc, long_patterns_cover_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(model_suite)
