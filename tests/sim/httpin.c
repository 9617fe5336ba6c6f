#include "httpin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "conn.h"
#include "exchange.h"

#define HEAD_MAX (1u << 20) /* Go's DefaultMaxHeaderBytes */
#define BODY_MAX (256u << 20)

struct span {
    const char *ptr;
    size_t len;
};

/* Go answers what it cannot read in plain text and hangs up. */
static void refuse(struct conn *c, const char *status, const char *text)
{
    struct sbuf *out = &c->sim->scratch;

    out->len = 0;
    sbuf_printf(
        out,
        "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%s",
        status, text);
    conn_send(c, out->ptr, out->len);
    conn_close(c, false);
}

enum verdict { VERDICT_OK, VERDICT_400, VERDICT_NAME, VERDICT_VALUE, VERDICT_501, VERDICT_505 };

static void refuse_verdict(struct conn *c, enum verdict verdict)
{
    static const char *const texts[][2] = {
        [VERDICT_400] = {"400 Bad Request", "400 Bad Request"},
        [VERDICT_NAME] = {"400 Bad Request: invalid header name",
                          "400 Bad Request: invalid header name"},
        [VERDICT_VALUE] = {"400 Bad Request: invalid header value",
                           "400 Bad Request: invalid header value"},
        [VERDICT_501] = {"501 Not Implemented", "Unsupported transfer encoding"},
        [VERDICT_505] = {"505 HTTP Version Not Supported: unsupported protocol version",
                         "505 HTTP Version Not Supported: unsupported protocol version"},
    };

    refuse(c, texts[verdict][0], texts[verdict][1]);
}

static size_t find_head_end(const struct sbuf *in)
{
    const char *p = in->ptr;
    const char *end = in->ptr + in->len;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        p++;
        if (p < end && *p == '\n') {
            return (size_t)(p + 1 - in->ptr);
        }
        if (p + 1 < end && p[0] == '\r' && p[1] == '\n') {
            return (size_t)(p + 2 - in->ptr);
        }
    }
    return 0;
}

static struct span next_line(struct span *rest)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    struct span line = {rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len};
    size_t used = line.len < rest->len ? line.len + 1 : rest->len;

    rest->ptr += used;
    rest->len -= used;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
        line.len--;
    }
    return line;
}

static bool copy(char *to, size_t size, struct span from)
{
    if (from.len >= size) {
        return false;
    }
    memcpy(to, from.ptr, from.len);
    to[from.len] = 0;
    return true;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    ch = (char)(ch | 0x20);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool decode_path(struct request *r, struct span target)
{
    size_t out = 0;

    for (size_t i = 0; i < target.len && out + 1 < sizeof(r->path); i++) {
        char ch = target.ptr[i];
        if (ch == '%') {
            int high = i + 2 < target.len ? hex_digit(target.ptr[i + 1]) : -1;
            int low = i + 2 < target.len ? hex_digit(target.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            ch = (char)(high * 16 + low);
            i += 2;
        }
        r->path[out++] = ch;
    }
    r->path[out] = 0;
    return true;
}

/* http://authority/path: the authority takes the place of Host, as in Go. */
static struct span strip_authority(struct request *r, struct span target)
{
    if (target.len > 7 && strncasecmp(target.ptr, "http://", 7) == 0) {
        struct span rest = {target.ptr + 7, target.len - 7};
        const char *slash = memchr(rest.ptr, '/', rest.len);
        size_t len = slash != NULL ? (size_t)(slash - rest.ptr) : rest.len;
        (void)copy(r->host, sizeof(r->host), (struct span){rest.ptr, len});
        return slash != NULL ? (struct span){slash, rest.len - len} : (struct span){"/", 1};
    }
    return target;
}

static enum verdict parse_version(struct request *r, struct span version)
{
    const char *v = version.ptr;

    if (version.len != 8 || memcmp(v, "HTTP/", 5) != 0 || !isdigit((unsigned char)v[5]) ||
        v[6] != '.' || !isdigit((unsigned char)v[7])) {
        return VERDICT_400;
    }
    if (v[5] != '1') {
        return VERDICT_505;
    }
    r->http10 = v[7] == '0';
    return VERDICT_OK;
}

static void take_query(struct request *r, struct span *target)
{
    const char *mark = memchr(target->ptr, '?', target->len);

    if (mark != NULL) {
        struct span query = {mark + 1, (size_t)(target->ptr + target->len - mark - 1)};
        query.len = query.len < sizeof(r->query) ? query.len : sizeof(r->query) - 1;
        (void)copy(r->query, sizeof(r->query), query);
        target->len = (size_t)(mark - target->ptr);
    }
}

static enum verdict parse_request_line(struct request *r, struct span line)
{
    const char *first = memchr(line.ptr, ' ', line.len);
    const char *last = memrchr(line.ptr, ' ', line.len);

    if (first == NULL || last == first || first == line.ptr) {
        return VERDICT_400;
    }
    struct span target = {first + 1, (size_t)(last - first - 1)};
    struct span version = {last + 1, (size_t)(line.ptr + line.len - last - 1)};
    if (!copy(r->method, sizeof(r->method), (struct span){line.ptr, (size_t)(first - line.ptr)})) {
        return VERDICT_400;
    }
    enum verdict verdict = parse_version(r, version);
    if (verdict != VERDICT_OK) {
        return verdict;
    }
    target = strip_authority(r, target);
    if (target.len == 0 || (target.ptr[0] != '/' && target.ptr[0] != '*') ||
        memchr(target.ptr, ' ', target.len) != NULL) {
        return VERDICT_400;
    }
    take_query(r, &target);
    return decode_path(r, target) ? VERDICT_OK : VERDICT_400;
}

static bool name_is(struct span name, const char *text)
{
    return name.len == strlen(text) && strncasecmp(name.ptr, text, name.len) == 0;
}

static bool token_in(struct span list, const char *token)
{
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        struct span one = {list.ptr, comma != NULL ? (size_t)(comma - list.ptr) : list.len};
        size_t used = comma != NULL ? one.len + 1 : one.len;
        while (one.len > 0 && *one.ptr == ' ') {
            one.ptr++;
            one.len--;
        }
        while (one.len > 0 && one.ptr[one.len - 1] == ' ') {
            one.len--;
        }
        if (name_is(one, token)) {
            return true;
        }
        list.ptr += used;
        list.len -= used;
    }
    return false;
}

static enum verdict take_length(struct request *r, struct span value)
{
    uint64_t length = 0;

    if (value.len == 0 || value.len > 18) {
        return VERDICT_400;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return VERDICT_400;
        }
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (r->has_length && r->length != length) {
        return VERDICT_400;
    }
    r->has_length = true;
    r->length = length;
    return VERDICT_OK;
}

static enum verdict take_field(struct request *r, struct span name, struct span value)
{
    if (name_is(name, "Host")) {
        return r->host[0] != 0 || copy(r->host, sizeof(r->host), value) ? VERDICT_OK : VERDICT_400;
    }
    if (name_is(name, "Content-Length")) {
        return take_length(r, value);
    }
    if (name_is(name, "Transfer-Encoding")) {
        if (r->chunked || !name_is(value, "chunked")) {
            return VERDICT_501;
        }
        r->chunked = !r->http10;
    } else if (name_is(name, "Connection")) {
        r->close = r->close || token_in(value, "close");
        r->keep10 = r->keep10 || token_in(value, "keep-alive");
    } else if (name_is(name, "Expect")) {
        r->expect = name_is(value, "100-continue");
    } else if (name_is(name, "Origin")) {
        (void)copy(r->origin, sizeof(r->origin), value);
    }
    return VERDICT_OK;
}

static bool token_char(char ch)
{
    return isalnum((unsigned char)ch) || (ch != 0 && strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}

static struct span trim(struct span value)
{
    while (value.len > 0 && (*value.ptr == ' ' || *value.ptr == '\t')) {
        value.ptr++;
        value.len--;
    }
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t')) {
        value.len--;
    }
    return value;
}

static enum verdict check_field(struct span name, struct span value)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!token_char(name.ptr[i])) {
            return VERDICT_NAME;
        }
    }
    for (size_t i = 0; i < value.len; i++) {
        if (((unsigned char)value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f) {
            return VERDICT_VALUE;
        }
    }
    return VERDICT_OK;
}

static enum verdict parse_fields(struct request *r, struct span rest, bool *has_host)
{
    enum verdict verdict = VERDICT_OK;

    while (rest.len > 0 && verdict == VERDICT_OK) {
        struct span line = next_line(&rest);
        if (line.len == 0) {
            break;
        }
        const char *colon = memchr(line.ptr, ':', line.len);
        if (colon == NULL || colon == line.ptr) {
            return VERDICT_400;
        }
        struct span name = {line.ptr, (size_t)(colon - line.ptr)};
        struct span value = trim((struct span){colon + 1, line.len - name.len - 1});
        if (name_is(name, "Host")) {
            if (*has_host) {
                return VERDICT_400;
            }
            *has_host = true;
        }
        verdict = check_field(name, value);
        if (verdict == VERDICT_OK) {
            verdict = take_field(r, name, value);
        }
    }
    return verdict;
}

static bool parse_head(struct conn *c, size_t head_len)
{
    struct request *r = &c->req;
    struct span rest = {c->in.ptr, head_len};
    bool has_host = false;

    *r = (struct request){0};
    enum verdict verdict = parse_request_line(r, next_line(&rest));
    if (verdict == VERDICT_OK) {
        verdict = parse_fields(r, rest, &has_host);
    }
    if (verdict != VERDICT_OK) {
        refuse_verdict(c, verdict);
        return false;
    }
    if (!r->http10 && !has_host && r->host[0] == 0) {
        refuse(c, "400 Bad Request: missing required Host header",
               "400 Bad Request: missing required Host header");
        return false;
    }
    if (r->http10 && !r->keep10) {
        r->close = true;
    }
    if (r->chunked) {
        r->has_length = false; /* Go: Transfer-Encoding wins, Content-Length is dropped */
        r->length = 0;
    }
    return true;
}

/* Trailers are not looked at: the body ends at the first empty line. */
static int skip_trailers(struct conn *c, size_t at)
{
    for (;;) {
        const char *stop = memchr(c->in.ptr + at, '\n', c->in.len - at);
        if (stop == NULL) {
            return 0;
        }
        size_t len = (size_t)(stop - c->in.ptr) - at;
        bool empty = len == 0 || (len == 1 && c->in.ptr[at] == '\r');
        at += len + 1;
        if (empty) {
            c->chunk_at = at;
            return 1;
        }
    }
}

/* 1 = whole body decoded, 0 = more bytes needed, -1 = nonsense. */
static int decode_chunks(struct conn *c)
{
    for (;;) {
        const char *line = c->in.ptr + c->chunk_at;
        const char *end = memchr(line, '\n', c->in.len - c->chunk_at);
        if (end == NULL) {
            return c->in.len - c->chunk_at > 4096 ? -1 : 0;
        }
        uint64_t size = 0;
        const char *p = line;
        for (; p < end && hex_digit(*p) >= 0; p++) {
            size = size * 16 + (uint64_t)hex_digit(*p);
            if (size > BODY_MAX) {
                return -1;
            }
        }
        if (p == line || (*p != '\r' && *p != '\n' && *p != ';' && *p != ' ')) {
            return -1;
        }
        size_t at = (size_t)(end + 1 - c->in.ptr);
        if (size == 0) {
            return skip_trailers(c, at);
        }
        if (c->in.len - at < size + 2) {
            return 0;
        }
        sbuf_add(&c->body, c->in.ptr + at, size);
        c->chunk_at = at + size + (c->in.ptr[at + size] == '\r' ? 2 : 1);
    }
}

static bool dispatch(struct conn *c, size_t used)
{
    exchange_keep_raw(c, c->in.ptr, used);
    if (!c->req.chunked) {
        sbuf_add(&c->body, c->in.ptr + c->body_at, used - c->body_at);
    }
    sbuf_consume(&c->in, used);
    c->body_at = 0;
    c->sent_continue = false;
    exchange_run(c);
    return true;
}

/* True when a request was handed on and another one may follow. */
static bool feed_body(struct conn *c)
{
    if (c->req.expect && !c->sent_continue) {
        c->sent_continue = true;
        conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        if (c->state != CONN_READING) {
            return false;
        }
    }
    if (c->req.chunked) {
        int done = decode_chunks(c);
        if (done < 0) {
            refuse_verdict(c, VERDICT_400);
        }
        return done > 0 && dispatch(c, c->chunk_at);
    }
    if (c->req.length > BODY_MAX) {
        refuse(c, "413 Request Entity Too Large", "413 Request Entity Too Large");
        return false;
    }
    size_t whole = c->body_at + (size_t)c->req.length;
    return c->in.len >= whole && dispatch(c, whole);
}

/* Go judges the request line as soon as it is there, before the rest of the head. */
static void judge_partial_head(struct conn *c)
{
    struct request probe = {0};
    struct span rest = {c->in.ptr, c->in.len};

    if (memchr(c->in.ptr, '\n', c->in.len) == NULL) {
        return;
    }
    enum verdict verdict = parse_request_line(&probe, next_line(&rest));
    if (verdict != VERDICT_OK) {
        refuse_verdict(c, verdict);
    }
}

static bool feed_head(struct conn *c)
{
    while (c->in.len > 0 && (c->in.ptr[0] == '\r' || c->in.ptr[0] == '\n')) {
        sbuf_consume(&c->in, 1);
    }
    if (c->in.len == 0) {
        return false;
    }
    size_t head_len = find_head_end(&c->in);
    if (head_len > HEAD_MAX || (head_len == 0 && c->in.len > HEAD_MAX)) {
        refuse(c, "431 Request Header Fields Too Large", "431 Request Header Fields Too Large");
        return false;
    }
    if (head_len == 0) {
        judge_partial_head(c);
        return false;
    }
    if (!parse_head(c, head_len)) {
        return false;
    }
    c->body_at = head_len;
    c->chunk_at = head_len;
    return !exchange_refuse_early(c);
}

void httpin_feed(struct conn *c)
{
    if (c->feeding) {
        return; /* a handler answered at once; the loop below goes on */
    }
    c->feeding = true;
    while (c->state == CONN_READING && c->in.len > 0) {
        if (c->body_at == 0 && !feed_head(c)) {
            break;
        }
        if (!feed_body(c)) {
            break;
        }
    }
    c->feeding = false;
}
