/**
 * Decoder of the chunked transfer coding (RFC 9112 section 7.1), strict and incremental.
 *
 * Chunk sizes are 1 to 8 hex digits; lines end in CRLF only; extensions are checked, counted and
 * dropped (at most 256 bytes a chunk, 4 KiB a body); trailers are checked and dropped (at most
 * 4 KiB).
 */
#ifndef CORRAL_HTTP_H1_CHUNKED_H
#define CORRAL_HTTP_H1_CHUNKED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    H1_MAX_CHUNK_EXTENSION_BYTES = 256,
    H1_MAX_BODY_EXTENSION_BYTES = 4096,
    H1_MAX_TRAILER_BYTES = 4096,
};

/** Zeroed before the first byte of a body. */
struct h1_chunked {
    uint8_t state;
    uint8_t digits;
    bool done; /* the whole body, trailers included, has been read */
    bool in_quotes;
    bool escaped;
    bool has_colon;       /* of the trailer line being read */
    uint32_t left;        /* bytes of the current chunk's data still to come */
    uint32_t chunk_extra; /* extension bytes of this chunk */
    uint32_t body_extra;  /* extension bytes of this body */
    uint32_t trailer_bytes;
    uint32_t line_bytes; /* of the trailer line being read */
};

/**
 * Decode from the front of *rest until a piece of data, the end of the body or the end of the
 * input is met. *rest moves on.
 *
 * @param out_data [out] borrowed from the input; empty when there was none.
 * @return CE_OK, CE_HTTP_CHUNK or CE_HTTP_TRAILER. Call again while *rest is not empty and
 *         !c->done.
 */
MUST_USE enum corral_err h1_chunked_next(struct h1_chunked *c, struct slice *rest,
                                         struct slice *out_data);

#endif
