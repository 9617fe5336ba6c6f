#include "http/h1_write.h"

#include <assert.h>

#include "base/decimal.h"
#include "base/word.h"
#include "http/message.h"

void h1_write(struct h1_writer *w, struct slice bytes)
{
    if (w->overflow || bytes.len > w->capacity - w->len) {
        w->overflow = true;
        return;
    }
    if (bytes.len > 0) {
        memcpy(w->data + w->len, bytes.ptr, bytes.len);
        w->len += bytes.len;
    }
}

void h1_write_str(struct h1_writer *w, const char *text)
{
    h1_write(w, slice_str(text));
}

void h1_write_u64(struct h1_writer *w, uint64_t value)
{
    char room[DECIMAL_BYTES];
    const char *digits = decimal_before(room + sizeof(room), value);

    h1_write(w, slice_of(digits, (size_t)(room + sizeof(room) - digits)));
}

static bool breaks_line(char c)
{
    return c == '\r' || c == '\n' || c == '\0';
}

static bool one_line(struct slice value)
{
    size_t i = 0;

    while (value.len - i >= WORD_BYTES && word_below(word_load(value.ptr + i), 0x20) == 0) {
        i += WORD_BYTES;
    }
    while (i < value.len && !breaks_line(value.ptr[i])) {
        i++;
    }
    return i == value.len;
}

void h1_write_field(struct h1_writer *w, const char *name, struct slice value)
{
    size_t name_len = strlen(name);

    assert(one_line(value));
    if (w->overflow || name_len + value.len + 4 > w->capacity - w->len) {
        w->overflow = true;
        return;
    }
    char *at = w->data + w->len;

    memcpy(at, name, name_len);
    memcpy(at + name_len, ": ", 2);
    at += name_len + 2;
    if (value.len > 0) {
        memcpy(at, value.ptr, value.len);
    }
    memcpy(at + value.len, "\r\n", 2);
    w->len += name_len + value.len + 4;
}

void h1_write_status_line(struct h1_writer *w, unsigned status)
{
    h1_write(w, SLICE_LITERAL("HTTP/1.1 "));
    h1_write_u64(w, status);
    h1_write(w, SLICE_LITERAL(" "));
    h1_write_str(w, http_reason(status));
    h1_write(w, SLICE_LITERAL("\r\n"));
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
