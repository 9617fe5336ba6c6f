#include "base/intern.h"
#include "obs/log.h"
#include "obs/metrics.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char path[] = "/tmp/corral-test-log-XXXXXX";

static size_t read_log(char *out, size_t capacity)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, out, capacity - 1);

    close(fd);
    unlink(path);
    out[n < 0 ? 0 : n] = '\0';
    return n < 0 ? 0 : (size_t)n;
}

START_TEST(lines_are_json_and_escaped)
{
    static char text[65536];
    struct log_settings settings = {LOG_INFO, path};
    struct logger *l;
    struct log_line line;

    close(mkstemp(path));
    ck_assert_int_eq(logger_create(&settings, &l), CE_OK);
    logger_start(l);
    struct log_source *s = logger_source(l);

    log_begin(&line, s, LOG_DEBUG, "hidden");
    log_end(&line);
    log_begin(&line, s, LOG_INFO, "shown");
    log_text(&line, "path", slice_of("a\"b\r\n\x1b[0m\0\xff", 11));
    log_str(&line, "c1", "a\xc2\x9b[2J\xc3\xab");
    /* Right-to-left override, line separator, zero-width space, a tag; an emoji stays. */
    log_str(&line, "cf", "\xe2\x80\xae\xe2\x80\xa8\xe2\x80\x8b\xf3\xa0\x80\x81\xf0\x9f\x98\x80");
    log_u64(&line, "n", 7);
    log_seconds(&line, "t", 1500001);
    log_bool(&line, "b", true);
    log_end(&line);
    logger_destroy(l);
    read_log(text, sizeof(text));
    ck_assert_ptr_null(strstr(text, "hidden"));
    ck_assert_ptr_nonnull(strstr(
        text, "\"level\":\"info\",\"event\":\"shown\",\"path\":\"a\\u0022b\\u000d\\u000a\\u001b"
              "[0m\\u0000\\ufffd\",\"c1\":\"a\\u009b[2J\xc3\xab\","
              "\"cf\":\"\\u202e\\u2028\\u200b\\udb40\\udc01\xf0\x9f\x98\x80\",\"n\":7,\"t\":1."
              "500001,\"b\":true}\n"));
}
END_TEST

/* One more byte at each step: every value that does not fit is left out alone, all lines are whole.
 */
START_TEST(what_does_not_fit_is_left_out)
{
    static char text[65536];
    static char long_text[LOG_LINE_BYTES];
    static char name[] = "/tmp/corral-test-log-XXXXXX";
    struct log_settings settings = {LOG_INFO, name};
    struct logger *l;
    struct log_line line;
    unsigned seen[2] = {0, 0};

    close(mkstemp(name));
    ck_assert_int_eq(logger_create(&settings, &l), CE_OK);
    struct log_source *s = logger_source(l);

    for (size_t step = 0; step < 16; step++) {
        for (int escaped = 0; escaped <= 1; escaped++) {
            size_t len = (escaped ? 640 : 3800) + step * (escaped ? 2 : 16);

            memset(long_text, escaped ? '"' : 'x', len);
            log_begin(&line, s, LOG_INFO, "long");
            log_text(&line, "x", slice_of(long_text, len));
            log_u64(&line, "n", UINT64_MAX);
            log_seconds(&line, "t", UINT64_MAX);
            log_str(&line, "last", "here");
            ck_assert_uint_lt(line.len, sizeof(line.text));
            seen[line.left_out]++;
            log_end(&line);
            ck_assert_uint_le(line.len, sizeof(line.text));
            ck_assert(slice_ends_with(slice_of(line.text, line.len),
                                      line.left_out ? SLICE_LITERAL(",\"left_out\":true}\n")
                                                    : SLICE_LITERAL(",\"last\":\"here\"}\n")));
            bool told = memmem(line.text, line.len, "\"x\":\"", 5) != NULL;
            bool number = memmem(line.text, line.len, "\"n\":1844", 8) != NULL;

            ck_assert(line.left_out || (told && number));
            ck_assert(told || number); /* one that is too long does not take the others with it */
        }
    }
    ck_assert(seen[0] > 0 && seen[1] > 0);
    logger_destroy(l);
    int fd = open(name, O_RDONLY);

    ck_assert_int_gt(read(fd, text, sizeof(text)), 0);
    close(fd);
    unlink(name);
}
END_TEST

/* Every length and every place of a byte that must be escaped, beside a copy byte by byte. */
START_TEST(one_byte_is_found_anywhere)
{
    static const char bad[] = {'"', '\\', 0x1f, 0x7f, '\xff'};
    static const char *const written[] = {"\\u0022", "\\u005c", "\\u001f", "\\u007f", "\\ufffd"};
    struct log_settings settings = {LOG_INFO, "/dev/null"};
    struct logger *l;
    struct log_line line;
    char value[64];
    char want[128];

    ck_assert_int_eq(logger_create(&settings, &l), CE_OK);
    struct log_source *s = logger_source(l);

    for (size_t len = 1; len <= 50; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t b = 0; b < ARRAY_LEN(bad); b++) {
                memset(value, 'a', len);
                value[at] = bad[b];
                size_t n = (size_t)snprintf(want, sizeof(want), ",\"k\":\"%.*s%s%.*s\"", (int)at,
                                            value, written[b], (int)(len - at - 1), value + at + 1);
                log_begin(&line, s, LOG_INFO, "e");
                size_t before = line.len;

                log_text(&line, "k", slice_of(value, len));
                ck_assert(
                    slice_eq(slice_of(line.text + before, line.len - before), slice_of(want, n)));
            }
        }
    }
    logger_destroy(l);
}
END_TEST

START_TEST(a_full_ring_drops_and_counts)
{
    struct log_settings settings = {LOG_INFO, "/dev/null"};
    struct logger *l;
    struct log_line line;
    char long_text[2000];

    memset(long_text, 'x', sizeof(long_text));
    ck_assert_int_eq(logger_create(&settings, &l), CE_OK);
    logger_start(l);
    struct log_source *s = logger_source(l);

    for (int i = 0; i < 3000; i++) {
        log_begin(&line, s, LOG_INFO, "flood");
        log_text(&line, "x", slice_of(long_text, sizeof(long_text)));
        log_end(&line);
    }
    ck_assert_uint_gt(logger_dropped(l), 0);
    logger_destroy(l);
}
END_TEST

/* Before the helper starts: what strangers cause leaves half of the ring to others. */
START_TEST(minor_lines_leave_room)
{
    enum { LINE_BYTES = 1000 };
    struct log_settings settings = {LOG_INFO, "/dev/null"};
    struct logger *l;
    char text[LINE_BYTES];

    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(logger_create(&settings, &l), CE_OK);
    struct log_source *s = logger_source(l);
    uint64_t dropped[2];

    for (int minor = 1; minor >= 0; minor--) {
        for (int i = 0; i < LOG_RING_BYTES / LINE_BYTES; i++) {
            struct log_line line;

            log_begin(&line, s, LOG_INFO, "flood");
            line.minor = minor == 1;
            log_text(&line, "x", slice_of(text, sizeof(text)));
            log_end(&line);
        }
        dropped[minor] = logger_dropped(l);
    }
    ck_assert_uint_gt(dropped[1], LOG_RING_BYTES / LINE_BYTES / 2); /* a line has its frame, too */
    ck_assert_uint_lt(dropped[0] - dropped[1], dropped[1] + LOG_RING_BYTES / LINE_BYTES / 5);
    ck_assert_uint_lt(dropped[0] - dropped[1], LOG_RING_BYTES / LINE_BYTES);
    logger_destroy(l);
}
END_TEST

START_TEST(a_failing_target_is_counted)
{
    struct log_settings settings = {LOG_INFO, "/dev/full"};
    struct logger *l;

    ck_assert_int_eq(logger_create(&settings, &l), CE_OK);
    logger_start(l);
    log_event(logger_source(l), LOG_INFO, "lost", "why", "no space");
    for (int i = 0; i < 100 && logger_dropped(l) == 0; i++) {
        usleep(10000);
    }
    ck_assert_uint_eq(logger_dropped(l), 1);
    logger_destroy(l);
    settings.path = "/nonexistent/folder/log";
    ck_assert_int_eq(logger_create(&settings, &l), CE_IO);
}
END_TEST

static struct slice resolve(void *arg, enum metric_label label, uint32_t number)
{
    static char text[16];

    snprintf(text, sizeof(text), "l%u", number);
    return slice_str(text);
}

START_TEST(tables_are_summed)
{
    struct metrics_table *t[2] = {metrics_table_create(), metrics_table_create()};
    struct buf out = buf_make(1 << 20);

    metrics_add(t[0], M_REQUESTS, 1, 2, 200, 3);
    metrics_add(t[1], M_REQUESTS, 1, 2, 200, 4);
    metrics_add(t[1], M_REQUESTS, 1, 2, 404, 1);
    metrics_observe(t[0], M_TTFT, 400);
    metrics_observe(t[1], M_TTFT, 999999999);
    ck_assert_uint_eq(metrics_sum(t, 2, M_REQUESTS, 1, 2, 200), 7);
    ck_assert_int_eq(metrics_write(t, 2, resolve, NULL, &out), CE_OK);
    ck_assert_int_eq(buf_append(&out, slice_of("", 1)), CE_OK);
    const char *text = buf_slice(&out).ptr;

    ck_assert_ptr_nonnull(
        strstr(text, "corral_requests_total{tenant=\"l1\",route=\"l2\",status=\"l200\"} 7\n"));
    ck_assert_ptr_nonnull(strstr(text, "corral_ttft_seconds_bucket{le=\"0.0005\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "corral_ttft_seconds_bucket{le=\"+Inf\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(text, "corral_ttft_seconds_count 2\n"));
    buf_finish(&out);
    metrics_table_destroy(t[0]);
    metrics_table_destroy(t[1]);
}
END_TEST

START_TEST(series_are_bounded)
{
    struct metrics_table *t = metrics_table_create();

    for (uint32_t i = 0; i < 50000; i++) {
        metrics_add(t, M_REQUESTS, i, 1, 200, 1);
    }
    ck_assert_uint_gt(metrics_sum(&t, 1, M_REQUESTS, 0, 0, 0), 40000);
    metrics_table_destroy(t);
}
END_TEST

START_TEST(names_keep_their_numbers)
{
    struct intern *t = intern_create(2);
    uint32_t a = intern_add(t, slice_str("a"));

    ck_assert_uint_ne(a, INTERN_OTHER);
    ck_assert_uint_eq(intern_add(t, slice_str("a")), a);
    ck_assert_uint_ne(intern_add(t, slice_str("b")), a);
    ck_assert_uint_eq(intern_add(t, slice_str("c")), INTERN_OTHER);
    ck_assert_uint_eq(intern_find(t, slice_str("c")), INTERN_NONE);
    ck_assert(slice_eq_str(intern_name(t, a), "a"));
    ck_assert(slice_eq_str(intern_name(t, 99), "other"));
    intern_destroy(t);
}
END_TEST

static Suite *obs_suite(void)
{
    Suite *suite = suite_create("obs");
    TCase *tc = tcase_create("obs");

    tcase_set_timeout(tc, 60);

    tcase_add_test(tc, lines_are_json_and_escaped);
    tcase_add_test(tc, what_does_not_fit_is_left_out);
    tcase_add_test(tc, one_byte_is_found_anywhere);
    tcase_add_test(tc, a_full_ring_drops_and_counts);
    tcase_add_test(tc, minor_lines_leave_room);
    tcase_add_test(tc, a_failing_target_is_counted);
    tcase_add_test(tc, tables_are_summed);
    tcase_add_test(tc, series_are_bounded);
    tcase_add_test(tc, names_keep_their_numbers);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(obs_suite)
