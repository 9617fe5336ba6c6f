#include "base/slice.h"

#include "base/word.h"

/* They may differ in the bit that makes a capital, where letters stand. */
static bool same_word(const char *a, const char *b)
{
    uint64_t word = word_load(a);
    uint64_t differs = word ^ word_load(b);
    uint64_t letters = word_between(word | WORD_ONES * 0x20, 'a', 'z');

    return (differs & ~(WORD_ONES * 0x20)) == 0 && (differs << 2 & ~letters) == 0;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    if (a.len >= WORD_BYTES) {
        size_t last = a.len - WORD_BYTES; /* overlaps the one before, but ends where they end */

        for (size_t i = 0; i < last; i += WORD_BYTES) {
            if (!same_word(a.ptr + i, b.ptr + i)) {
                return false;
            }
        }
        return same_word(a.ptr + last, b.ptr + last);
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_of(s.ptr, prefix.len), prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
           slice_eq(slice_of(s.ptr + (s.len - suffix.len), suffix.len), suffix);
}

size_t slice_find(struct slice s, char byte)
{
    const char *hit = s.len == 0 ? NULL : memchr(s.ptr, byte, s.len);

    return hit == NULL ? s.len : (size_t)(hit - s.ptr);
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

enum corral_err slice_parse_u64(struct slice s, uint64_t *out)
{
    uint64_t value = 0;

    if (s.len == 0) {
        return CE_NOT_A_NUMBER;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return CE_NOT_A_NUMBER;
        }
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value)) {
            return CE_OVERFLOW;
        }
    }
    *out = value;
    return CE_OK;
}
