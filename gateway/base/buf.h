/**
 * A growing byte buffer with a maximum.
 *
 * Bytes are appended at the end and consumed from the front. A zeroed struct with `max_bytes` set
 * is a valid empty buffer that owns nothing; buf_finish brings it back to that state.
 */
#ifndef CORRAL_BASE_BUF_H
#define CORRAL_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

struct buf {
    char *data; /* owned */
    size_t start;
    size_t len;
    size_t capacity;
    size_t max_bytes;
};

static inline struct buf buf_make(size_t max_bytes)
{
    return (struct buf){.max_bytes = max_bytes};
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data == NULL ? NULL : b->data + b->start, b->len);
}

/** Room for `extra` more bytes behind the end: pointer to it in *out. CE_TOO_LARGE, CE_NO_MEMORY.
 */
MUST_USE enum corral_err buf_reserve(struct buf *b, size_t extra, char **out);

/** Append; on an error (CE_TOO_LARGE, CE_NO_MEMORY) the buffer is as it was. */
MUST_USE enum corral_err buf_append(struct buf *b, struct slice bytes);
MUST_USE enum corral_err buf_append_str(struct buf *b, const char *text);
MUST_USE enum corral_err buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/** Append `bytes` as the inside of a JSON string: escaped, invalid UTF-8 becomes U+FFFD. */
MUST_USE enum corral_err buf_append_json(struct buf *b, struct slice bytes);

/** Drop `count` bytes (<= len) from the front. */
void buf_consume(struct buf *b, size_t count);

/** Keep the memory, drop the bytes. */
void buf_clear(struct buf *b);
void buf_finish(struct buf *b);

#endif
