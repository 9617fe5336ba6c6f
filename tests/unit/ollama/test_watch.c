#include "base/buf.h"
#include "ollama/watch.h"
#include "unit.h"

#include <stdlib.h>

static const char *const names[] = {"done",       "a.b",  "list[].x", "list[]",
                                    "deep[][].y", "text", "obj"};
static const struct watch_path paths[] = {
    {{"done"}}, {{"a", "b"}}, {{"list", "[]", "x"}}, {{"list", "[]"}}, {{"deep", "[]", "[]", "y"}},
    {{"text"}}, {{"obj"}}};
static struct watch_index index_of_paths;
static const struct watch_table table = {paths, ARRAY_LEN(paths), &index_of_paths};

static void build_index(void)
{
    watch_index_build(&table, &index_of_paths);
}

struct log {
    struct buf text;
};

static void on_value(void *arg, const struct watch_event *event)
{
    struct log *log = arg;
    int shown = event->text.len > 20 ? 20 : (int)event->text.len;

    ck_assert_int_eq(buf_printf(&log->text, "%s=%d:%.*s(%zu);", names[event->path], event->kind,
                                shown, event->text.ptr == NULL ? "" : event->text.ptr, event->len),
                     CE_OK);
}

/* Feeds in two pieces cut at `cut`, or byte by byte when cut is SIZE_MAX. */
static struct log watched(struct slice text, size_t cut, struct watch *w)
{
    struct log log = {.text = buf_make(4096)};

    watch_init(w, &table, on_value, &log);
    if (cut == SIZE_MAX) {
        for (size_t i = 0; i < text.len && !w->ended && !w->broken; i++) {
            watch_feed(w, slice_of(text.ptr + i, 1));
        }
        return log;
    }
    watch_feed(w, slice_of(text.ptr, cut));
    watch_feed(w, slice_from(text, cut));
    return log;
}

START_TEST(values_are_found_however_split)
{
    static const struct {
        const char *text;
        const char *log;
    } cases[] = {
        {"{\"done\":true}", "done=2:true(4);"},
        {"{\"done\":\"x\",\"a\":{\"b\":-1.5e3,\"done\":1}}", "done=4:x(1);a.b=3:-1.5e3(6);"},
        {"{\"list\":[{\"x\":1},{\"x\":null},[],7]}",
         "list[]=6:(0);list[].x=3:1(1);list[]=6:(0);list[].x=0:null(4);list[]=5:(0);list[]=3:7(1)"
         ";"},
        {"{\"deep\":[[{\"y\":false}]],\"b\":{\"a\":{\"b\":1}}}", "deep[][].y=1:false(5);"},
        {"{\"text\":\"\\u00e9\\ud83d\\ude00\\n\"}", "text=4:\xc3\xa9\xf0\x9f\x98\x80\n(7);"},
        {"{\"text\":\"\\ud83dx\"}", "text=4:\xef\xbf\xbdx(4);"},
        {"{\"t\\u0065xt\":\"\"}", "text=4:(0);"},
        {"{\"text\":\"{\\\"done\\\":true}\",\"obj\":{}}", "text=4:{\"done\":true}(13);obj=6:(0);"},
        {" { \"done\" : false } ", "done=1:false(5);"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice text = slice_str(cases[i].text);

        for (size_t cut = 0; cut <= text.len + 1; cut++) {
            struct watch w;
            struct log log = watched(text, cut > text.len ? SIZE_MAX : cut, &w);

            ck_assert_msg(slice_eq_str(buf_slice(&log.text), cases[i].log), "%s\n%.*s",
                          cases[i].text, SLICE_ARG(buf_slice(&log.text)));
            ck_assert(w.ended && !w.broken);
            buf_finish(&log.text);
        }
    }
}
END_TEST

START_TEST(what_is_no_json_is_broken)
{
    static const char *const bad[] = {
        "x",         "{x",    "{\"a\"x",        "{\"a\":tru }",    "[1}",
        "{\"a\":1]", "}",     "{\"a\":\"\n\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u00g\"}",
        "{,",        "[1 2]", "{\"a\":nulll}"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct slice text = slice_str(bad[i]);

        for (size_t cut = 0; cut <= text.len + 1; cut++) {
            struct watch w;
            struct log log = watched(text, cut > text.len ? SIZE_MAX : cut, &w);

            ck_assert_msg(w.broken, "%s", bad[i]);
            buf_finish(&log.text);
        }
    }
}
END_TEST

/* What is read at once and what is read byte by byte: the same, whatever stands there. */
START_TEST(pieces_change_nothing)
{
    static const char *const tokens[] = {"{",           "}",
                                         "[",           "]",
                                         ",",           ":",
                                         "\"",          "\"done\"",
                                         "\"text\":\"", "\"list\":[",
                                         "true",        "null",
                                         "-1.5e3",      "12345678901234567890",
                                         " ",           "\\u00e9",
                                         "\\ud83d",     "\\n",
                                         "{\"x\":",     "\"a\":{\"b\":",
                                         "x",           "a text of some more bytes than a lane",
                                         "\xc3\xa9",    "\n"};
    unsigned ended = 0;

    srand(1);
    for (int round = 0; round < 20000; round++) {
        struct buf text = buf_make(4096);
        struct watch w[3];
        struct log logs[3];

        ck_assert_int_eq(buf_append_str(&text, round % 2 == 0 ? "{\"list\":[" : "{\"text\":\""),
                         CE_OK);
        for (int i = rand() % 12; i > 0; i--) {
            ck_assert_int_eq(buf_append_str(&text, tokens[(size_t)rand() % ARRAY_LEN(tokens)]),
                             CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&text, round % 2 == 0 ? "]}" : "\"}"), CE_OK);
        struct slice all = buf_slice(&text);

        logs[0] = watched(all, SIZE_MAX, &w[0]);
        logs[1] = watched(all, 0, &w[1]);
        logs[2] = watched(all, (size_t)rand() % all.len, &w[2]);
        for (int i = 1; i < 3; i++) {
            ck_assert_msg(slice_eq(buf_slice(&logs[0].text), buf_slice(&logs[i].text)) &&
                              w[0].ended == w[i].ended && w[0].broken == w[i].broken,
                          "%.*s", SLICE_ARG(all));
        }
        ended += w[0].ended;
        for (int i = 0; i < 3; i++) {
            buf_finish(&logs[i].text);
        }
        buf_finish(&text);
    }
    ck_assert_uint_gt(ended, 1000);
}
END_TEST

START_TEST(depth_and_length_are_bounded)
{
    struct buf deep = buf_make(1 << 20);
    struct watch w;

    enum corral_err err = CE_OK;

    for (int i = 0; i < 100000 && err == CE_OK; i++) {
        err = buf_append_str(&deep, "[");
    }
    struct log log = watched(buf_slice(&deep), 0, &w);
    ck_assert(w.broken);
    buf_finish(&log.text);
    buf_clear(&deep);
    ck_assert_int_eq(buf_append_str(&deep, "{\"text\":\""), CE_OK);
    for (int i = 0; i < 50000 && err == CE_OK; i++) {
        err = buf_append_str(&deep, "abcdefghij");
    }
    ck_assert_int_eq(err, CE_OK);
    ck_assert_int_eq(buf_append_str(&deep, "\"}"), CE_OK);
    log = watched(buf_slice(&deep), 7777, &w);
    ck_assert(slice_eq_str(buf_slice(&log.text), "text=4:abcdefghijabcdefghij(500000);"));
    buf_finish(&log.text);
    buf_finish(&deep);
}
END_TEST

START_TEST(it_stops_behind_a_value)
{
    struct watch w;
    struct log log = {.text = buf_make(100)};
    struct slice two = SLICE_LITERAL("{\"done\":true}{\"done\":false}");

    watch_init(&w, &table, on_value, &log);
    ck_assert(!watch_inside(&w));
    ck_assert_uint_eq(watch_feed(&w, two), 13);
    ck_assert(w.ended && !watch_inside(&w));
    watch_reset(&w);
    ck_assert_uint_eq(watch_feed(&w, slice_from(two, 13)), 14);
    ck_assert(slice_eq_str(buf_slice(&log.text), "done=2:true(4);done=1:false(5);"));
    watch_reset(&w);
    ck_assert_uint_eq(watch_feed(&w, SLICE_LITERAL("{")), 1);
    ck_assert(watch_inside(&w));
    buf_finish(&log.text);
}
END_TEST

static Suite *watch_suite(void)
{
    Suite *suite = suite_create("ollama_watch");
    TCase *tc = tcase_create("watch");

    tcase_set_timeout(tc, 60);

    tcase_add_unchecked_fixture(tc, build_index, NULL);

    tcase_add_test(tc, values_are_found_however_split);
    tcase_add_test(tc, what_is_no_json_is_broken);
    tcase_add_test(tc, pieces_change_nothing);
    tcase_add_test(tc, depth_and_length_are_bounded);
    tcase_add_test(tc, it_stops_behind_a_value);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(watch_suite)
