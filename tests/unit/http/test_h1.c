#include "base/buf.h"
#include "http/authority.h"
#include "http/h1_chunked.h"
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "unit.h"

/* Scan and read a head that is given whole; the error of whichever step refuses. */
static enum corral_err read_request(const char *bytes, size_t len, bool is_tls,
                                    struct http_request *out)
{
    struct h1_scan scan = {0};
    struct slice s = slice_of(bytes, len);
    size_t head_len = 0;

    enum corral_err err = h1_scan_request(&scan, s, &head_len);

    return err == CE_OK ? h1_read_request(slice_of(bytes, head_len), is_tls, out) : err;
}

/* The same, one byte more at each call, as a slow client sends it. */
static enum corral_err read_bytewise(const char *bytes, size_t len, struct http_request *out)
{
    struct h1_scan scan = {0};
    enum corral_err err = CE_MORE;
    size_t head_len = 0;

    for (size_t n = 1; n <= len && err == CE_MORE; n++) {
        struct slice s = slice_of(bytes, n);

        err = h1_scan_request(&scan, s, &head_len);
    }
    return err == CE_OK ? h1_read_request(slice_of(bytes, head_len), false, out) : err;
}

#define H "Host: localhost\r\n"
#define POST "POST /api/chat HTTP/1.1\r\n" H

static const struct {
    const char *name;
    const char *head;
    enum corral_err err;
} heads[] = {
    {"plain get", "GET /api/tags HTTP/1.1\r\n" H "\r\n", CE_OK},
    {"query", "GET /api/tags?a=b%20c HTTP/1.1\r\n" H "\r\n", CE_OK},
    {"S-071 one empty line before", "\r\nGET / HTTP/1.1\r\n" H "\r\n", CE_OK},
    {"S-071 two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", CE_HTTP_METHOD},
    {"a blank before the method", " GET / HTTP/1.1\r\n" H "\r\n", CE_HTTP_LINE},
    {"no method", "\"/ HTTP/1.1\r\n" H "\r\n", CE_HTTP_LINE},
    {"S-024 leading zeros", POST "Content-Length: 0002\r\n\r\n", CE_OK},
    {"S-020 chunked in any case", POST "Transfer-Encoding: cHuNkEd\r\n\r\n", CE_OK},
    {"S-001 both framings", POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n",
     CE_HTTP_LENGTH_AND_CODING},
    {"S-004 both, coding invalid", POST "Content-Length: 6\r\nTransfer-Encoding: xchunked\r\n\r\n",
     CE_HTTP_LENGTH_AND_CODING},
    {"S-005 xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n", CE_HTTP_CODING_UNKNOWN},
    {"S-005 identity", POST "Transfer-Encoding: identity\r\n\r\n", CE_HTTP_CODING_UNKNOWN},
    {"S-006 gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n",
     CE_HTTP_CODING_UNKNOWN},
    {"S-007 chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n",
     CE_HTTP_CODING},
    {"S-008 chunked twice", POST "Transfer-Encoding: chunked, chunked\r\n\r\n", CE_HTTP_CODING},
    {"S-008 two lines", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     CE_HTTP_CODING},
    {"S-010 empty element", POST "Transfer-Encoding: ,chunked\r\n\r\n", CE_HTTP_CODING},
    {"S-011 empty coding", POST "Transfer-Encoding: \r\n\r\n", CE_HTTP_CODING},
    {"S-012 quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", CE_HTTP_CODING},
    {"S-012 parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n", CE_HTTP_CODING},
    {"S-013 NBSP",
     POST "Transfer-Encoding: \xa0"
          "chunked\r\n\r\n",
     CE_HTTP_CODING},
    {"S-013 VT",
     POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     CE_HTTP_FIELD_VALUE},
    {"S-014 space before colon", POST "Transfer-Encoding : chunked\r\n\r\n", CE_HTTP_FIELD_NAME},
    {"S-015 folded", POST "Transfer-Encoding:\r\n chunked\r\n\r\n", CE_HTTP_FOLD},
    {"S-016 folded other", POST "X: a\r\n Transfer-Encoding: chunked\r\n\r\n", CE_HTTP_FOLD},
    {"S-017 bare CR", POST "Foo: bar\rTransfer-Encoding: chunked\r\n\r\n", CE_HTTP_LINE_END},
    {"S-017 bare LF", POST "Foo: bar\nTransfer-Encoding: chunked\r\n\r\n", CE_HTTP_LINE_END},
    {"S-018 mixed", POST "X-Forwarded_For: a\r\n\r\n", CE_HTTP_FIELD_ALIAS},
    {"S-018 length", POST "content_LENGTH: 3\r\n\r\n", CE_HTTP_FIELD_ALIAS},
    {"S-018 no token", POST "a_b(: 3\r\n\r\n", CE_HTTP_FIELD_NAME},
    {"S-018 no colon", POST "a_b\r\n\r\n", CE_HTTP_FIELD},
    {"S-018 underscore", POST "Transfer_Encoding: chunked\r\n\r\n", CE_HTTP_FIELD_ALIAS},
    {"S-019 chunked on 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
     CE_HTTP_CODING},
    {"S-021 plus", POST "Content-Length: +2\r\n\r\n", CE_HTTP_LENGTH},
    {"S-021 minus", POST "Content-Length: -2\r\n\r\n", CE_HTTP_LENGTH},
    {"S-021 hex", POST "Content-Length: 0x2\r\n\r\n", CE_HTTP_LENGTH},
    {"S-021 empty", POST "Content-Length:\r\n\r\n", CE_HTTP_LENGTH},
    {"S-021 inner space", POST "Content-Length: 2 2\r\n\r\n", CE_HTTP_LENGTH},
    {"S-022 list", POST "Content-Length: 2,2\r\n\r\n", CE_HTTP_LENGTH},
    {"S-023 twice", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", CE_HTTP_LENGTH},
    {"S-025 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n", CE_HTTP_LENGTH},
    {"S-025 2^64+2", POST "Content-Length: 18446744073709551618\r\n\r\n", CE_HTTP_LENGTH},
    {"S-029 GET with body", "GET / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n",
     CE_HTTP_BODY_UNEXPECTED},
    {"S-029 HEAD chunked", "HEAD / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
     CE_HTTP_BODY_UNEXPECTED},
    {"S-054 LF request line", "GET / HTTP/1.1\n" H "\r\n", CE_HTTP_LINE_END},
    {"S-055 CR only", "GET / HTTP/1.1\rHost: localhost\r\r", CE_HTTP_LINE_END},
    {"S-056 DEL in value", POST "X: a\x7f\r\n\r\n", CE_HTTP_FIELD_VALUE},
    {"S-057 obs-text in value", POST "X: a\xff\r\n\r\n", CE_OK},
    {"S-058 colon-less specials", POST "X(: a\r\n\r\n", CE_HTTP_FIELD_NAME},
    {"S-058 high byte in name", POST "X\xe9: a\r\n\r\n", CE_HTTP_FIELD_NAME},
    {"S-059 empty name", POST ": x\r\n\r\n", CE_HTTP_FIELD_NAME},
    {"S-060 no colon", POST "X\r\n\r\n", CE_HTTP_FIELD},
    {"S-061 space before first field", "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", CE_HTTP_FOLD},
    {"S-066 HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", CE_HTTP_VERSION_UNKNOWN},
    {"S-066 HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", CE_HTTP_VERSION_UNKNOWN},
    {"S-067 lower case", "GET / http/1.1\r\n" H "\r\n", CE_HTTP_VERSION},
    {"S-067 HTTP/1.10", "GET / HTTP/1.10\r\n" H "\r\n", CE_HTTP_VERSION},
    {"S-068 HTTP/0.9", "GET /api/tags\r\n", CE_HTTP_LINE},
    {"S-069 two spaces", "GET  / HTTP/1.1\r\n" H "\r\n", CE_HTTP_VERSION},
    {"S-069 tab", "GET\t/ HTTP/1.1\r\n" H "\r\n", CE_HTTP_METHOD},
    {"S-069 trailing space", "GET / HTTP/1.1 \r\n" H "\r\n", CE_HTTP_VERSION},
    {"S-070 method with specials", "G=\":<> / HTTP/1.1\r\n" H "\r\n", CE_HTTP_METHOD},
    {"S-072 ClientHello", "\x16\x03\x01\x02", CE_HTTP_LINE},
    {"S-085 fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", CE_HTTP_TARGET},
    {"S-087 bad escape in query", "GET /a?%zz HTTP/1.1\r\n" H "\r\n", CE_HTTP_TARGET},
    {"S-088 absolute, same host", "GET http://localhost/ HTTP/1.1\r\n" H "\r\n", CE_OK},
    {"S-089 absolute, other host", "GET http://evil/ HTTP/1.1\r\n" H "\r\n", CE_HTTP_HOST},
    {"S-089 absolute, userinfo", "GET http://a@localhost/ HTTP/1.1\r\n" H "\r\n", CE_HTTP_HOST},
    {"S-089 https on plain", "GET https://localhost/ HTTP/1.1\r\n" H "\r\n", CE_HTTP_TARGET},
    {"S-090 authority-form", "GET localhost:80 HTTP/1.1\r\n" H "\r\n", CE_HTTP_TARGET},
    {"S-090 star with GET", "GET * HTTP/1.1\r\n" H "\r\n", CE_HTTP_TARGET},
    {"S-091 OPTIONS star", "OPTIONS * HTTP/1.1\r\n" H "\r\n", CE_OK},
    {"S-092 CONNECT", "CONNECT localhost:22 HTTP/1.1\r\n" H "\r\n", CE_METHOD_NOT_ALLOWED},
    {"S-094 no Host", "GET / HTTP/1.1\r\n\r\n", CE_HTTP_HOST},
    {"S-094 two Hosts", "GET / HTTP/1.1\r\n" H H "\r\n", CE_HTTP_HOST},
    {"S-094 host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", CE_HTTP_HOST},
    {"S-094 port 0", "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", CE_HTTP_HOST},
    {"S-094 port 99999", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", CE_HTTP_HOST},
    {"S-094 open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", CE_HTTP_HOST},
    {"S-094 empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", CE_HTTP_HOST},
    {"S-111 expect", POST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", CE_OK},
    {"S-114 expect other", POST "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n", CE_HTTP_EXPECT},
    {"S-114 expect twice", POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
     CE_HTTP_EXPECT},
};

START_TEST(heads_are_read_strictly)
{
    struct http_request request;
    size_t len = strlen(heads[_i].head);
    enum corral_err err = read_request(heads[_i].head, len, false, &request);

    ck_assert_msg(err == heads[_i].err, "%s: %s", heads[_i].name, err_reason(err));
    err = read_bytewise(heads[_i].head, len, &request);
    ck_assert_msg(err == heads[_i].err, "%s, byte by byte: %s", heads[_i].name, err_reason(err));
}
END_TEST

START_TEST(nul_in_a_value_is_refused)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n";
    struct http_request request;

    ck_assert_int_eq(read_request(head, sizeof(head) - 1, false, &request), CE_HTTP_FIELD_VALUE);
}
END_TEST

START_TEST(limits_hold_at_their_edges)
{
    struct http_request request;
    struct buf b = buf_make(100000);

    ck_assert_int_eq(buf_append_str(&b, "GET / HTTP/1.1\r\n" H), CE_OK);
    for (int i = 1; i < HTTP_MAX_FIELDS; i++) {
        ck_assert_int_eq(buf_append_str(&b, "A: b\r\n"), CE_OK);
    }
    size_t fields_end = b.len;

    ck_assert_int_eq(buf_append_str(&b, "\r\n"), CE_OK);
    ck_assert_int_eq(read_request(buf_slice(&b).ptr, b.len, false, &request), CE_OK);
    b.len = fields_end;
    ck_assert_int_eq(buf_append_str(&b, "A: b\r\n\r\n"), CE_OK);
    ck_assert_int_eq(read_request(buf_slice(&b).ptr, b.len, false, &request),
                     CE_HTTP_TOO_MANY_FIELDS);
    buf_clear(&b);
    ck_assert_int_eq(buf_append_str(&b, "GET /"), CE_OK);
    while (b.len < HTTP_MAX_LINE_BYTES + 1) {
        ck_assert_int_eq(buf_append_str(&b, "a"), CE_OK);
    }
    ck_assert_int_eq(read_request(buf_slice(&b).ptr, b.len, false, &request),
                     CE_HTTP_TARGET_TOO_LONG);
    buf_clear(&b);
    while (b.len < HTTP_MAX_LINE_BYTES + 1) {
        ck_assert_int_eq(buf_append_str(&b, "A"), CE_OK);
    }
    ck_assert_int_eq(read_request(buf_slice(&b).ptr, b.len, false, &request), CE_HTTP_LINE);
    buf_clear(&b);
    ck_assert_int_eq(buf_append_str(&b, "GET / HTTP/1.1\r\n" H), CE_OK);
    while (b.len < HTTP_MAX_HEAD_BYTES + 1) {
        ck_assert_int_eq(buf_append_str(&b, "A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"), CE_OK);
    }
    ck_assert_int_eq(read_request(buf_slice(&b).ptr, b.len, false, &request),
                     CE_HTTP_HEAD_TOO_LARGE);
    buf_finish(&b);
}
END_TEST

/* S-065: one verdict, however much of it comes at once. */
START_TEST(a_long_first_line_is_one_thing)
{
    static const struct {
        const char *before;
        size_t len; /* of the line */
        enum corral_err err;
    } cases[] = {
        {"", HTTP_MAX_LINE_BYTES, CE_OK},
        {"", HTTP_MAX_LINE_BYTES + 1, CE_HTTP_TARGET_TOO_LONG},
        {"", 20000, CE_HTTP_TARGET_TOO_LONG},
        {"\r\n", HTTP_MAX_LINE_BYTES, CE_OK},
        {"\r\n", HTTP_MAX_LINE_BYTES + 1, CE_HTTP_TARGET_TOO_LONG},
        {"\r\n", 20000, CE_HTTP_TARGET_TOO_LONG},
    };
    static const size_t steps[] = {1, 5000, 16000, 100000};

    for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(steps) * 2; i++) {
        size_t row = i / 2 % ARRAY_LEN(cases);
        bool method = i % 2 == 1; /* all method, no target */
        enum corral_err wanted = !method ? cases[row].err : CE_HTTP_LINE;
        size_t step = steps[i / 2 / ARRAY_LEN(cases)];
        struct buf b = buf_make(100000);
        struct h1_scan scan = {0};
        enum corral_err err = CE_MORE;
        size_t len = 0;

        if (method && cases[row].err == CE_OK) {
            continue;
        }
        ck_assert_int_eq(buf_printf(&b, "%s%s", cases[row].before, method ? "" : "GET /"), CE_OK);
        while (b.len < cases[row].len + strlen(cases[row].before) - (method ? 0 : 9)) {
            ck_assert_int_eq(buf_append_str(&b, method ? "G" : "a"), CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&b, method ? "\r\n" H "\r\n" : " HTTP/1.1\r\n" H "\r\n"),
                         CE_OK);
        for (size_t n = step; err == CE_MORE; n += step) {
            struct slice seen = slice_of(b.data, n < b.len ? n : b.len);

            err = h1_scan_request(&scan, seen, &len);
        }
        if (err == CE_OK) {
            struct http_request request;

            err = h1_read_request(slice_of(b.data, len), false, &request);
        }
        ck_assert_msg(err == wanted, "row %zu step %zu: %s", row, step, err_reason(err));
        buf_finish(&b);
    }
}
END_TEST

/* The fields that corral reads, in any case of letters; what differs in a letter is another one. */
START_TEST(every_known_field_is_found)
{
    static const struct {
        const char *name;
        enum http_field_id id;
    } known[] = {
        {"Accept", HF_ACCEPT},
        {"Authorization", HF_AUTHORIZATION},
        {"Cache-Control", HF_CACHE_CONTROL},
        {"Connection", HF_CONNECTION},
        {"Content-Encoding", HF_CONTENT_ENCODING},
        {"Content-Length", HF_CONTENT_LENGTH},
        {"Content-Type", HF_CONTENT_TYPE},
        {"Expect", HF_EXPECT},
        {"Host", HF_HOST},
        {"Retry-After", HF_RETRY_AFTER},
        {"Traceparent", HF_TRACEPARENT},
        {"Tracestate", HF_TRACESTATE},
        {"Transfer-Encoding", HF_TRANSFER_ENCODING},
        {"User-Agent", HF_USER_AGENT},
        {"X-Request-Id", HF_X_REQUEST_ID},
    };

    ck_assert_uint_eq(ARRAY_LEN(known), HF_COUNT - 1);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        size_t len = strlen(known[i].name);
        char name[32];

        for (unsigned mask = 0; mask < 4; mask++) {
            for (size_t k = 0; k < len; k++) {
                char c = known[i].name[k];

                name[k] = ascii_is_letter(c) && (k + mask) % 2 == 0 ? (char)(c ^ 0x20) : c;
                name[k] = mask > 1 ? ascii_lower(name[k]) : name[k];
            }
            ck_assert_int_eq(http_field_lookup(slice_of(name, len)), known[i].id);
        }
        for (size_t k = 0; k < len; k++) {
            name[k] = name[k] == 'q' ? 'z' : 'q';
            ck_assert_int_eq(http_field_lookup(slice_of(name, len)), HF_OTHER);
            name[k] = known[i].name[k];
        }
    }
}
END_TEST

START_TEST(a_request_is_understood)
{
    static const char head[] = "POST /api/chat?x=1 HTTP/1.1\r\nHOST: LocalHost:8080\r\n"
                               "Content-Length: 12\r\nConnection: foo, Close\r\n\r\n";
    struct http_request r;

    ck_assert_int_eq(read_request(head, sizeof(head) - 1, false, &r), CE_OK);
    ck_assert(slice_eq_str(r.method, "POST"));
    ck_assert(slice_eq_str(r.path, "/api/chat"));
    ck_assert(slice_eq_str(r.query, "x=1"));
    ck_assert(slice_eq_str(r.authority, "LocalHost:8080"));
    ck_assert_int_eq(r.framing, HTTP_LENGTH);
    ck_assert_uint_eq(r.content_length, 12);
    ck_assert(!r.keep_alive);
}
END_TEST

static const struct {
    const char *name;
    const char *bytes;
    const char *data; /* NULL: refused */
    enum corral_err err;
} bodies[] = {
    {"one chunk", "2\r\n{}\r\n0\r\n\r\n", "{}", CE_OK},
    {"S-034 extension", "2;a=b;c=\"x y\"\r\n{}\r\n0\r\n\r\n", "{}", CE_OK},
    {"S-040 trailer", "0\r\nX: y\r\nAuthorization: b\r\n\r\n", "", CE_OK},
    {"S-030 space before", " 2\r\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-030 space after", "2 \r\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-030 plus", "+2\r\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-030 0x", "0x2\r\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-030 empty", "\r\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-031 nine digits", "000000002\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-032 LF after size", "2\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-030 junk for CR", "2x\n{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-032 junk for LF", "2\rx{}\r\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-033 junk for CR", "2\r\n{}x\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-032 LF after data", "2\r\n{}\n0\r\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-032 LF after last", "0\n\r\n", NULL, CE_HTTP_CHUNK},
    {"S-032 LF after trailer", "0\r\nX: y\n\r\n", NULL, CE_HTTP_TRAILER},
    {"S-033 CR CR LF", "2\r\n{}\r\r\n", NULL, CE_HTTP_CHUNK},
    {"S-033 no CRLF", "2\r\n{}XX", NULL, CE_HTTP_CHUNK},
    {"S-035 control in extension", "2;a=\x01\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 quoted", "2;a=\"x\t\\\";\"\r\n{}\r\n0\r\n\r\n", "{}", CE_OK},
    {"S-035 quoted control", "2;a=\"\x01\"\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 quoted 0x1f", "2;a=\"\x1f\"\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 quoted DEL", "2;a=\"\x7f\"\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 quoted 0x80", "2;a=\"\x80\"\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 quoted 0xff", "2;a=\"\xff\"\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 CR in quotes", "2;a=\"\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 no token", "2;a=(b\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 comma", "2;a,b\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 DEL", "2;a\x7f\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-035 0x80", "2;a\x80\r\n{}\r\n", NULL, CE_HTTP_CHUNK},
    {"S-041 no name", "0\r\n: z\r\n\r\n", NULL, CE_HTTP_TRAILER},
    {"S-041 control", "0\r\nX: \x01\r\n\r\n", NULL, CE_HTTP_TRAILER},
    {"S-041 DEL", "0\r\nX: \x7f\r\n\r\n", NULL, CE_HTTP_TRAILER},
    {"S-041 trailer without colon", "0\r\nXy\r\n\r\n", NULL, CE_HTTP_TRAILER},
    {"S-041 trailer name", "0\r\nX y: z\r\n\r\n", NULL, CE_HTTP_TRAILER},
};

static enum corral_err decode(const char *bytes, size_t step, struct buf *out, bool *done)
{
    struct h1_chunked c = {0};
    size_t len = strlen(bytes);

    for (size_t at = 0; at < len && !c.done; at += step) {
        struct slice rest = slice_of(bytes + at, len - at < step ? len - at : step);

        while (rest.len > 0 && !c.done) {
            struct slice data;
            enum corral_err err = h1_chunked_next(&c, &rest, &data);

            if (err != CE_OK) {
                return err;
            }
            ck_assert_int_eq(buf_append(out, data), CE_OK);
        }
    }
    *done = c.done;
    return CE_OK;
}

START_TEST(chunked_bodies_are_read_strictly)
{
    for (size_t step = 1; step <= 64; step++) {
        struct buf out = buf_make(1000);
        bool done = false;
        enum corral_err err = decode(bodies[_i].bytes, step, &out, &done);

        ck_assert_msg(err == bodies[_i].err, "%s by %zu: %s", bodies[_i].name, step,
                      err_reason(err));
        if (bodies[_i].data != NULL) {
            ck_assert(done);
            ck_assert(slice_eq_str(buf_slice(&out), bodies[_i].data));
        }
        buf_finish(&out);
    }
}
END_TEST

START_TEST(chunk_extensions_are_bounded)
{
    char body[512] = "2;";
    struct buf out = buf_make(1000);
    bool done;

    memset(body + 2, 'a', H1_MAX_CHUNK_EXTENSION_BYTES);
    strncat(body, "\r\n{}\r\n0\r\n\r\n", 64);
    ck_assert_int_eq(decode(body, 512, &out, &done), CE_OK);
    memset(body, 0, sizeof(body));
    body[0] = '2';
    body[1] = ';';
    memset(body + 2, 'a', H1_MAX_CHUNK_EXTENSION_BYTES + 1);
    strncat(body, "\r\n{}\r\n0\r\n\r\n", 64);
    ck_assert_int_eq(decode(body, 512, &out, &done), CE_HTTP_CHUNK);
    buf_finish(&out);
}
END_TEST

static const struct {
    const char *head;
    enum corral_err err;
    unsigned status;
} responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", CE_OK, 200},
    {"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", CE_OK, 200},
    {"HTTP/1.1 100 Continue\r\n\r\n", CE_OK, 100},
    {"HTTP/1.1 204 No Content\r\n\r\n", CE_OK, 204},
    {"HTTP/1.1 200 OK\r\n\r\n", CE_HTTP_LENGTH_REQUIRED, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", CE_HTTP_STATUS_LINE, 0},
    {"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n", CE_HTTP_STATUS_LINE, 0},
    {"HTTP/1.1 99 X\r\nContent-Length: 2\r\n\r\n", CE_HTTP_STATUS_LINE, 0},
    {"ICY 200 OK\r\nContent-Length: 2\r\n\r\n", CE_HTTP_STATUS_LINE, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
     CE_HTTP_LENGTH_AND_CODING, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", CE_HTTP_LENGTH, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX : y\r\n\r\n", CE_HTTP_FIELD_NAME, 0},
};

START_TEST(responses_are_read_strictly)
{
    struct http_response_head head;
    enum corral_err err = h1_read_response(slice_str(responses[_i].head), &head);

    ck_assert_msg(err == responses[_i].err, "%s: %s", responses[_i].head, err_reason(err));
    if (err == CE_OK) {
        ck_assert_uint_eq(head.status, responses[_i].status);
    }
}
END_TEST

START_TEST(a_host_has_253_bytes)
{
    char host[300];
    struct http_authority a;

    for (size_t i = 0; i < sizeof(host); i++) {
        host[i] = i % 50 == 49 ? '.' : 'a';
    }
    ck_assert_int_eq(http_authority_parse(slice_of(host, 253), &a), CE_OK);
    ck_assert_int_ne(http_authority_parse(slice_of(host, 254), &a), CE_OK);
    memcpy(host + 253, ":8080", 5);
    ck_assert_int_eq(http_authority_parse(slice_of(host, 258), &a), CE_OK);
    ck_assert_uint_eq(a.port, 8080);
}
END_TEST

START_TEST(authorities_are_checked)
{
    enum { MAX_LABEL = 63 };
    struct http_authority a;

    ck_assert_int_eq(http_authority_parse(slice_str("[::1]:8443"), &a), CE_OK);
    ck_assert(http_authority_is_loopback(&a) && a.port == 8443);
    ck_assert_int_eq(http_authority_parse(slice_str("127.8.9.1"), &a), CE_OK);
    ck_assert(http_authority_is_loopback(&a));
    ck_assert_int_eq(http_authority_parse(slice_str("128.0.0.1"), &a), CE_OK);
    ck_assert(!http_authority_is_loopback(&a));
    ck_assert_int_eq(http_authority_parse(slice_str("a..b"), &a), CE_HTTP_HOST);
    ck_assert_int_eq(http_authority_parse(slice_str("user@host"), &a), CE_HTTP_HOST);
    ck_assert_int_eq(http_authority_parse(slice_str("host:"), &a), CE_HTTP_HOST);
    char label[MAX_LABEL + 2] = {0};

    memset(label, 'a', MAX_LABEL);
    ck_assert_int_eq(http_authority_parse(slice_str(label), &a), CE_OK);
    label[MAX_LABEL] = 'a';
    ck_assert_int_eq(http_authority_parse(slice_str(label), &a), CE_HTTP_HOST);
}
END_TEST

START_TEST(chunk_heads_are_hex)
{
    char head[H1_CHUNK_HEAD_BYTES];

    ck_assert(slice_eq_str(slice_of(head, h1_chunk_head(0x7b, head)), "7b\r\n"));
    ck_assert(slice_eq_str(slice_of(head, h1_chunk_head(1, head)), "1\r\n"));
    ck_assert(slice_eq_str(slice_of(head, h1_chunk_head(0x10000, head)), "10000\r\n"));
}
END_TEST

static Suite *h1_suite(void)
{
    Suite *suite = suite_create("http");
    TCase *tc = tcase_create("h1");

    tcase_set_timeout(tc, 60);

    tcase_add_loop_test(tc, heads_are_read_strictly, 0, (int)ARRAY_LEN(heads));
    tcase_add_test(tc, nul_in_a_value_is_refused);
    tcase_add_test(tc, limits_hold_at_their_edges);
    tcase_add_test(tc, a_long_first_line_is_one_thing);
    tcase_add_test(tc, every_known_field_is_found);
    tcase_add_test(tc, a_request_is_understood);
    tcase_add_loop_test(tc, chunked_bodies_are_read_strictly, 0, (int)ARRAY_LEN(bodies));
    tcase_add_test(tc, a_host_has_253_bytes);
    tcase_add_test(tc, chunk_extensions_are_bounded);
    tcase_add_loop_test(tc, responses_are_read_strictly, 0, (int)ARRAY_LEN(responses));
    tcase_add_test(tc, authorities_are_checked);
    tcase_add_test(tc, chunk_heads_are_hex);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(h1_suite)
