/*
 * Two readers of one head: what corral accepts, llhttp (strict) reads the same way, or refuses for
 * a reason that is named here. Method, target, fields in order, framing and keep-alive are
 * compared.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "http/h1_head.h"
#include "llhttp.h"

enum { TEXT_MAX = 2 * HTTP_MAX_HEAD_BYTES };

/* What llhttp said of a head, in the order it came. */
struct seen {
    llhttp_t parser; /* first: callbacks get it */
    char text[TEXT_MAX];
    size_t len;
    struct {
        size_t at;
        size_t len;
    } parts[2 + 2 * HTTP_MAX_FIELDS]; /* method, target, then name and value of each field */
    size_t count;
    bool open; /* the last part may go on */
    bool complete;
};

static int take(llhttp_t *parser, const char *at, size_t len)
{
    struct seen *s = (struct seen *)parser;

    MUST_HOLD(s->len + len <= sizeof(s->text));
    if (!s->open) {
        MUST_HOLD(s->count < sizeof(s->parts) / sizeof(s->parts[0]));
        s->parts[s->count].at = s->len;
        s->parts[s->count++].len = 0;
        s->open = true;
    }
    memcpy(s->text + s->len, at, len);
    s->len += len;
    s->parts[s->count - 1].len += len;
    return 0;
}

/* A part without a byte has no span: it is there all the same. */
static int close_part(llhttp_t *parser)
{
    struct seen *s = (struct seen *)parser;

    s->open = false;
    return 0;
}

static int close_value(llhttp_t *parser)
{
    struct seen *s = (struct seen *)parser;

    if (s->count % 2 == 1) {
        take(parser, "", 0);
    }
    return close_part(parser);
}

static int end_of_head(llhttp_t *parser)
{
    ((struct seen *)parser)->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_method = take,
    .on_url = take,
    .on_header_field = take,
    .on_header_value = take,
    .on_method_complete = close_part,
    .on_url_complete = close_part,
    .on_header_field_complete = close_part,
    .on_header_value_complete = close_value,
    .on_headers_complete = end_of_head,
};

static struct slice part(const struct seen *s, size_t i)
{
    return slice_of(s->text + s->parts[i].at, s->parts[i].len);
}

/* The target as it stood on the wire. */
static struct slice raw_target(struct slice head, struct slice method)
{
    struct slice rest = slice_of(method.ptr + method.len + 1,
                                 (size_t)(head.ptr + head.len - method.ptr) - method.len - 1);

    return slice_of(rest.ptr, slice_find(rest, ' '));
}

static void compare_fields(const struct http_request *r, const struct seen *s)
{
    MUST_HOLD(s->count == 2 + 2 * r->fields.count);
    for (size_t i = 0; i < r->fields.count; i++) {
        MUST_HOLD(slice_eq(part(s, 2 + 2 * i), r->fields.at[i].name));
        MUST_HOLD(slice_eq(slice_trim(part(s, 3 + 2 * i)), r->fields.at[i].value));
    }
}

static void compare_framing(const struct http_request *r, const struct seen *s)
{
    const llhttp_t *p = &s->parser;
    bool chunked = (p->flags & F_CHUNKED) != 0;
    bool length = (p->flags & F_CONTENT_LENGTH) != 0;

    MUST_HOLD(chunked == (r->framing == HTTP_CHUNKED));
    MUST_HOLD(length == (r->framing == HTTP_LENGTH));
    MUST_HOLD(!length || p->content_length == r->content_length);
    MUST_HOLD(p->http_major == 1 && p->http_minor == r->minor);
    MUST_HOLD(!r->keep_alive || (p->flags & F_CONNECTION_CLOSE) == 0);
}

/*
 * llhttp knows its methods by heart, refuses targets that it would not split, and does not know
 * that a tab may stand behind a length (RFC 9110 section 5.6.3).
 */
static bool may_refuse(const struct seen *s, struct slice head)
{
    llhttp_errno_t why = llhttp_get_errno(&s->parser);
    bool has_tab = slice_find(head, '\t') < head.len;

    return why == HPE_INVALID_METHOD || why == HPE_INVALID_URL || why == HPE_INVALID_CONSTANT ||
           (why == HPE_INVALID_CONTENT_LENGTH && has_tab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen seen;
    struct slice bytes = slice_of((const char *)data, size);
    struct http_request request;
    struct h1_scan scan = {0};
    size_t len = 0;

    if (size == 0 || h1_scan_head(&scan, bytes, &len) != CE_OK ||
        h1_read_request(slice_of(bytes.ptr, len), false, &request) != CE_OK) {
        return 0;
    }
    memset(&seen, 0, sizeof(seen));
    llhttp_init(&seen.parser, HTTP_REQUEST, &settings);
    (void)llhttp_execute(&seen.parser, bytes.ptr, len);
    if (!seen.complete) {
        MUST_HOLD(may_refuse(&seen, slice_of(bytes.ptr, len)));
        return 0;
    }
    MUST_HOLD(seen.count >= 2 && slice_eq(part(&seen, 0), request.method));
    MUST_HOLD(slice_eq(part(&seen, 1), raw_target(slice_of(bytes.ptr, len), request.method)));
    MUST_HOLD(
        slice_ends_with(part(&seen, 1), request.query.len > 0 ? request.query : request.path) ||
        slice_ends_with(part(&seen, 1), SLICE_LITERAL("?")));
    compare_fields(&request, &seen);
    compare_framing(&request, &seen);
    return 0;
}
