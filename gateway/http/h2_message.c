/*
 * What makes a message malformed (RFC 9113 sections 8.1.1, 8.2 and 8.3): the stream is then reset.
 * nghttp2 can check this too, but its versions take different things (1.64 resets for user
 * information in :authority, 1.52 does not), and a rule of ours answers with a 400. So nghttp2's
 * checks are off, and these decide. Called by h2_session.c, on the connection's worker.
 */
#include "http/h2_impl.h"

enum {
    SEEN_METHOD = 1u << 0,
    SEEN_SCHEME = 1u << 1,
    SEEN_PATH = 1u << 2,
    SEEN_AUTHORITY = 1u << 3,
    SEEN_HOST = 1u << 4,
    SEEN_FIELD = 1u << 5, /* any that is no pseudo-header field: none of those may follow it */
};

/* Once, and not empty. */
static bool note_once(struct h2_head *head, uint8_t bit, struct slice value)
{
    if ((head->seen & bit) != 0 || slice_trim(value).len == 0) {
        return false;
    }
    head->seen |= bit;
    return true;
}

static bool pseudo_ok(struct h2_head *head, struct slice name, struct slice value)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } known[] = {
        {":method", SEEN_METHOD},
        {":scheme", SEEN_SCHEME},
        {":path", SEEN_PATH},
        {":authority", SEEN_AUTHORITY},
    };

    if (head->is_trailer || (head->seen & SEEN_FIELD) != 0) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_eq_str(name, known[i].name)) {
            return note_once(head, known[i].bit, value);
        }
    }
    return false;
}

/* Section 8.2.2: fields of a connection. */
static bool is_of_connection(struct slice name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_str(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool h2_message_field_ok(struct h2_head *head, struct slice name, struct slice value)
{
    if (nghttp2_check_header_name((const uint8_t *)name.ptr, name.len) == 0) {
        return false;
    }
    if (name.ptr[0] == ':') {
        return pseudo_ok(head, name, value);
    }
    head->seen |= SEEN_FIELD;
    if (nghttp2_check_header_value_rfc9113((const uint8_t *)value.ptr, value.len) == 0) {
        return false;
    }
    if (slice_eq_str(name, "te")) {
        return slice_eq_nocase(value, SLICE_LITERAL("trailers"));
    }
    if (slice_eq_str(name, "host")) {
        return note_once(head, SEEN_HOST, value);
    }
    return !is_of_connection(name);
}

bool h2_message_head_ok(const struct h2_head *head)
{
    const unsigned target = SEEN_SCHEME | SEEN_PATH;

    if ((head->seen & SEEN_METHOD) == 0) {
        return false;
    }
    if (slice_eq_str(head->request.method, "CONNECT")) {
        return (head->seen & target) == 0 && (head->seen & SEEN_AUTHORITY) != 0;
    }
    return (head->seen & target) == target && (head->seen & (SEEN_AUTHORITY | SEEN_HOST)) != 0;
}
