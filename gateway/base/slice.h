/**
 * Bytes that somebody else owns: a pointer and a length, not NUL-terminated.
 *
 * Everything that comes from outside is handled as a slice. It is valid as long as the buffer or
 * arena it points into; parsers say until when. Print with "%.*s" and SLICE_ARG.
 */
#ifndef CORRAL_BASE_SLICE_H
#define CORRAL_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"

struct slice {
    const char *ptr; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

/** The bytes of a C string; NULL gives the empty slice. */
static inline struct slice slice_str(const char *text)
{
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || (a.ptr != NULL && memcmp(a.ptr, b.ptr, a.len) == 0));
}

static inline bool slice_eq_str(struct slice a, const char *text)
{
    return slice_eq(a, slice_str(text));
}

/** Bytes from `from` to the end; `from` past the end gives the empty slice. */
static inline struct slice slice_from(struct slice s, size_t from)
{
    return from >= s.len ? (struct slice){NULL, 0} : (struct slice){s.ptr + from, s.len - from};
}

/** Equal when ASCII letters are compared without case. Other bytes compare as they are. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);

/** Position of the first `byte`, or s.len. */
size_t slice_find(struct slice s, char byte);

/** Without spaces and tabs (RFC 9110 OWS) at both ends. */
struct slice slice_trim(struct slice s);

/**
 * Decimal digits only, nothing else, no sign.
 *
 * @return CE_OK; CE_NOT_A_NUMBER when empty or another byte is met; CE_OVERFLOW above 2^64-1.
 */
MUST_USE enum corral_err slice_parse_u64(struct slice s, uint64_t *out);

static inline bool ascii_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/** The value of a hexadecimal digit in either case, or -1. */
static inline int ascii_hex(char c)
{
    char lower = ascii_lower(c);

    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
