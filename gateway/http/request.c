#include "http/request.h"

#include "base/lane.h"
#include "http/authority.h"

bool http_method_ok(struct slice method)
{
    return http_is_token(method) && method.len <= HTTP_MAX_METHOD_BYTES;
}

/* Visible ASCII, and no fragment. */
static lane not_in_targets(lane l)
{
    return lane_below(l, 0x21) | lane_equal(l, '#') | lane_equal(l, 0x7f) | lane_high(l);
}

bool http_target_ok(struct slice target)
{
    return !lane_any_of(target, not_in_targets);
}

static bool hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

static bool query_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && c != '#' && c != '"' && c != '<' && c != '>' && c != '\\' &&
           c != '^' && c != '`' && c != '{' && c != '|' && c != '}';
}

static bool query_ok(struct slice query)
{
    for (size_t i = 0; i < query.len; i++) {
        if (!query_char((unsigned char)query.ptr[i])) {
            return false;
        }
        if (query.ptr[i] == '%' &&
            (i + 2 >= query.len || !hex_digit(query.ptr[i + 1]) || !hex_digit(query.ptr[i + 2]))) {
            return false;
        }
    }
    return true;
}

enum corral_err http_split_target(struct slice target, struct http_request *out)
{
    if (slice_eq_str(target, "*") && slice_eq_str(out->method, "OPTIONS")) {
        out->path = target;
        return CE_OK;
    }
    if (target.ptr[0] != '/') {
        return CE_HTTP_TARGET;
    }
    size_t question = slice_find(target, '?');

    out->path = slice_of(target.ptr, question);
    out->query = slice_from(target, question + 1);
    if (out->query.len > HTTP_MAX_QUERY_BYTES) {
        return CE_HTTP_TARGET_TOO_LONG;
    }
    return query_ok(out->query) ? CE_OK : CE_HTTP_TARGET;
}

enum corral_err http_read_length(const struct http_fields *f, uint64_t *out)
{
    uint64_t length;

    if (f->times[HF_CONTENT_LENGTH] > 1 ||
        slice_parse_u64(http_field_value(f, HF_CONTENT_LENGTH), &length) != CE_OK ||
        length > INT64_MAX) {
        return CE_HTTP_LENGTH;
    }
    *out = length;
    return CE_OK;
}

enum corral_err http_check_authority(struct slice authority)
{
    struct http_authority parsed;

    return http_authority_parse(authority, &parsed);
}

static enum corral_err check_expect(struct http_request *r)
{
    struct slice expect = http_field_value(&r->fields, HF_EXPECT);

    if (expect.ptr == NULL || r->minor == 0) {
        return CE_OK;
    }
    if (r->fields.times[HF_EXPECT] > 1 || !slice_eq_nocase(expect, SLICE_LITERAL("100-continue"))) {
        return CE_HTTP_EXPECT;
    }
    r->expect_continue =
        r->framing == HTTP_CHUNKED || (r->framing == HTTP_LENGTH && r->content_length > 0);
    return CE_OK;
}

enum corral_err http_check_body_rules(struct http_request *r)
{
    bool is_read = slice_eq_str(r->method, "GET") || slice_eq_str(r->method, "HEAD");
    enum corral_err err = check_expect(r);

    if (err != CE_OK) {
        return err;
    }
    return is_read && (r->framing == HTTP_CHUNKED || r->content_length > 0)
               ? CE_HTTP_BODY_UNEXPECTED
               : CE_OK;
}
