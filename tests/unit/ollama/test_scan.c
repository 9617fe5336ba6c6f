#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ollama/scan_check.h"
#include "unit.h"

static enum corral_err check(struct slice text)
{
    struct arena arena = {0};
    enum corral_err err = scan_check(text, SCAN_KEYS_MAX, &arena, NULL);

    arena_finish(&arena);
    return err;
}

START_TEST(good_texts_pass)
{
    static const char *const good[] = {
        "{}",
        " {\t\"a\" : [ ] , \"b\" : { } }\r\n",
        "{\"a\":[1,-0,0.5,1E2,1e-400,9007199254740993,1.7976931348623157e308]}",
        "{\"a\":\"\\ud83d\\ude00\\u212a\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
        "{\"a\":{\"a\":{\"a\":null}},\"b\":[{\"a\":1},{\"a\":1}]}",
        "{\"a\":true,\"b\":false,\"\":null}",
        "{\"k\":\"\xf0\x9f\x98\x80\xe2\x82\xac\"}",
        "{\"a\":0.00000000000000000001e309}",
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_msg(check(slice_str(good[i])) == CE_OK, "%s", good[i]);
    }
}
END_TEST

/* Blanks of every number between all tokens; one byte among them that is none is found anywhere. */
START_TEST(blanks_of_any_length)
{
    static const char *const tokens[] = {"{", "\"a\"", ":", "[", "1", ",", "2", "]", "}"};
    static const char blanks[] = {' ', '\n', '\r', '\t'};
    static const char none[] = {'\v', '\f', '\x1f', '!', '\xa0', '\0'};

    for (size_t n = 0; n <= 40; n++) {
        for (size_t bad = 0; bad <= n; bad++) {
            struct buf text = buf_make(4096);

            for (size_t t = 0; t < ARRAY_LEN(tokens); t++) {
                for (size_t i = 0; i < n; i++) {
                    bool here = t == 1 + n % 7 && bad < n && i == bad;
                    char c = here ? none[(n + bad) % sizeof(none)] : blanks[(i + t) % 4];

                    ck_assert_int_eq(buf_append(&text, slice_of(&c, 1)), CE_OK);
                }
                ck_assert_int_eq(buf_append_str(&text, tokens[t]), CE_OK);
            }
            ck_assert_msg((check(buf_slice(&text)) == CE_OK) == (bad == n), "%zu %zu", n, bad);
            buf_finish(&text);
        }
    }
}
END_TEST

START_TEST(s267_one_key_has_one_value)
{
    static const char *const bad[] = {
        "{\"model\":1,\"model\":2}",
        "{\"model\":1,\"Model\":2}",
        "{\"mod\\u0065l\":1,\"model\":2}",
        "{\"MODE\\u004c\":1,\"model\":2}",
        "{\"\xe2\x84\xaa"
        "eep_alive\":1,\"keep_alive\":2}",
        "{\"\\u212aeep_alive\":1,\"keep_alive\":2}",
        "{\"me\xc5\xbf"
        "sages\":1,\"messages\":2}",
        "{\"me\\u017fsages\":1,\"messages\":2}",
        "{\"options\":{\"num_ctx\":1,\"NUM_CTX\":2}}",
        "{\"a\":[{\"x\":{\"b\":1,\"b\":2}}]}",
        "{\"a\":{\"b\":1},\"c\":2,\"A\":3}",
        "{\"\\/\":1,\"/\":2}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(check(slice_str(bad[i])) == CE_JSON_DUPLICATE, "%s", bad[i]);
    }
}
END_TEST

START_TEST(s269_bytes_that_readers_differ_on)
{
    static const struct {
        struct slice text;
        enum corral_err err;
    } cases[] = {
        {SLICE_LITERAL("{\"model\":\"ok\\u0000/evil\"}"), CE_JSON_NUL},
        {SLICE_LITERAL("{\"model\\u0000\":1}"), CE_JSON_NUL},
        {SLICE_LITERAL("{\"model\":\"ok\0\"}"), CE_JSON_NUL},
        {SLICE_LITERAL("{\"a\":1}\0"), CE_JSON_NUL},
        {SLICE_LITERAL("\0{}"), CE_JSON_NUL},
        {SLICE_LITERAL("{\"a\":\"\\ud800\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\\ud800\\ud800\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\\udc00\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\\ud800x\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\xff\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\xc0\xae\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\xed\xa0\x80\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"\xe2\x82\"}"), CE_JSON_UTF8},
        {SLICE_LITERAL("\xef\xbb\xbf{}"), CE_JSON_BOM},
        {SLICE_LITERAL(" \xff\xfe{"), CE_JSON_BOM},
        {SLICE_LITERAL("\xef\xbb{}"), CE_JSON_UTF8},
        {SLICE_LITERAL("{\"a\":\"line\nbreak\"}"), CE_JSON_SYNTAX},
        {SLICE_LITERAL("{\"a\":\"tab\there\"}"), CE_JSON_SYNTAX},
        {SLICE_LITERAL("{\"a\":\"12345678\x1f\"}"), CE_JSON_SYNTAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ck_assert_msg(check(cases[i].text) == cases[i].err, "%zu %s", i,
                      err_reason(check(cases[i].text)));
    }
}
END_TEST

START_TEST(s270_one_document_and_nothing_else)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{}{}",
                                      "{} x",
                                      "x{}",
                                      "{}//c",
                                      "/*c*/{}",
                                      "{\"a\":NaN}",
                                      "{\"a\":Infinity}",
                                      "{\"a\":1e400}",
                                      "{\"a\":-1e309}",
                                      "{\"a\":0123}",
                                      "{\"a\":+1}",
                                      "{\"a\":1.}",
                                      "{\"a\":.5}",
                                      "{\"a\":1e}",
                                      "{\"a\":1e+}",
                                      "{\"a\":-}",
                                      "{\"a\":0x1}",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "{\"a\":[1,]}",
                                      "{\"a\":[,1]}",
                                      "{\"a\":[1 2]}",
                                      "{\"a\":1 \"b\":2}",
                                      "{\"a\":tru}",
                                      "{\"a\":nul",
                                      "{\"a\":\"",
                                      "{\"a\":\"\\",
                                      "{\"a\":\"\\u12",
                                      "{\"a\":\"\\x\"}",
                                      "{",
                                      "{\"a\":[}",
                                      "{\"a\":{]}",
                                      "}",
                                      "{\"a\":1}]",
                                      "{\"a\":1.8e308}",
                                      "{\"a\":\"\\u00g0\"}",
                                      "{\"a\":True}",
                                      "{\"a\":truex}"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(check(slice_str(bad[i])) == CE_JSON_SYNTAX, "%s", bad[i]);
    }
    static const char *const other[] = {"[]", "\"a\"", "1", "null", "true", "[{}]", " [1]"};

    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        ck_assert_int_eq(check(slice_str(other[i])), CE_JSON_TYPE);
    }
}
END_TEST

/* `count` times the same text. Every ck_assert is a message to the parent: none in the loop. */
static void repeat(struct buf *b, const char *text, size_t count)
{
    enum corral_err err = CE_OK;

    for (size_t i = 0; i < count && err == CE_OK; i++) {
        err = buf_append_str(b, text);
    }
    ck_assert_int_eq(err, CE_OK);
}

static struct buf nested(size_t depth, const char *close)
{
    struct buf b = buf_make(1 << 20);

    ck_assert_int_eq(buf_append_str(&b, "{\"a\":"), CE_OK);
    repeat(&b, "[", depth - 1);
    repeat(&b, close, depth - 1);
    ck_assert_int_eq(buf_append_str(&b, "}"), CE_OK);
    return b;
}

START_TEST(s271_depth_and_keys_end)
{
    struct buf b = nested(32, "]");

    ck_assert_int_eq(check(buf_slice(&b)), CE_OK);
    buf_finish(&b);
    b = nested(33, "]");
    ck_assert_int_eq(check(buf_slice(&b)), CE_JSON_DEPTH);
    buf_finish(&b);
    b = nested(100000, "");
    ck_assert_int_eq(check(buf_slice(&b)), CE_JSON_DEPTH);
    buf_finish(&b);

    for (int count = SCAN_KEYS_MAX; count <= SCAN_KEYS_MAX + 1; count++) {
        b = buf_make(1 << 20);
        enum corral_err err = CE_OK;

        for (int i = 0; i < count && err == CE_OK; i++) {
            err = buf_printf(&b, "%s\"k%d\":0", i == 0 ? "{" : ",", i);
        }
        ck_assert_int_eq(err, CE_OK);
        ck_assert_int_eq(buf_append_str(&b, "}"), CE_OK);
        ck_assert_int_eq(check(buf_slice(&b)), count == SCAN_KEYS_MAX ? CE_OK : CE_JSON_KEYS);
        buf_finish(&b);
    }
    b = buf_make(1 << 20);
    ck_assert_int_eq(buf_printf(&b, "{\"%01025d\":1}", 0), CE_OK);
    ck_assert_int_eq(check(buf_slice(&b)), CE_JSON_KEYS);
    buf_finish(&b);
}
END_TEST

/* Generous for a sanitizer build; a quadratic reader needs minutes. */
START_TEST(s271_large_bodies_are_linear)
{
    static const char *const unit[] = {"x", "\\u0041", "\xc3\xa9", "\\\""};

    for (size_t u = 0; u < ARRAY_LEN(unit); u++) {
        struct buf b = buf_make(2 << 20);

        ck_assert_int_eq(buf_append_str(&b, "{\"a\":\""), CE_OK);
        repeat(&b, unit[u], (1 << 20) / strlen(unit[u]));
        ck_assert_int_eq(buf_append_str(&b, "\"}"), CE_OK);
        uint64_t from = clock_mono_ms();
        struct scan_value v;
        struct scan_value root = scan_root(buf_slice(&b));

        ck_assert_int_eq(check(buf_slice(&b)), CE_OK);
        ck_assert(scan_find(buf_slice(&b), &root, SLICE_LITERAL("a"), &v));
        ck_assert_uint_eq(v.len, b.len - 6);
        ck_assert_uint_lt(clock_mono_ms() - from, 2000);
        buf_finish(&b);
    }
}
END_TEST

START_TEST(cursors_give_extents)
{
    struct slice text =
        SLICE_LITERAL(" { \"A\" : [ 1 , \"x,]\\\"\" , { \"b\" : null } , [ ] ] , \"c\":true } ");
    struct scan_value root = scan_root(text);
    struct scan_value v;
    struct scan_value list;
    static const char *const raws[] = {"1", "\"x,]\\\"\"", "{ \"b\" : null }", "[ ]"};
    size_t n = 0;

    ck_assert_int_eq(check(text), CE_OK);
    ck_assert(scan_find(text, &root, SLICE_LITERAL("a"), &list));
    ck_assert_int_eq(list.kind, SCAN_ARRAY);
    struct scan_cursor c = scan_open(text, &list);
    while (scan_next(&c, &v)) {
        ck_assert(slice_eq_str(scan_raw(text, &v), raws[n]));
        n++;
    }
    ck_assert_uint_eq(n, 4);
    ck_assert(scan_find(text, &root, SLICE_LITERAL("c"), &v));
    ck_assert_int_eq(v.kind, SCAN_TRUE);
    ck_assert(!scan_find(text, &root, SLICE_LITERAL("b"), &v));
    ck_assert(!scan_find(text, &v, SLICE_LITERAL("b"), &v));
}
END_TEST

START_TEST(cursors_survive_any_text)
{
    static const char soup[] = "{\"a\":[1,\"\\\",{\"b\":nul},]:}\"\\u12";
    struct scan_value v;

    for (size_t from = 0; from < sizeof(soup); from++) {
        for (size_t len = 0; from + len < sizeof(soup); len++) {
            struct buf b = buf_make(256); /* exact memory: a sanitizer sees one byte too far */
            ck_assert_int_eq(buf_append(&b, slice_of(soup + from, len)), CE_OK);
            struct scan_value root = scan_root(buf_slice(&b));
            struct scan_cursor c = scan_open(buf_slice(&b), &root);
            size_t steps = 0;

            while (scan_next(&c, &v)) {
                ck_assert_uint_lt(steps++, sizeof(soup));
                ck_assert_uint_le(v.offset + v.len, len);
                scan_key_is(&v, SLICE_LITERAL("a"));
            }
            buf_finish(&b);
        }
    }
}
END_TEST

START_TEST(values_are_decoded)
{
    static const struct {
        const char *number;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"100", 100},
        {"1e2", 100},
        {"100.9", 100},
        {"-1.5", -1},
        {"0.5e1", 5},
        {"12e-1", 1},
        {"1e-9", 0},
        {"9007199254740993", 9007199254740993},
        {"1e300", INT64_MAX},
        {"-1e300", INT64_MIN},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"0e99999", 0},
        {"0.001e3", 1},
        {"1.50e1", 15},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice text = slice_str(cases[i].number);
        struct scan_value v = scan_root(text);

        ck_assert_msg(scan_integer(text, &v) == cases[i].value, "%s", cases[i].number);
    }
    struct slice text = SLICE_LITERAL("\"a\\n\\u00e9\\ud83d\\ude00\\/\xc3\xa9\"");
    struct scan_value v = scan_root(text);
    struct arena arena = {0};

    ck_assert(slice_eq_str(scan_string(text, &v, &arena), "a\n\xc3\xa9\xf0\x9f\x98\x80/\xc3\xa9"));
    arena_finish(&arena);
}
END_TEST

/* Both must come to the same, wherever the text is cut and however often. */
static const char *const cut_anywhere[] = {
    "{}",
    " {\t\"a\" : [ ] , \"b\" : { } }\r\n",
    "{\"a\":[1,-0,0.5,1E2,1e-400,9007199254740993,1.7976931348623157e308]}",
    "{\"a\":\"\\ud83d\\ude00\\u212a\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
    "{\"a\":true,\"b\":false,\"\":null}",
    "{\"k\":\"\xf0\x9f\x98\x80\xe2\x82\xac\",\"\\u212a\":0}",
    "{\"a\":\"\\ud83d\\ude0g\"}",
    "{\"a\":\"\\ud83d\"}",
    "{\"a\":\"\\u0000\"}",
    "{\"a\":\"\xf0\x9f\x98\"}",
    "{\"a\":tru}",
    "{\"a\":truee}",
    "{\"a\":1e309}",
    "{\"a\":01}",
    "{\"a\":1.}",
    "{\"a\":1e}",
    "{\"a\":-}",
    "{\"K\":1,\"\\u212a\":2}",
    "{\"a\":1,\"\\u0061\":2}",
    "{\"a\":1}x",
    "{\"a\":1",
    "{\"a\"",
    "{\"a",
    "{\"a\" 1}",
    "{,}",
    "[1]",
    " 17",
    "",
    "\xef\xbb\xbf{}",
    "{\"a\":[1,]}",
    "{\"a\":[1}",
};

static enum corral_err feed(struct scan_check *c, struct slice text, size_t known)
{
    enum corral_err err = scan_check_feed(c, slice_of(text.ptr, known), false);

    ck_assert_int_ne(err, CE_OK);
    return err;
}

START_TEST(pieces_are_read_like_the_whole)
{
    for (size_t i = 0; i < ARRAY_LEN(cut_anywhere); i++) {
        struct slice text = slice_str(cut_anywhere[i]);
        enum corral_err expected = check(text);

        for (size_t cut = 0; cut <= text.len; cut++) {
            struct scan_check c;
            struct arena arena = {0};

            scan_check_init(&c, SCAN_KEYS_MAX, &arena, NULL, NULL);
            enum corral_err err = feed(&c, text, cut);
            err = err == CE_MORE ? scan_check_feed(&c, text, true) : err;
            ck_assert_msg(err == expected, "%s cut at %zu: %s", text.ptr, cut, err_reason(err));

            scan_check_init(&c, SCAN_KEYS_MAX, &arena, NULL, NULL);
            err = CE_MORE;
            for (size_t n = cut; n < text.len && err == CE_MORE; n++) {
                err = feed(&c, text, n);
            }
            err = err == CE_MORE ? scan_check_feed(&c, text, true) : err;
            ck_assert_msg(err == expected, "%s byte by byte from %zu", text.ptr, cut);
            arena_finish(&arena);
        }
    }
}
END_TEST

/* A visitor that writes down what it is told; arrays are leaves, strings are shown. */
static enum corral_err see_begin(void *arg, size_t depth, uint8_t around,
                                 const struct scan_value *v, uint8_t *out_role)
{
    *out_role = v->kind == SCAN_ARRAY ? SCAN_ROLE_LEAF : (uint8_t)(around + 1);
    return buf_printf(arg, "%zu+%.*s@%zu/%zu ", depth, SLICE_ARG(v->key), v->offset, v->key_offset);
}

static enum corral_err see_text(void *arg, uint8_t role, struct slice piece)
{
    return buf_append(arg, piece);
}

static enum corral_err see_end(void *arg, size_t depth, uint8_t role, size_t end)
{
    return buf_printf(arg, " %zu-%u<%zu ", depth, role, end);
}

START_TEST(a_visitor_sees_what_it_asked_for)
{
    static const struct scan_visitor visitor = {see_begin, see_text, see_end};
    struct slice text =
        SLICE_LITERAL("{\"a\": \"x\\ny\xc3\xa9z\", \"b\":[1,{\"c\":2}], \"d\":{\"E\":12}}");
    static const char seen[] = "0+@0/0 1+a@6/1 x\\ny\xc3\xa9z 1-3<15 1+b@21/17  1-128<32 "
                               "1+d@38/34 2+E@43/39  2-4<45  1-3<46  0-2<47 ";

    for (size_t cut = 0; cut <= text.len; cut++) {
        struct scan_check c;
        struct arena arena = {0};
        struct buf out = buf_make(1000);

        scan_check_init(&c, SCAN_KEYS_MAX, &arena, &visitor, &out);
        ck_assert_int_eq(feed(&c, text, cut), CE_MORE);
        ck_assert_int_eq(scan_check_feed(&c, text, true), CE_OK);
        ck_assert_msg(slice_eq_str(buf_slice(&out), seen), "cut at %zu: %.*s", cut,
                      SLICE_ARG(buf_slice(&out)));
        buf_finish(&out);
        arena_finish(&arena);
    }
}
END_TEST

/* What is longer would have to be read again for each piece that comes. */
START_TEST(long_numbers_are_refused)
{
    static const size_t lens[] = {SCAN_NUMBER_BYTES_MAX, SCAN_NUMBER_BYTES_MAX + 1};

    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct buf b = buf_make(1 << 20);

        ck_assert_int_eq(buf_append_str(&b, "{\"a\":0."), CE_OK);
        repeat(&b, "1", lens[i] - 2);
        ck_assert_int_eq(buf_append_str(&b, "}"), CE_OK);
        enum corral_err expected = i == 0 ? CE_OK : CE_JSON_SYNTAX;

        ck_assert_int_eq(check(buf_slice(&b)), expected);
        for (size_t cut = b.len - 1100; cut <= b.len; cut += 7) {
            struct scan_check c;
            struct arena arena = {0};

            scan_check_init(&c, SCAN_KEYS_MAX, &arena, NULL, NULL);
            enum corral_err err = feed(&c, buf_slice(&b), cut);
            err = err == CE_MORE ? scan_check_feed(&c, buf_slice(&b), true) : err;
            ck_assert_int_eq(err, expected);
            arena_finish(&arena);
        }
        buf_finish(&b);
    }
}
END_TEST

/* Megabytes of one token, a kilobyte at a time: no byte is looked at twice. */
START_TEST(pieces_cost_what_the_whole_costs)
{
    static const struct {
        const char *before;
        const char *unit;
        const char *after;
    } texts[] = {
        {"{\"a\":\"", "x", "\"}"},   {"{\"a\":\"", "\\n", "\"}"}, {"{", " ", "}"},
        {"{\"a\":[[]", ",{}", "]}"}, {"{\"a\":[1", ",1", "]}"},   {"{\"a\":\"", "\xc3\xa9", "\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct scan_check c;
        struct arena arena = {0};
        struct buf b = buf_make(8 << 20);

        ck_assert_int_eq(buf_append_str(&b, texts[i].before), CE_OK);
        repeat(&b, texts[i].unit, (4u << 20) / strlen(texts[i].unit));
        ck_assert_int_eq(buf_append_str(&b, texts[i].after), CE_OK);
        uint64_t from = clock_mono_ms();

        scan_check_init(&c, SCAN_KEYS_MAX, &arena, NULL, NULL);
        for (size_t n = 0; n < b.len; n += 1024) {
            ck_assert_int_eq(feed(&c, buf_slice(&b), n), CE_MORE);
        }
        ck_assert_int_eq(scan_check_feed(&c, buf_slice(&b), true), CE_OK);
        ck_assert_uint_lt(clock_mono_ms() - from, 4000);
        arena_finish(&arena);
        buf_finish(&b);
    }
}
END_TEST

static Suite *scan_suite(void)
{
    Suite *suite = suite_create("ollama_scan");
    TCase *tc = tcase_create("scan");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, good_texts_pass);
    tcase_add_test(tc, blanks_of_any_length);
    tcase_add_test(tc, s267_one_key_has_one_value);
    tcase_add_test(tc, s269_bytes_that_readers_differ_on);
    tcase_add_test(tc, s270_one_document_and_nothing_else);
    tcase_add_test(tc, s271_depth_and_keys_end);
    tcase_add_test(tc, s271_large_bodies_are_linear);
    tcase_add_test(tc, cursors_give_extents);
    tcase_add_test(tc, cursors_survive_any_text);
    tcase_add_test(tc, values_are_decoded);
    tcase_add_test(tc, pieces_are_read_like_the_whole);
    tcase_add_test(tc, a_visitor_sees_what_it_asked_for);
    tcase_add_test(tc, long_numbers_are_refused);
    tcase_add_test(tc, pieces_cost_what_the_whole_costs);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(scan_suite)
