/**
 * Writing HTTP/1.1 heads and chunk frames into memory of the caller.
 */
#ifndef CORRAL_HTTP_H1_WRITE_H
#define CORRAL_HTTP_H1_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/** A text that grows in a fixed room; once it did not fit, `overflow` stays true. */
struct h1_writer {
    char *data; /* borrowed */
    size_t len;
    size_t capacity;
    bool overflow;
};

/** Room for `len` bytes at the end, which are to be filled; NULL: overflow. */
static inline char *h1_write_room(struct h1_writer *w, size_t len)
{
    char *at = w->data + w->len;

    if (UNLIKELY(w->overflow || len > w->capacity - w->len)) {
        w->overflow = true;
        return NULL;
    }
    w->len += len;
    return at;
}

static inline void h1_write(struct h1_writer *w, struct slice bytes)
{
    char *at = h1_write_room(w, bytes.len);

    if (at != NULL && bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
}

/** A literal, or a text that ends in NUL. */
static inline void h1_write_str(struct h1_writer *w, const char *text)
{
    h1_write(w, slice_str(text));
}

void h1_write_u64(struct h1_writer *w, uint64_t value);

/** "Name: value" and CRLF. The value must be free of CR, LF and NUL: asserted. */
void h1_write_field(struct h1_writer *w, struct slice name, struct slice value);

void h1_write_status_line(struct h1_writer *w, unsigned status);

enum { H1_CHUNK_HEAD_BYTES = 18 };

/** "1a2b\r\n" for a chunk of `size` bytes. Returns the length written. */
size_t h1_chunk_head(size_t size, char out[static H1_CHUNK_HEAD_BYTES]);

#endif
