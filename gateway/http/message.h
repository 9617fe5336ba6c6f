/**
 * One HTTP message head, whichever protocol carried it. HTTP/1.1 and HTTP/2 codecs fill
 * `struct http_request`; from there on nobody knows which one it was.
 *
 * All slices are borrowed from the bytes the codec was given; whoever keeps a head longer than
 * those bytes copies what it needs.
 */
#ifndef CORRAL_HTTP_MESSAGE_H
#define CORRAL_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    HTTP_MAX_FIELDS = 64,        /* 431 above it */
    HTTP_MAX_HEAD_BYTES = 16384, /* request line and fields; 431 above it */
    HTTP_MAX_LINE_BYTES = 8192,  /* request line; 414 above it */
    HTTP_MAX_QUERY_BYTES = 2048, /* 414 above it */
    HTTP_MAX_NAME_BYTES = 64,    /* field name */
    HTTP_MAX_VALUE_BYTES = 8192, /* field value */
    HTTP_MAX_METHOD_BYTES = 16,
};

/** Fields that corral reads itself; all others are HF_OTHER. */
enum http_field_id {
    HF_OTHER,
    HF_ACCEPT,
    HF_AUTHORIZATION,
    HF_CACHE_CONTROL,
    HF_CONNECTION,
    HF_CONTENT_ENCODING,
    HF_CONTENT_LENGTH,
    HF_CONTENT_TYPE,
    HF_EXPECT,
    HF_HOST,
    HF_RETRY_AFTER,
    HF_TRACEPARENT,
    HF_TRACESTATE,
    HF_TRANSFER_ENCODING,
    HF_USER_AGENT,
    HF_X_REQUEST_ID,
    HF_COUNT
};

struct http_field {
    struct slice name;
    struct slice value; /* without OWS around it */
};

/** The fields of one head in wire order, and where each known one stands. */
struct http_fields {
    size_t count;
    uint8_t first[HF_COUNT]; /* index + 1 of the first field of that id; 0: absent */
    uint8_t times[HF_COUNT]; /* how often it occurs */
    struct slice alias;      /* the name that CE_HTTP_FIELD_ALIAS is about */
    struct http_field at[HTTP_MAX_FIELDS];
};

enum http_framing {
    HTTP_NO_BODY,
    HTTP_LENGTH,
    HTTP_CHUNKED, /* HTTP/2: length not announced */
};

struct http_request {
    struct slice method;
    struct slice path;      /* origin-form path, not decoded; "*" only for OPTIONS */
    struct slice query;     /* without '?'; checked, never forwarded */
    struct slice authority; /* Host or :authority, with port if it has one */
    unsigned minor;         /* of HTTP/1.x: 0 or 1 */
    bool keep_alive;
    bool expect_continue;
    enum http_framing framing;
    uint64_t content_length; /* bytes, with HTTP_LENGTH */
    struct http_fields fields;
};

struct http_response_head {
    unsigned status;
    bool keep_alive;
    enum http_framing framing;
    uint64_t content_length;
    struct http_fields fields;
};

/** `name` is not empty. */
enum http_field_id http_field_lookup(struct slice name);

/** Value of the first field of that id, or the empty slice with ptr NULL when absent. */
struct slice http_field_value(const struct http_fields *f, enum http_field_id id);

/**
 * Add one field after the checks of RFC 9110 section 5: token name of at most HTTP_MAX_NAME_BYTES;
 * value of VCHAR, SP, HTAB and obs-text. A name with '_' is unknown here, but others read '-' in
 * its place, as CGI does: one that would be about framing or identity then is refused.
 *
 * @return CE_OK, CE_HTTP_FIELD_NAME, CE_HTTP_FIELD_ALIAS (f->alias), CE_HTTP_FIELD_VALUE,
 *         CE_HTTP_TOO_MANY_FIELDS, CE_HTTP_HEAD_TOO_LARGE (name or value over its own limit).
 */
MUST_USE enum corral_err http_fields_add(struct http_fields *f, struct slice name,
                                         struct slice value);

/** How many bytes from the front may be of a field's name without '_', as most are. */
size_t http_field_name_len(struct slice s);

/** The same for any name. */
size_t http_token_len(struct slice s);

/** http_fields_add with a name that is not empty and that http_field_name_len has measured. */
MUST_USE enum corral_err http_fields_put(struct http_fields *f, struct slice name,
                                         struct slice value);

/** RFC 9110 section 5.6.2 token characters. */
bool http_is_token_char(unsigned char c);
bool http_is_token(struct slice s);

/** Walk a comma list (RFC 9110 section 5.6.1): takes the next element, trimmed. False at the end.
 */
bool http_list_next(struct slice *rest, struct slice *out_element);

/** Whether a comma list has this token, in any letter case. */
bool http_list_has(struct slice list, const char *token);

/** The reason phrase of a status code; "Unknown" for others. */
const char *http_reason(unsigned status);

#endif
