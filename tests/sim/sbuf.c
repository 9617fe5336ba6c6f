#include "sbuf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void *sim_calloc(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p == NULL) {
        fputs("ollama-sim: out of memory\n", stderr);
        exit(70);
    }
    return p;
}

void sbuf_finish(struct sbuf *b)
{
    free(b->ptr);
    *b = (struct sbuf){0};
}

void sbuf_reserve(struct sbuf *b, size_t more)
{
    size_t cap = b->cap > 0 ? b->cap : 256;

    while (cap - b->len < more) {
        cap *= 2;
    }
    if (cap == b->cap) {
        return;
    }
    char *ptr = realloc(b->ptr, cap);
    if (ptr == NULL) {
        fputs("ollama-sim: out of memory\n", stderr);
        exit(70);
    }
    b->ptr = ptr;
    b->cap = cap;
}

void sbuf_consume(struct sbuf *b, size_t n)
{
    if (n >= b->len) {
        sbuf_finish(b);
        return;
    }
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

void sbuf_u64(struct sbuf *b, uint64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    sbuf_add(b, digits + at, sizeof(digits) - at);
}

void sbuf_printf(struct sbuf *b, const char *format, ...)
{
    va_list args;

    assert(format != NULL);
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) {
        return;
    }
    sbuf_reserve(b, (size_t)need + 1);
    va_start(args, format);
    vsnprintf(b->ptr + b->len, (size_t)need + 1, format, args);
    va_end(args);
    b->len += (size_t)need;
}

/* Go escapes these five by name or as \u00xx: quote, backslash, controls, and < > & for HTML. */
static void add_escaped(struct sbuf *b, unsigned char ch)
{
    static const char hex[] = "0123456789abcdef";

    switch (ch) {
    case '"':
    case '\\':
        sbuf_add(b, (const char[]){'\\', (char)ch}, 2);
        break;
    case '\n':
        sbuf_add(b, "\\n", 2);
        break;
    case '\r':
        sbuf_add(b, "\\r", 2);
        break;
    case '\t':
        sbuf_add(b, "\\t", 2);
        break;
    case '\b':
        sbuf_add(b, "\\b", 2);
        break;
    case '\f':
        sbuf_add(b, "\\f", 2);
        break;
    default:
        sbuf_add(b, "\\u00", 4);
        sbuf_add(b, (const char[]){hex[ch >> 4], hex[ch & 15]}, 2);
        break;
    }
}

void sbuf_json(struct sbuf *b, const char *text, size_t len)
{
    size_t done = 0;

    sbuf_add(b, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char ch = (unsigned char)text[i];
        if (ch < 0x20 || ch == '"' || ch == '\\' || ch == '<' || ch == '>' || ch == '&') {
            sbuf_add(b, text + done, i - done);
            add_escaped(b, ch);
            done = i + 1;
        }
    }
    sbuf_add(b, text + done, len - done);
    sbuf_add(b, "\"", 1);
}

void sbuf_json_str(struct sbuf *b, const char *text)
{
    sbuf_json(b, text, strlen(text));
}
