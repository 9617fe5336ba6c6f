/**
 * Eight bytes of text looked at together.
 *
 * A result has the top bit of each byte set that is meant. Behind the first such byte others may be
 * set wrongly (a borrow goes on); the first never is, and 0 means that there is none.
 */
#ifndef CORRAL_BASE_WORD_H
#define CORRAL_BASE_WORD_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WORD_ONES UINT64_C(0x0101010101010101)
#define WORD_TOPS UINT64_C(0x8080808080808080)

enum { WORD_BYTES = 8 };

/** The eight bytes at `p`, the first one lowest. */
static inline uint64_t word_load(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return le64toh(word);
}

/** Bytes below `bound` (at most 0x80): such a one borrows from its own top bit. */
static inline uint64_t word_below(uint64_t word, unsigned char bound)
{
    return (word - WORD_ONES * bound) & ~word & WORD_TOPS;
}

static inline uint64_t word_equal(uint64_t word, char c)
{
    return word_below(word ^ WORD_ONES * (unsigned char)c, 1);
}

/** ASCII from `low` to `high`; right for every byte, not only the first. */
static inline uint64_t word_between(uint64_t word, char low, char high)
{
    uint64_t ascii = word & ~WORD_TOPS;

    return (ascii + WORD_ONES * (0x80u - (unsigned char)low)) &
           ~(ascii + WORD_ONES * (0x7fu - (unsigned char)high)) & ~word & WORD_TOPS;
}

/** Which byte is the first in a result that is not 0. */
static inline size_t word_first(uint64_t found)
{
    return (size_t)__builtin_ctzll(found) / 8;
}

#endif
