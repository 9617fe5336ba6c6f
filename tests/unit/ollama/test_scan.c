#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ollama/scan.h"
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
        {SLICE_LITERAL("\xef\xbb\xbf{}"), CE_JSON_UTF8},
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

/* Two walks over the same container see the same, all the way down. Returns how many values. */
static size_t same_walk(struct slice text, const struct scan_value *noted,
                        const struct scan_value *plain)
{
    struct scan_cursor a = scan_open(text, noted);
    struct scan_cursor b = scan_open(text, plain);
    struct scan_value x;
    struct scan_value y;
    size_t seen = 0;

    for (; scan_next(&b, &y); seen++) {
        char folded[SCAN_KEY_BYTES_MAX];

        ck_assert(scan_next(&a, &x));
        ck_assert_int_eq(x.kind, y.kind);
        ck_assert_uint_eq(x.offset, y.offset);
        ck_assert_uint_eq(x.len, y.len);
        ck_assert_uint_eq(x.key_offset, y.key_offset);
        ck_assert(slice_eq(x.key, y.key));
        size_t len = scan_key_fold(y.key, folded, sizeof(folded));
        ck_assert(!x.key_folded || slice_eq(x.key, slice_of(folded, len)));
        seen += same_walk(text, &x, &y);
    }
    ck_assert(!scan_next(&a, &x));
    return seen;
}

static void check_notes(struct slice text, size_t values)
{
    static struct scan_notes notes;
    struct arena arena = {0};
    struct scan_value plain = scan_root(text);
    struct scan_value root;

    memset(&notes, 0xee, sizeof(notes)); /* whatever was there before */
    ck_assert_int_eq(scan_check_noting(text, &arena, &notes, &root), CE_OK);
    ck_assert_uint_le(notes.count, SCAN_NOTES_MAX);
    ck_assert(root.kind == plain.kind && root.offset == plain.offset && root.len == plain.len);
    ck_assert_uint_eq(same_walk(text, &root, &plain), values);
    arena_finish(&arena);
}

START_TEST(notes_tell_what_a_walk_finds)
{
    static const struct {
        const char *text;
        size_t values;
    } cases[] = {
        {" { } ", 0},
        {"{\"\":1}", 1},
        {"{\"a\" : [ ] , \"B\" : { } , \"c\" : [ 1 , \"x\\\"]\" , null ] }\n", 6},
        {"{\"mod\\u0065l\":\"}\",\"Messages\":[{\"role\":\"user\",\"content\":[{\"t\":1}]}]}", 7},
        {"{\"\xe2\x84\xaa"
         "eep_alive\":-0.5e1,\"num_predict\":true,\"NUM_CTX_LONG\":false}",
         3},
        {"{\"a\":[[[[[[1,2],3],4],5],6],7]}", 13},
        {"{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{}}}}},\"f\":[{},[],{}]}", 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_notes(slice_str(cases[i].text), cases[i].values);
    }
}
END_TEST

/* More than there is room for: at the first level, deeper, and both. */
START_TEST(notes_that_are_full_miss_nothing)
{
    for (unsigned n = 0; n < 140; n++) {
        struct buf deep = buf_make(1 << 20);
        struct buf wide = buf_make(1 << 20);

        ck_assert_int_eq(buf_append_str(&deep, "{\"first\":{},\"messages\":["), CE_OK);
        ck_assert_int_eq(buf_append_str(&wide, "{\"list\":[0"), CE_OK);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_int_eq(
                buf_printf(&deep, "%s{\"role\":\"user\",\"content\":\"%u\"}", i == 0 ? "" : ",", i),
                CE_OK);
            ck_assert_int_eq(buf_printf(&wide, ",%u", i), CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&deep, "],\"last\":[1]}"), CE_OK);
        ck_assert_int_eq(buf_append_str(&wide, "]"), CE_OK);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_int_eq(buf_printf(&wide, ",\"k%u\":{\"x\":[%u]}", i, i), CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&wide, "}"), CE_OK);
        check_notes(buf_slice(&deep), 4 + 3 * (size_t)n);
        check_notes(buf_slice(&wide), 2 + 4 * (size_t)n);
        buf_finish(&deep);
        buf_finish(&wide);
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
    tcase_add_test(tc, notes_tell_what_a_walk_finds);
    tcase_add_test(tc, notes_that_are_full_miss_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(scan_suite)
