#include <stdlib.h>

#include "base/mem.h"
#include "http/h2_impl.h"
#include "http/request.h"

enum {
    FIELD_OVERHEAD_BYTES = 32, /* RFC 9113 section 6.5.2 */
    BOMB_FACTOR = 4,           /* times the limits of a head: no more of it is decoded */
};

struct h2_head *h2_head_take(struct h2_room *room)
{
    struct h2_head *head = room->heads;

    if (head != NULL) {
        room->heads = head->next;
    } else {
        head = xcalloc(1, sizeof(*head));
    }
    head->next = NULL;
    memset(&head->request, 0,
           offsetof(struct http_request, fields) + offsetof(struct http_fields, at));
    head->request.minor = 1;
    head->request.keep_alive = true;
    head->scheme = slice_of(NULL, 0);
    head->fault = CE_OK;
    head->decoded = 0;
    head->fields = 0;
    head->seen = 0;
    head->is_trailer = false;
    head->len = 0;
    return head;
}

void h2_head_give(struct h2_room *room, struct h2_head *head)
{
    if (head != NULL) {
        head->next = room->heads;
        room->heads = head;
    }
}

static struct slice keep(struct h2_head *head, struct slice bytes)
{
    char *at = head->bytes + head->len;

    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    head->len += bytes.len;
    return slice_of(at, bytes.len);
}

/* Each of them comes once, before all other fields: h2_message.c. */
static enum corral_err add_pseudo(struct h2_head *head, struct slice name, struct slice value)
{
    static const struct {
        const char *name;
        size_t in_request; /* offset of the slice */
    } known[] = {
        {":method", offsetof(struct http_request, method)},
        {":path", offsetof(struct http_request, path)},
        {":authority", offsetof(struct http_request, authority)},
    };

    if (slice_eq_str(name, ":scheme")) {
        head->scheme = keep(head, value);
        return CE_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_eq_str(name, known[i].name)) {
            *(struct slice *)((char *)&head->request + known[i].in_request) = keep(head, value);
            return CE_OK;
        }
    }
    return CE_HTTP_FIELD_NAME;
}

enum corral_err h2_head_add(struct h2_head *head, struct slice name, struct slice value)
{
    head->decoded += name.len + value.len + FIELD_OVERHEAD_BYTES;
    head->fields++;
    if (head->decoded > (uint64_t)BOMB_FACTOR * HTTP_MAX_HEAD_BYTES ||
        head->fields > BOMB_FACTOR * HTTP_MAX_FIELDS) {
        return CE_H2_HEAD;
    }
    if (head->fault != CE_OK) {
        return CE_OK;
    }
    if (head->decoded > HTTP_MAX_HEAD_BYTES) {
        head->fault = CE_HTTP_HEAD_TOO_LARGE;
    } else if (name.len > 0 && name.ptr[0] == ':') {
        head->fault = add_pseudo(head, name, value);
    } else {
        struct slice kept_name = keep(head, name);

        head->fault = http_fields_add(&head->request.fields, kept_name, keep(head, value));
    }
    return CE_OK;
}

/* Behind a balancer that ends TLS the scheme may be either; over our own TLS only one is true. */
static bool scheme_ok(struct slice scheme, bool is_tls)
{
    return slice_eq_str(scheme, "https") || (!is_tls && slice_eq_str(scheme, "http"));
}

static enum corral_err check_target(struct http_request *r)
{
    struct slice target = r->path;

    if (target.len == 0 || !http_target_ok(target)) {
        return CE_HTTP_TARGET;
    }
    if (target.len > HTTP_MAX_LINE_BYTES) {
        return CE_HTTP_TARGET_TOO_LONG;
    }
    return http_split_target(target, r);
}

/* RFC 9113 section 8.3.1: :authority, or Host, or both alike. */
static enum corral_err check_authority(struct http_request *r)
{
    struct slice host = http_field_value(&r->fields, HF_HOST);

    if (r->fields.times[HF_HOST] > 1) {
        return CE_HTTP_HOST;
    }
    if (r->authority.ptr == NULL) {
        r->authority = host;
    } else if (host.ptr != NULL && !slice_eq_nocase(r->authority, host)) {
        return CE_HTTP_HOST;
    }
    return http_check_authority(r->authority);
}

static enum corral_err check_framing(struct http_request *r, bool ended)
{
    const struct http_fields *f = &r->fields;

    if (f->times[HF_TRANSFER_ENCODING] > 0 || f->times[HF_CONNECTION] > 0) {
        return CE_HTTP_FIELD;
    }
    r->framing = ended ? HTTP_NO_BODY : HTTP_CHUNKED;
    if (f->times[HF_CONTENT_LENGTH] == 0) {
        return CE_OK;
    }
    r->framing = HTTP_LENGTH;
    return http_read_length(f, &r->content_length);
}

enum corral_err h2_head_finish(struct h2_head *head, bool is_tls, bool ended)
{
    struct http_request *r = &head->request;

    if (head->fault != CE_OK) {
        return head->fault;
    }
    if (!http_method_ok(r->method)) {
        return CE_HTTP_METHOD;
    }
    if (slice_eq_str(r->method, "CONNECT")) {
        return CE_METHOD_NOT_ALLOWED;
    }
    if (!scheme_ok(head->scheme, is_tls)) {
        return CE_HTTP_SCHEME;
    }
    enum corral_err err = check_target(r);
    if (err == CE_OK) {
        err = check_authority(r);
    }
    if (err == CE_OK) {
        err = check_framing(r, ended);
    }
    return err == CE_OK ? http_check_body_rules(r) : err;
}
