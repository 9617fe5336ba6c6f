#include "h2_peer.h"
#include "unit.h"

#include "http/h2_impl.h"

static struct slice text(const char *bytes, size_t len)
{
    return slice_of(bytes, len);
}

/* ---- budgets at their edges ---- */

/* The frame that spends from each budget, and where its limits stand. */
static const struct {
    const char *name;
    struct h2_frame frame;
    enum h2_budget budget;
    enum corral_err why;
    uint32_t burst;
    uint32_t per_s;
} budgets[] = {
    {"resets", {4, 1, NGHTTP2_RST_STREAM, 0}, H2_RESETS_RECEIVED, CE_H2_RESETS_RECEIVED, 100, 20},
    {"empty data", {0, 1, NGHTTP2_DATA, 0}, H2_EMPTY_DATA, CE_H2_EMPTY_DATA, 100, 100},
    {"padded data", {257, 1, NGHTTP2_DATA, 8}, H2_EMPTY_DATA, CE_H2_EMPTY_DATA, 100, 100},
    {"pings", {8, 0, NGHTTP2_PING, 0}, H2_PINGS, CE_H2_PINGS, 100, 100},
    {"ping answers", {8, 0, NGHTTP2_PING, 1}, H2_PINGS, CE_H2_PINGS, 100, 100},
    {"settings", {0, 0, NGHTTP2_SETTINGS, 0}, H2_SETTINGS, CE_H2_SETTINGS, 100, 100},
    {"priority", {5, 3, NGHTTP2_PRIORITY, 0}, H2_PRIORITIES, CE_H2_PRIORITIES, 100, 100},
    {"priority update", {7, 0, 0x10, 0}, H2_PRIORITIES, CE_H2_PRIORITIES, 100, 100},
    {"windows",
     {4, 0, NGHTTP2_WINDOW_UPDATE, 0},
     H2_WINDOW_UPDATES,
     CE_H2_WINDOW_UPDATES,
     100,
     100},
    {"unknown", {9, 0, 0xbb, 0}, H2_UNKNOWN, CE_H2_UNKNOWN_FRAMES, 100, 100},
    {"goaway", {8, 0, NGHTTP2_GOAWAY, 0}, H2_UNKNOWN, CE_H2_UNKNOWN_FRAMES, 100, 100},
};

static unsigned spend_all(struct h2_guard *g, const struct h2_frame *f, enum corral_err *out)
{
    unsigned count = 0;

    while ((*out = h2_guard_frame(g, &h2_peer_settings, f, true)) == CE_OK && count < 100000) {
        count++;
    }
    return count;
}

START_TEST(a_burst_and_not_one_more_then_as_fast_as_the_rate)
{
    struct h2_guard g = {.now_us = 5000000, .last_stream = 1, .accept_until = INT32_MAX};
    enum corral_err why;

    ck_assert_msg(spend_all(&g, &budgets[_i].frame, &why) == budgets[_i].burst, "%s",
                  budgets[_i].name);
    ck_assert_int_eq(why, budgets[_i].why);
    g.now_us += 1000000 / budgets[_i].per_s - 1;
    ck_assert_uint_eq(spend_all(&g, &budgets[_i].frame, &why), 0);
    g.now_us += 1;
    ck_assert_uint_eq(spend_all(&g, &budgets[_i].frame, &why), 1);
    g.now_us += 1000000000;
    ck_assert_uint_eq(spend_all(&g, &budgets[_i].frame, &why), budgets[_i].burst);
    ck_assert_int_eq(g.worn_out, CE_OK);
}
END_TEST

START_TEST(a_lifetime_number_wears_out_at_its_edge)
{
    struct h2_guard g = {.now_us = 5000000, .last_stream = 1, .accept_until = INT32_MAX};

    for (uint32_t i = 1; i <= h2_peer_settings.frames_lifetime; i++) {
        g.now_us += 1000000;
        ck_assert_int_eq(h2_guard_frame(&g, &h2_peer_settings, &budgets[_i].frame, true), CE_OK);
        ck_assert_int_eq(g.worn_out,
                         i < h2_peer_settings.frames_lifetime ? CE_OK : budgets[_i].why);
    }
}
END_TEST

START_TEST(resets_sent_and_early_resets_have_numbers_of_their_own)
{
    struct h2_guard g = {.now_us = 5000000, .accept_until = INT32_MAX};
    unsigned count = 0;

    while (h2_guard_spend(&g, &h2_peer_settings, H2_RESETS_SENT) == CE_OK) {
        count++;
    }
    ck_assert_uint_eq(count, h2_peer_settings.resets_sent_burst);
    for (; count < h2_peer_settings.resets_sent_lifetime; count++) {
        ck_assert_int_eq(g.worn_out, CE_OK);
        g.now_us += 1000000;
        ck_assert_int_eq(h2_guard_spend(&g, &h2_peer_settings, H2_RESETS_SENT), CE_OK);
    }
    ck_assert_int_eq(g.worn_out, CE_H2_RESETS_SENT);
    g = (struct h2_guard){.now_us = 5000000};
    for (uint32_t i = 1; i <= h2_peer_settings.resets_before_response; i++) {
        ck_assert_int_eq(g.worn_out, CE_OK);
        h2_guard_reset_early(&g, &h2_peer_settings);
    }
    ck_assert_int_eq(g.worn_out, CE_H2_RESETS_EARLY);
}
END_TEST

START_TEST(two_window_updates_for_each_data_frame_are_free)
{
    const struct h2_frame update = {4, 0, NGHTTP2_WINDOW_UPDATE, 0};
    struct h2_guard g = {.now_us = 5000000, .accept_until = INT32_MAX};
    enum corral_err why;

    for (int i = 0; i < 50; i++) {
        h2_guard_sent_data(&g);
    }
    ck_assert_uint_eq(spend_all(&g, &update, &why), 200);
    for (int i = 0; i < 1000000; i++) {
        h2_guard_sent_data(&g);
    }
    ck_assert_uint_le(spend_all(&g, &update, &why), 100002); /* nobody saves up for a flood */
}
END_TEST

START_TEST(continuations_are_counted_for_each_head)
{
    const struct h2_frame head = {5, 1, NGHTTP2_HEADERS, 0};
    const struct h2_frame more = {5, 1, NGHTTP2_CONTINUATION, 0};
    struct h2_guard g = {.now_us = 5000000, .accept_until = INT32_MAX};
    enum corral_err why;

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(h2_guard_frame(&g, &h2_peer_settings, &head, true), CE_OK);
        ck_assert(g.in_head);
        ck_assert_uint_eq(spend_all(&g, &more, &why), 4);
        ck_assert_int_eq(why, CE_H2_CONTINUATIONS);
    }
}
END_TEST

/* ---- streams that are gone ---- */

START_TEST(frames_on_streams_that_are_gone)
{
    const struct h2_frame data = {3, 5, NGHTTP2_DATA, 0};
    const struct h2_frame head = {3, 5, NGHTTP2_HEADERS, 4};
    const struct h2_frame reset = {4, 5, NGHTTP2_RST_STREAM, 0};
    struct h2_guard g = {.now_us = 5000000, .last_stream = 9, .accept_until = INT32_MAX};
    const struct h2_settings *s = &h2_peer_settings;

    ck_assert_int_eq(h2_guard_frame(&g, s, &data, false), CE_OK); /* forgotten: it counts */
    ck_assert_int_eq(h2_guard_frame(&g, s, &head, false), CE_H2_STREAM_ID);
    h2_guard_forget(&g, 5, false);
    ck_assert_int_eq(h2_guard_frame(&g, s, &head, false), CE_H2_STREAM_CLOSED);
    h2_guard_forget(&g, 5, true); /* the older entry still stands before it */
    g = (struct h2_guard){.now_us = 5000000, .last_stream = 9, .accept_until = INT32_MAX};
    h2_guard_forget(&g, 5, true);
    ck_assert_int_eq(h2_guard_frame(&g, s, &head, false), CE_OK);
    ck_assert_int_eq(h2_guard_frame(&g, s, &data, false), CE_OK);
    ck_assert_int_eq(h2_guard_frame(&g, s, &reset, false), CE_OK);
    ck_assert_int_eq(h2_guard_frame(&g, s, &data, false), CE_H2_STREAM_CLOSED);
    g = (struct h2_guard){.now_us = 5000000, .last_stream = 9, .accept_until = 3};
    ck_assert_int_eq(h2_guard_frame(&g, s, &data, false), CE_OK);
    for (int i = 0; i < 999; i++) {
        ck_assert_int_eq(h2_guard_frame(&g, s, &data, false), CE_OK);
    }
    ck_assert_int_eq(h2_guard_frame(&g, s, &data, false), CE_H2_STALE_FRAMES);
}
END_TEST

/* ---- sessions ---- */

static const struct slice get_block = {"\x82\x86\x84\x01\x09localhost", 14};

START_TEST(a_request_is_told_and_answered)
{
    struct buf wire = buf_make(1 << 20);
    struct h2_peer p;

    h2_peer_begin(&p, &h2_peer_settings);
    h2_peer_hello(&wire);
    h2_peer_frame(&wire, NGHTTP2_HEADERS, 5, 1, get_block);
    ck_assert_int_eq(h2_peer_receive(&p, buf_slice(&wire), _i == 0 ? wire.len : (size_t)_i), CE_OK);
    ck_assert_uint_eq(p.requests, 1);
    ck_assert_str_eq(p.last_path, "/");
    ck_assert_int_eq(h2_peer_send(&p), CE_OK);
    ck_assert_uint_eq(p.gone, 1);
    ck_assert_int_eq(h2_peer_goaway(&p), -1);
    ck_assert(h2_session_is_settled(p.session));
    /* SETTINGS come first and tell the real number of streams. */
    ck_assert_int_eq(memcmp(p.out.data + p.out.start + 9, "\0\3\0\0\0\x64", 6), 0);
    h2_peer_end(&p);
    buf_finish(&wire);
}
END_TEST

/* Literal fields: what the route table would refuse anyway is refused by its own rule before. */
static const struct {
    const char *fields[4]; /* method, scheme, path, authority */
    enum corral_err why;
} heads[] = {
    {{"GET", "http", "/", "localhost"}, CE_OK},
    {{"GET", "https", "/", "localhost"}, CE_OK},
    {{"OPTIONS", "http", "*", "localhost"}, CE_OK},
    {{"GET", "http", "/#x", "localhost"}, CE_HTTP_TARGET},
    {{"GET", "http", "/a\xff", "localhost"}, CE_HTTP_TARGET},
    {{"GET", "http", "/?a=%zz", "localhost"}, CE_HTTP_TARGET},
    {{"GET", "ftp", "/", "localhost"}, CE_HTTP_SCHEME},
    {{"CONNECT", "http", "/", "localhost"}, CE_METHOD_NOT_ALLOWED},
    {{"GET", "http", "/", "a@localhost"}, CE_HTTP_HOST},
    {{"GET", "http", "/", "localhost:0"}, CE_HTTP_HOST},
};

START_TEST(heads_are_held_against_the_rules)
{
    static const char *const names[] = {":method", ":scheme", ":path", ":authority"};
    struct h2_head *head;
    struct h2_room room = {0};

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        head = h2_head_take(&room);
        for (size_t f = 0; f < ARRAY_LEN(names); f++) {
            ck_assert_int_eq(h2_head_add(head, slice_str(names[f]), slice_str(heads[i].fields[f])),
                             CE_OK);
        }
        ck_assert_msg(h2_head_finish(head, false, true) == heads[i].why, "case %zu", i);
        h2_head_give(&room, head);
    }
    free(room.heads);
}
END_TEST

START_TEST(what_makes_us_reset_streams_is_counted_but_not_our_own_resets)
{
    struct buf wire = buf_make(1 << 20);
    struct h2_peer p;

    h2_peer_begin(&p, &h2_peer_settings);
    h2_peer_hello(&wire);
    for (uint32_t i = 0; i < 60;
         i++) { /* answered before their bodies: reset by us with NO_ERROR */
        h2_peer_frame(&wire, NGHTTP2_HEADERS, 4, 1 + 2 * i, get_block);
    }
    ck_assert_int_eq(h2_peer_receive(&p, buf_slice(&wire), wire.len), CE_OK);
    ck_assert_int_eq(h2_peer_send(&p), CE_OK);
    ck_assert_uint_eq(p.gone, 60);
    buf_clear(&wire);
    for (uint32_t i = 60; i < 111; i++) { /* a field of HTTP/1.1: reset by nghttp2 */
        h2_peer_frame(&wire, NGHTTP2_HEADERS, 5, 1 + 2 * i,
                      text("\x82\x86\x84\x01\x09localhost\x00\x0a"
                           "connection\x01x",
                           28));
    }
    ck_assert_int_eq(h2_peer_receive(&p, buf_slice(&wire), wire.len), CE_OK);
    ck_assert_int_eq(h2_peer_send(&p), CE_H2_RESETS_SENT);
    ck_assert_int_eq(h2_peer_goaway(&p), NGHTTP2_ENHANCE_YOUR_CALM);
    ck_assert(h2_session_is_over(p.session));
    h2_peer_end(&p);
    buf_finish(&wire);
}
END_TEST

START_TEST(one_stream_too_many_is_refused_alone)
{
    struct buf wire = buf_make(1 << 20);
    struct h2_settings s = h2_peer_settings;
    struct h2_peer p;

    s.max_streams = 2;
    h2_peer_begin(&p, &s);
    h2_peer_hello(&wire);
    for (uint32_t i = 0; i < 3; i++) { /* POST: answered when the body ends */
        h2_peer_frame(&wire, NGHTTP2_HEADERS, 4, 1 + 2 * i,
                      text("\x83\x86\x04\x02/a\x01\x09localhost", 17));
    }
    ck_assert_int_eq(h2_peer_receive(&p, buf_slice(&wire), wire.len), CE_OK);
    ck_assert_uint_eq(p.requests, 2);
    ck_assert_int_eq(h2_peer_send(&p), CE_OK);
    ck_assert_int_eq(h2_peer_goaway(&p), -1);
    h2_peer_end(&p);
    buf_finish(&wire);
}
END_TEST

/* nghttp2 has a limit of its own, 1,000 at once and 33 a second, that a client is told nothing of.
 */
START_TEST(as_many_resets_as_the_settings_allow)
{
    enum { RESETS = 3000 };
    struct buf wire = buf_make(1 << 20);
    struct h2_settings s = h2_peer_settings;
    struct h2_peer p;

    s.resets_received_burst = s.resets_before_response = RESETS + 1;
    h2_peer_begin(&p, &s);
    h2_peer_hello(&wire);
    for (uint32_t i = 0; i < RESETS; i++) { /* POST: answered when the body ends */
        h2_peer_frame(&wire, NGHTTP2_HEADERS, 4, 1 + 2 * i,
                      text("\x83\x86\x04\x02/a\x01\x09localhost", 17));
        h2_peer_frame(&wire, NGHTTP2_RST_STREAM, 0, 1 + 2 * i, text("\0\0\0\x08", 4));
    }
    ck_assert_int_eq(h2_peer_receive(&p, buf_slice(&wire), wire.len), CE_OK);
    ck_assert_int_eq(h2_peer_send(&p), CE_OK);
    ck_assert_int_eq(h2_peer_goaway(&p), -1);
    ck_assert_uint_eq(p.requests, RESETS);
    ck_assert_uint_eq(p.gone, RESETS);
    h2_peer_end(&p);
    buf_finish(&wire);
}
END_TEST

/* S-184: frames from a grammar, a million with CORRAL_FRAMES=1000000. */
START_TEST(any_frames_in_any_order)
{
    const char *asked = getenv("CORRAL_FRAMES");
    long left = asked == NULL ? 100000 : atol(asked);
    uint64_t x = 88172645463325252u;
    unsigned ended = 0;

    while (left > 0) {
        struct buf wire = buf_make(1 << 22);
        char choices[4 * 200];
        struct h2_peer p;

        for (size_t i = 0; i < sizeof(choices); i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            choices[i] = (char)(x >> 32);
        }
        h2_peer_begin(&p, &h2_peer_settings);
        h2_peer_hello(&wire);
        for (size_t at = 0; at < sizeof(choices); at += 40) {
            h2_peer_grammar(&wire, text(choices + at, 40));
            p.now_ms += 100;
            enum corral_err err = h2_peer_receive(&p, buf_slice(&wire), 1 + x % 900);
            err = err == CE_OK ? h2_peer_send(&p) : err;
            if (err != CE_OK) {
                (void)h2_peer_send(&p);
                ck_assert(h2_session_is_over(p.session));
                ended++;
                break;
            }
            buf_clear(&wire);
        }
        h2_peer_end(&p);
        buf_finish(&wire);
        left -= 200;
    }
    ck_assert_uint_gt(ended, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("http/h2");
    TCase *c = tcase_create("h2");

    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, a_burst_and_not_one_more_then_as_fast_as_the_rate, 0,
                        (int)ARRAY_LEN(budgets));
    tcase_add_loop_test(c, a_lifetime_number_wears_out_at_its_edge, 0, (int)ARRAY_LEN(budgets));
    tcase_add_test(c, resets_sent_and_early_resets_have_numbers_of_their_own);
    tcase_add_test(c, two_window_updates_for_each_data_frame_are_free);
    tcase_add_test(c, continuations_are_counted_for_each_head);
    tcase_add_test(c, frames_on_streams_that_are_gone);
    tcase_add_loop_test(c, a_request_is_told_and_answered, 0, 12);
    tcase_add_test(c, heads_are_held_against_the_rules);
    tcase_add_test(c, what_makes_us_reset_streams_is_counted_but_not_our_own_resets);
    tcase_add_test(c, one_stream_too_many_is_refused_alone);
    tcase_add_test(c, as_many_resets_as_the_settings_allow);
    tcase_add_test(c, any_frames_in_any_order);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
