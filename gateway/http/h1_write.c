#include "http/h1_write.h"

#include <assert.h>

#include "base/decimal.h"
#include "base/lane.h"
#include "http/message.h"

void h1_write_u64(struct h1_writer *w, uint64_t value)
{
    char room[DECIMAL_BYTES];
    size_t len = (size_t)(decimal_put(room, value) - room);

    h1_write(w, slice_of(room, len));
}

/* Also tabs and other controls: to be looked at one by one. */
static lane may_break_line(lane l)
{
    return lane_below(l, 0x20);
}

static bool one_line(struct slice value)
{
    if (!lane_any_of(value, may_break_line)) {
        return true;
    }
    return memchr(value.ptr, '\r', value.len) == NULL &&
           memchr(value.ptr, '\n', value.len) == NULL && memchr(value.ptr, '\0', value.len) == NULL;
}

void h1_write_field(struct h1_writer *w, struct slice name, struct slice value)
{
    char *at = h1_write_room(w, name.len + value.len + 4);

    assert(one_line(value));
    if (at == NULL) {
        return;
    }
    memcpy(at, name.ptr, name.len);
    at += name.len;
    memcpy(at, ": ", 2);
    at += 2;
    if (value.len > 0) {
        memcpy(at, value.ptr, value.len);
    }
    memcpy(at + value.len, "\r\n", 2);
}

void h1_write_status_line(struct h1_writer *w, unsigned status)
{
    if (LIKELY(status == 200)) {
        h1_write_str(w, "HTTP/1.1 200 OK\r\n");
        return;
    }
    h1_write_str(w, "HTTP/1.1 ");
    h1_write_u64(w, status);
    h1_write_str(w, " ");
    h1_write_str(w, http_reason(status));
    h1_write_str(w, "\r\n");
}

size_t h1_chunk_head(size_t size, char out[static H1_CHUNK_HEAD_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 1;

    for (size_t rest = size >> 4; rest > 0; rest >>= 4) {
        digits++;
    }
    for (size_t i = digits; i > 0; i--) {
        out[i - 1] = hex[size & 0xf];
        size >>= 4;
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
