#include "http/h1_head.h"

#include <assert.h>

#include "base/lane.h"
#include "http/request.h"

/* Length of the first line without its CRLF, or SIZE_MAX while it is not complete. */
static size_t first_line_len(struct slice bytes)
{
    size_t lf = slice_find(bytes, '\n');

    return lf == bytes.len || lf == 0 ? SIZE_MAX : lf - 1;
}

/* One empty line before the request line is tolerated: RFC 9112 section 2.2. */
static struct slice skip_empty_line(struct slice bytes)
{
    return bytes.len >= 2 && bytes.ptr[0] == '\r' && bytes.ptr[1] == '\n' ? slice_from(bytes, 2)
                                                                          : bytes;
}

/* What a first line beyond HTTP_MAX_LINE_BYTES is, whole or not: both must look the same outside.
 */
static enum corral_err long_line(struct slice line)
{
    bool has_target =
        slice_find(slice_of(line.ptr, HTTP_MAX_METHOD_BYTES + 1), ' ') <= HTTP_MAX_METHOD_BYTES;

    return has_target ? CE_HTTP_TARGET_TOO_LONG : CE_HTTP_LINE;
}

static enum corral_err check_unfinished(struct slice bytes, const struct h1_scan *scan)
{
    struct slice line = skip_empty_line(bytes);
    size_t may_end = slice_ends_with(bytes, SLICE_LITERAL("\r")) ? 1 : 0;

    if (line.len > HTTP_MAX_LINE_BYTES + may_end && scan->lines == (line.len < bytes.len ? 1 : 0)) {
        return long_line(line);
    }
    return bytes.len > HTTP_MAX_HEAD_BYTES ? CE_HTTP_HEAD_TOO_LARGE : CE_MORE;
}

static lane in_line_end(lane l)
{
    return lane_equal(l, '\r') | lane_equal(l, '\n');
}

static bool is_line_end(unsigned char c)
{
    return c == '\r' || c == '\n';
}

/* The first CR or LF, or the end. */
static size_t line_len(struct slice s)
{
    return lane_find(s, in_line_end, is_line_end);
}

enum corral_err h1_scan_head(struct h1_scan *scan, struct slice bytes, size_t *out_len)
{
    while (scan->scanned < bytes.len) {
        struct slice rest = slice_from(bytes, scan->scanned);
        size_t len = scan->clean + line_len(slice_from(rest, scan->clean));

        scan->clean = (uint32_t)len;
        if (len + 1 >= rest.len && !slice_ends_with(rest, SLICE_LITERAL("\n"))) {
            break;
        }
        if (rest.ptr[len] != '\r' || rest.ptr[len + 1] != '\n') {
            return CE_HTTP_LINE_END;
        }
        scan->scanned += (uint32_t)len + 2;
        scan->clean = 0;
        if (len == 0 && scan->lines > 0) {
            *out_len = scan->scanned;
            return scan->scanned > HTTP_MAX_HEAD_BYTES ? CE_HTTP_HEAD_TOO_LARGE : CE_OK;
        }
        scan->lines++;
    }
    return check_unfinished(bytes, scan);
}

static struct slice take_until(struct slice *rest, char byte)
{
    size_t at = slice_find(*rest, byte);
    struct slice taken = slice_of(rest->ptr, at);

    *rest = slice_from(*rest, at + 1);
    return taken;
}

static enum corral_err read_version(struct slice version, unsigned *out_minor)
{
    if (version.ptr == NULL || version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 ||
        version.ptr[6] != '.') {
        return CE_HTTP_VERSION;
    }
    char major = version.ptr[5];
    char minor = version.ptr[7];

    if (major < '0' || major > '9' || minor < '0' || minor > '9') {
        return CE_HTTP_VERSION;
    }
    if (major != '1' || minor > '1') {
        return CE_HTTP_VERSION_UNKNOWN;
    }
    *out_minor = minor == '1' ? 1 : 0;
    return CE_OK;
}

/* absolute-form: RFC 9112 section 3.2.2. The scheme must be the one the bytes came by. */
static enum corral_err strip_scheme(struct slice *target, bool is_tls, struct slice *out_authority)
{
    struct slice scheme = is_tls ? SLICE_LITERAL("https://") : SLICE_LITERAL("http://");

    if (target->len <= scheme.len || !slice_eq_nocase(slice_of(target->ptr, scheme.len), scheme)) {
        return CE_HTTP_TARGET;
    }
    struct slice rest = slice_from(*target, scheme.len);
    size_t end = slice_find(rest, '/');

    if (end == rest.len) {
        return CE_HTTP_TARGET;
    }
    *out_authority = slice_of(rest.ptr, end);
    *target = slice_from(rest, end);
    return CE_OK;
}

static enum corral_err read_target(struct slice target, bool is_tls, struct http_request *out)
{
    if (target.len == 0) {
        return CE_HTTP_LINE;
    }
    if (!http_target_ok(target)) {
        return CE_HTTP_TARGET;
    }
    if (target.ptr[0] != '/' && !slice_eq_str(target, "*")) {
        enum corral_err err = strip_scheme(&target, is_tls, &out->authority);
        if (err != CE_OK) {
            return err;
        }
    }
    return http_split_target(target, out);
}

static enum corral_err read_request_line(struct slice line, bool is_tls, struct http_request *out)
{
    struct slice rest = line;

    if (line.ptr != NULL && line.len > 0 && !http_is_token_char((unsigned char)line.ptr[0])) {
        return CE_HTTP_LINE; /* also of a line that is not whole: check_first_line */
    }
    if (line.len > HTTP_MAX_LINE_BYTES) {
        return long_line(line);
    }
    out->method = take_until(&rest, ' ');
    if (!http_method_ok(out->method)) {
        return CE_HTTP_METHOD;
    }
    struct slice target = take_until(&rest, ' ');

    if (rest.len == 0) {
        return CE_HTTP_LINE;
    }
    enum corral_err err = read_version(rest, &out->minor);
    if (err != CE_OK) {
        return err;
    }
    if (slice_eq_str(out->method, "CONNECT")) {
        return CE_METHOD_NOT_ALLOWED;
    }
    return read_target(target, is_tls, out);
}

/* CE_OK also while the line is not complete. */
static enum corral_err check_first_line(struct slice bytes)
{
    NOT_ZEROED struct http_request scratch;

    bytes = skip_empty_line(bytes);
    if (bytes.len > 0 && bytes.ptr[0] != '\r' && !http_is_token_char((unsigned char)bytes.ptr[0])) {
        return CE_HTTP_LINE;
    }
    size_t len = first_line_len(bytes);

    if (bytes.ptr == NULL || len == SIZE_MAX) {
        return CE_OK;
    }
    if (bytes.ptr[len] != '\r') {
        return CE_HTTP_LINE_END;
    }
    scratch.method = slice_of(NULL, 0);
    enum corral_err err = read_request_line(slice_of(bytes.ptr, len), false, &scratch);

    /* The scheme of an absolute-form target is judged later, when it is known. */
    return err == CE_HTTP_TARGET ? CE_OK : err;
}

enum corral_err h1_scan_request(struct h1_scan *scan, struct slice bytes, size_t *out_len)
{
    bool in_first_line = scan->lines == 0;
    enum corral_err err = h1_scan_head(scan, bytes, out_len);

    if (err == CE_OK || !in_first_line) {
        return err;
    }
    enum corral_err fault = check_first_line(bytes);

    return fault == CE_OK ? err : fault;
}

/* A line without a good name and its colon. */
static enum corral_err field_fault(struct slice line)
{
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
        return CE_HTTP_FOLD;
    }
    return slice_find(line, ':') == line.len ? CE_HTTP_FIELD : CE_HTTP_FIELD_NAME;
}

/* h1_scan_head saw that every line ends in CR LF and has no other of them. */
static enum corral_err read_fields(struct slice rest, struct http_fields *out)
{
    while (rest.len > 2) {
        size_t colon = http_field_name_len(rest);
        bool plain = rest.ptr[colon] != '_'; /* a line end comes behind it */

        if (!plain) {
            colon = http_token_len(rest);
        }
        size_t len = colon + line_len(slice_of(rest.ptr + colon, rest.len - colon));

        assert(len + 1 < rest.len);
        if (colon == 0 || rest.ptr[colon] != ':') {
            return field_fault(slice_of(rest.ptr, len));
        }
        /* An empty value is a value: its pointer is not NULL. */
        struct slice value = slice_of(rest.ptr + colon + 1, len - colon - 1);
        struct slice name = slice_of(rest.ptr, colon);
        enum corral_err err = plain ? http_fields_put(out, name, slice_trim(value))
                                    : http_fields_add(out, name, slice_trim(value));
        if (err != CE_OK) {
            return err;
        }
        rest = slice_from(rest, len + 2);
    }
    return CE_OK;
}

static enum corral_err coding_fault(struct slice value)
{
    struct slice element;
    size_t chunked_at = 0;
    size_t chunked_times = 0;
    size_t count = 0;

    while (http_list_next(&value, &element)) {
        count++;
        if (!http_is_token(element)) {
            return CE_HTTP_CODING;
        }
        if (slice_eq_nocase(element, SLICE_LITERAL("chunked"))) {
            chunked_at = count;
            chunked_times++;
        }
    }
    bool misplaced = chunked_times > 1 || (chunked_times == 1 && chunked_at != count);

    return misplaced ? CE_HTTP_CODING : CE_HTTP_CODING_UNKNOWN;
}

/* RFC 9112 section 6.3, without its repairs. */
static enum corral_err read_framing(const struct http_fields *f, unsigned minor,
                                    enum http_framing *out, uint64_t *out_length)
{
    if (f->times[HF_TRANSFER_ENCODING] > 0) {
        struct slice coding = http_field_value(f, HF_TRANSFER_ENCODING);

        if (f->times[HF_CONTENT_LENGTH] > 0) {
            return CE_HTTP_LENGTH_AND_CODING;
        }
        if (f->times[HF_TRANSFER_ENCODING] > 1 || minor == 0) {
            return CE_HTTP_CODING;
        }
        *out = HTTP_CHUNKED;
        return slice_eq_nocase(coding, SLICE_LITERAL("chunked")) ? CE_OK : coding_fault(coding);
    }
    *out = HTTP_NO_BODY;
    *out_length = 0;
    if (f->times[HF_CONTENT_LENGTH] == 0) {
        return CE_OK;
    }
    *out = HTTP_LENGTH;
    return http_read_length(f, out_length);
}

static enum corral_err check_host(struct http_request *r)
{
    struct slice host = http_field_value(&r->fields, HF_HOST);

    if (r->fields.times[HF_HOST] != 1) {
        return CE_HTTP_HOST;
    }
    if (r->authority.ptr != NULL && !slice_eq_nocase(r->authority, host)) {
        return CE_HTTP_HOST;
    }
    r->authority = host;
    return http_check_authority(host);
}

static bool connection_says(const struct http_fields *f, const char *token)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->times[HF_CONNECTION] > 0 &&
            slice_eq_nocase(f->at[i].name, SLICE_LITERAL("connection")) &&
            http_list_has(f->at[i].value, token)) {
            return true;
        }
    }
    return false;
}

/* Everything but the Host. */
static enum corral_err read_request(struct slice head, bool is_tls, struct http_request *out)
{
    head = skip_empty_line(head);
    size_t len = first_line_len(head);

    assert(len != SIZE_MAX);
    memset(out, 0, offsetof(struct http_request, fields) + offsetof(struct http_fields, at));
    enum corral_err err = read_request_line(slice_of(head.ptr, len), is_tls, out);
    if (err == CE_OK) {
        err = read_fields(slice_from(head, len + 2), &out->fields);
    }
    if (err == CE_OK) {
        err = read_framing(&out->fields, out->minor, &out->framing, &out->content_length);
    }
    out->keep_alive = out->minor == 1 && !connection_says(&out->fields, "close");
    return err;
}

enum corral_err h1_read_request(struct slice head, bool is_tls, struct http_request *out)
{
    enum corral_err err = read_request(head, is_tls, out);

    if (err == CE_OK) {
        err = check_host(out);
    }
    return err == CE_OK ? http_check_body_rules(out) : err;
}

enum corral_err h1_read_probe(struct slice head, struct http_request *out)
{
    enum corral_err err = read_request(head, false, out);
    size_t hosts = out->fields.times[HF_HOST];
    bool lacks_host = hosts == 0 ? out->minor == 0
                                 : hosts == 1 && http_field_value(&out->fields, HF_HOST).len == 0;

    if (err == CE_OK && !lacks_host) {
        err = check_host(out);
    }
    return err == CE_OK ? http_check_body_rules(out) : err;
}

static enum corral_err read_status_line(struct slice line, unsigned *out_status)
{
    uint64_t status;

    if (line.len < 12 || memcmp(line.ptr, "HTTP/1.1 ", 9) != 0 ||
        (line.len > 12 && line.ptr[12] != ' ') ||
        slice_parse_u64(slice_of(line.ptr + 9, 3), &status) != CE_OK || status < 100 ||
        status > 599) {
        return CE_HTTP_STATUS_LINE;
    }
    for (size_t i = 12; i < line.len; i++) {
        if ((unsigned char)line.ptr[i] < 0x20 && line.ptr[i] != '\t') {
            return CE_HTTP_STATUS_LINE;
        }
    }
    *out_status = (unsigned)status;
    return CE_OK;
}

enum corral_err h1_read_response(struct slice head, struct http_response_head *out)
{
    size_t len = first_line_len(head);

    assert(len != SIZE_MAX);
    memset(out, 0, offsetof(struct http_response_head, fields) + offsetof(struct http_fields, at));
    enum corral_err err = read_status_line(slice_of(head.ptr, len), &out->status);
    if (err == CE_OK) {
        err = read_fields(slice_from(head, len + 2), &out->fields);
    }
    if (err == CE_OK) {
        err = read_framing(&out->fields, 1, &out->framing, &out->content_length);
    }
    if (err != CE_OK) {
        return err;
    }
    bool bodyless = out->status < 200 || out->status == 204 || out->status == 304;

    if (bodyless) {
        out->framing = HTTP_NO_BODY;
    } else if (out->framing == HTTP_NO_BODY) {
        return CE_HTTP_LENGTH_REQUIRED;
    }
    out->keep_alive = !connection_says(&out->fields, "close");
    return CE_OK;
}

struct slice h1_peek_target(struct slice head)
{
    enum { MAX_BYTES = 256 };
    struct slice line = slice_of(head.ptr, slice_find(head, '\r'));
    struct slice target = slice_from(line, slice_find(line, ' ') + 1);
    size_t len = slice_find(target, ' ');

    return slice_of(target.ptr, len < MAX_BYTES ? len : MAX_BYTES);
}
