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

void h1_write(struct h1_writer *w, struct slice bytes);
void h1_write_str(struct h1_writer *w, const char *text);
void h1_write_u64(struct h1_writer *w, uint64_t value);

/** "Name: value" and CRLF. The value must be free of CR, LF and NUL: asserted. */
void h1_write_field(struct h1_writer *w, const char *name, struct slice value);

void h1_write_status_line(struct h1_writer *w, unsigned status);

enum { H1_CHUNK_HEAD_BYTES = 18 };

/** "1a2b\r\n" for a chunk of `size` bytes. Returns the length written. */
size_t h1_chunk_head(size_t size, char out[static H1_CHUNK_HEAD_BYTES]);

#endif
