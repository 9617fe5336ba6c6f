#include "http/message.h"

#include "base/lane.h"

enum { KNOWN_SLOTS = 32 };

/* By slot_of: no two of these names share one. */
static const struct known {
    const char *name;
    uint8_t len;
    uint8_t id;
} known[KNOWN_SLOTS] = {
    [0] = {"host", 4, HF_HOST},
    [6] = {"accept", 6, HF_ACCEPT},
    [9] = {"content-encoding", 16, HF_CONTENT_ENCODING},
    [11] = {"authorization", 13, HF_AUTHORIZATION},
    [14] = {"transfer-encoding", 17, HF_TRANSFER_ENCODING},
    [15] = {"content-type", 12, HF_CONTENT_TYPE},
    [16] = {"connection", 10, HF_CONNECTION},
    [17] = {"tracestate", 10, HF_TRACESTATE},
    [18] = {"content-length", 14, HF_CONTENT_LENGTH},
    [22] = {"expect", 6, HF_EXPECT},
    [23] = {"traceparent", 11, HF_TRACEPARENT},
    [24] = {"x-request-id", 12, HF_X_REQUEST_ID},
    [25] = {"retry-after", 11, HF_RETRY_AFTER},
    [26] = {"user-agent", 10, HF_USER_AGENT},
    [29] = {"cache-control", 13, HF_CACHE_CONTROL},
};

/* 1: token character; 2: and not '_'. Indexed by byte. */
static const uint8_t token_table[256] = {
    ['!'] = 3, ['#'] = 3, ['$'] = 3, ['%'] = 3, ['&'] = 3, ['\''] = 3, ['*'] = 3, ['+'] = 3,
    ['-'] = 3, ['.'] = 3, ['^'] = 3, ['`'] = 3, ['|'] = 3, ['~'] = 3,  ['_'] = 1, ['0'] = 3,
    ['1'] = 3, ['2'] = 3, ['3'] = 3, ['4'] = 3, ['5'] = 3, ['6'] = 3,  ['7'] = 3, ['8'] = 3,
    ['9'] = 3, ['A'] = 3, ['B'] = 3, ['C'] = 3, ['D'] = 3, ['E'] = 3,  ['F'] = 3, ['G'] = 3,
    ['H'] = 3, ['I'] = 3, ['J'] = 3, ['K'] = 3, ['L'] = 3, ['M'] = 3,  ['N'] = 3, ['O'] = 3,
    ['P'] = 3, ['Q'] = 3, ['R'] = 3, ['S'] = 3, ['T'] = 3, ['U'] = 3,  ['V'] = 3, ['W'] = 3,
    ['X'] = 3, ['Y'] = 3, ['Z'] = 3, ['a'] = 3, ['b'] = 3, ['c'] = 3,  ['d'] = 3, ['e'] = 3,
    ['f'] = 3, ['g'] = 3, ['h'] = 3, ['i'] = 3, ['j'] = 3, ['k'] = 3,  ['l'] = 3, ['m'] = 3,
    ['n'] = 3, ['o'] = 3, ['p'] = 3, ['q'] = 3, ['r'] = 3, ['s'] = 3,  ['t'] = 3, ['u'] = 3,
    ['v'] = 3, ['w'] = 3, ['x'] = 3, ['y'] = 3, ['z'] = 3,
};

bool http_is_token_char(unsigned char c)
{
    return (token_table[c] & 1) != 0;
}

bool http_is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!http_is_token_char((unsigned char)s.ptr[i])) {
            return false;
        }
    }
    return s.len > 0;
}

/* The case of letters is one bit: set in both, the name of either case has the same slot. */
static size_t slot_of(struct slice name)
{
    size_t first = (unsigned char)name.ptr[0] | 0x20u;
    size_t last = (unsigned char)name.ptr[name.len - 1] | 0x20u;

    return (name.len + 4 * first + 11 * last) % KNOWN_SLOTS;
}

enum http_field_id http_field_lookup(struct slice name)
{
    const struct known *k = &known[slot_of(name)];

    return k->len == name.len && slice_eq_nocase(name, slice_of(k->name, k->len))
               ? (enum http_field_id)k->id
               : HF_OTHER;
}

struct slice http_field_value(const struct http_fields *f, enum http_field_id id)
{
    return f->first[id] == 0 ? slice_of(NULL, 0) : f->at[f->first[id] - 1].value;
}

size_t http_field_name_len(struct slice s)
{
    size_t i = 0;

    while (i < s.len && (token_table[(unsigned char)s.ptr[i]] & 2) != 0) {
        i++;
    }
    return i;
}

static lane not_in_values(lane l)
{
    return (lane_below(l, 0x20) & ~lane_equal(l, '\t')) | lane_equal(l, 0x7f);
}

enum corral_err http_fields_put(struct http_fields *f, struct slice name, struct slice value)
{
    if (lane_any_of(value, not_in_values)) {
        return CE_HTTP_FIELD_VALUE;
    }
    if (name.len > HTTP_MAX_NAME_BYTES || value.len > HTTP_MAX_VALUE_BYTES) {
        return CE_HTTP_HEAD_TOO_LARGE;
    }
    if (f->count == HTTP_MAX_FIELDS) {
        return CE_HTTP_TOO_MANY_FIELDS;
    }
    enum http_field_id id = http_field_lookup(name);

    f->at[f->count++] = (struct http_field){name, value};
    f->times[id]++;
    if (f->first[id] == 0) {
        f->first[id] = (uint8_t)f->count;
    }
    return CE_OK;
}

size_t http_token_len(struct slice s)
{
    size_t i = 0;

    while (i < s.len && http_is_token_char((unsigned char)s.ptr[i])) {
        i++;
    }
    return i;
}

/* Where a body ends and what it is; who sends it. Only names with a '-' can be meant. */
static bool is_of_framing_or_identity(struct slice name)
{
    static const struct slice names[] = {
        SLICE_LITERAL("content-length"),   SLICE_LITERAL("transfer-encoding"),
        SLICE_LITERAL("content-encoding"), SLICE_LITERAL("content-type"),
        SLICE_LITERAL("keep-alive"),       SLICE_LITERAL("proxy-connection"),
        SLICE_LITERAL("x-api-key"),        SLICE_LITERAL("proxy-authorization"),
        SLICE_LITERAL("x-real-ip"),        SLICE_LITERAL("true-client-ip"),
        SLICE_LITERAL("remote-user"),      SLICE_LITERAL("x-remote-user"),
    };
    static const struct slice families[] = {
        SLICE_LITERAL("x-corral-"), SLICE_LITERAL("x-forwarded-"), SLICE_LITERAL("x-openwebui-"),
        SLICE_LITERAL("x-client-"), SLICE_LITERAL("x-auth-"),
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq(name, names[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        if (slice_starts_with(name, families[i])) {
            return true;
        }
    }
    return false;
}

/* A name with '_', read by somebody who maps that to '-'. */
static bool is_alias(struct slice name)
{
    NOT_ZEROED char folded[HTTP_MAX_NAME_BYTES];

    if (name.len > sizeof(folded)) {
        return false; /* too long anyway */
    }
    for (size_t i = 0; i < name.len; i++) {
        folded[i] = name.ptr[i] == '_' ? '-' : ascii_lower(name.ptr[i]);
    }
    return is_of_framing_or_identity(slice_of(folded, name.len));
}

enum corral_err http_fields_add(struct http_fields *f, struct slice name, struct slice value)
{
    if (!http_is_token(name)) {
        return CE_HTTP_FIELD_NAME;
    }
    if (http_field_name_len(name) != name.len && is_alias(name)) {
        f->alias = name;
        return CE_HTTP_FIELD_ALIAS;
    }
    return http_fields_put(f, name, value);
}

bool http_list_next(struct slice *rest, struct slice *out_element)
{
    if (rest->ptr == NULL) {
        return false;
    }
    size_t comma = slice_find(*rest, ',');

    *out_element = slice_trim(slice_of(rest->ptr, comma));
    *rest = comma == rest->len ? slice_of(NULL, 0)
                               : slice_of(rest->ptr + comma + 1, rest->len - comma - 1);
    return true;
}

bool http_list_has(struct slice list, const char *token)
{
    struct slice element;

    while (http_list_next(&list, &element)) {
        if (slice_eq_nocase(element, slice_str(token))) {
            return true;
        }
    }
    return false;
}

const char *http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].reason;
        }
    }
    return "Unknown";
}
