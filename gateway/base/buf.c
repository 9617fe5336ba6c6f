#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

enum { FIRST_CAPACITY = 256 };

static void compact(struct buf *b)
{
    if (b->start > 0) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
    }
}

enum corral_err buf_reserve(struct buf *b, size_t extra, char **out)
{
    if (extra > b->max_bytes || b->len > b->max_bytes - extra) {
        return CE_TOO_LARGE;
    }
    if (b->data == NULL || b->capacity - b->start - b->len < extra) {
        size_t need = b->len + extra;

        if (b->data != NULL && b->capacity >= need && b->start >= b->capacity / 2) {
            compact(b);
        } else {
            size_t next = b->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : b->capacity * 2;

            next = next < need ? need : next;
            next = next > b->max_bytes ? b->max_bytes : next;
            if (b->data != NULL) {
                compact(b);
            }
            char *data = realloc(b->data, next);

            if (data == NULL) {
                return CE_NO_MEMORY;
            }
            b->data = data;
            b->capacity = next;
        }
    }
    *out = b->data + b->start + b->len;
    return CE_OK;
}

enum corral_err buf_append(struct buf *b, struct slice bytes)
{
    char *room;

    if (bytes.len == 0) {
        return CE_OK;
    }
    enum corral_err err = buf_reserve(b, bytes.len, &room);
    if (err == CE_OK) {
        memcpy(room, bytes.ptr, bytes.len);
        b->len += bytes.len;
    }
    return err;
}

enum corral_err buf_append_str(struct buf *b, const char *text)
{
    return buf_append(b, slice_str(text));
}

enum corral_err buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    char *room;

    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(need >= 0);
    enum corral_err err = buf_reserve(b, (size_t)need + 1, &room);
    if (err != CE_OK) {
        return err;
    }
    va_start(args, format);
    vsnprintf(room, (size_t)need + 1, format, args);
    va_end(args);
    b->len += (size_t)need;
    return CE_OK;
}

static enum corral_err append_escape(struct buf *b, unsigned char c)
{
    switch (c) {
    case '"':
        return buf_append_str(b, "\\\"");
    case '\\':
        return buf_append_str(b, "\\\\");
    case '\n':
        return buf_append_str(b, "\\n");
    case '\r':
        return buf_append_str(b, "\\r");
    case '\t':
        return buf_append_str(b, "\\t");
    default:
        return buf_printf(b, "\\u%04x", c);
    }
}

enum corral_err buf_append_json(struct buf *b, struct slice bytes)
{
    enum corral_err err = CE_OK;
    size_t plain = 0;
    size_t i = 0;

    while (i < bytes.len && err == CE_OK) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        size_t width = utf8_char_len(slice_from(bytes, i));
        bool as_is = width > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;

        if (as_is) {
            i += width;
            continue;
        }
        err = buf_append(b, slice_of(bytes.ptr + plain, i - plain));
        if (err == CE_OK) {
            err = width == 0 ? buf_append_str(b, "\\ufffd") : append_escape(b, c);
        }
        plain = ++i;
    }
    return err == CE_OK ? buf_append(b, slice_from(bytes, plain)) : err;
}

void buf_consume(struct buf *b, size_t count)
{
    assert(count <= b->len);
    b->start += count;
    b->len -= count;
    if (b->len == 0) {
        b->start = 0;
    }
}

void buf_clear(struct buf *b)
{
    b->start = 0;
    b->len = 0;
}

void buf_finish(struct buf *b)
{
    free(b->data);
    *b = buf_make(b->max_bytes);
}
