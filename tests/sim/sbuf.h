/**
 * sbuf.h: growing bytes. Memory running out ends the process: this is a test tool.
 */
#ifndef SIM_SBUF_H
#define SIM_SBUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sbuf {
    char *ptr; /* owned */
    size_t len;
    size_t cap;
};

void *sim_calloc(size_t count, size_t size);
void sbuf_finish(struct sbuf *b);
void sbuf_reserve(struct sbuf *b, size_t more);

/** Drop the first `n` bytes; memory of an emptied buffer is given back. */
void sbuf_consume(struct sbuf *b, size_t n);
void sbuf_u64(struct sbuf *b, uint64_t value);
void sbuf_printf(struct sbuf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A JSON string with its quotes, escaped the way Go's encoding/json does. */
void sbuf_json(struct sbuf *b, const char *text, size_t len);
void sbuf_json_str(struct sbuf *b, const char *text);

static inline void sbuf_add(struct sbuf *b, const void *ptr, size_t len)
{
    if (b->cap - b->len < len) {
        sbuf_reserve(b, len);
    }
    if (len > 0) {
        memcpy(b->ptr + b->len, ptr, len);
    }
    b->len += len;
}

static inline void sbuf_str(struct sbuf *b, const char *text)
{
    sbuf_add(b, text, strlen(text));
}

static inline void sbuf_buf(struct sbuf *b, const struct sbuf *other)
{
    sbuf_add(b, other->ptr, other->len);
}

#endif
