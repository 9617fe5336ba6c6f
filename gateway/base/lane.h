/**
 * Sixteen bytes of text looked at together: what the compiler's vectors do in one instruction each.
 *
 * A result has every bit set in the bytes that are meant and none in the others. word.h is the same
 * for eight bytes, where fewer are at hand.
 */
#ifndef CORRAL_BASE_LANE_H
#define CORRAL_BASE_LANE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/slice.h"

enum { LANE_BYTES = 16 };

typedef uint8_t lane VECTOR(LANE_BYTES);
typedef uint64_t lane_halves VECTOR(LANE_BYTES);

/** The sixteen bytes at `p`. */
static inline lane lane_load(const char *p)
{
    lane l;

    memcpy(&l, p, sizeof(l));
    return l;
}

/**
 * A lane of all the bytes at `p`, 1 to 15 of them, some more than once: for questions whether there
 * is any such byte.
 */
static inline lane lane_cover(const char *p, size_t len)
{
    uint64_t low;
    uint64_t high;

    if (len >= 8) {
        memcpy(&low, p, 8);
        memcpy(&high, p + len - 8, 8);
    } else if (len >= 4) {
        uint32_t first;
        uint32_t last;

        memcpy(&first, p, 4);
        memcpy(&last, p + len - 4, 4);
        low = (uint64_t)last << 32 | first;
        high = low;
    } else {
        uint64_t three = (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[len / 2] << 8 |
                         (uint64_t)(unsigned char)p[len - 1] << 16;

        low = three | three << 24 | three << 48;
        high = low;
    }
    return (lane)(lane_halves){low, high};
}

static inline lane lane_equal(lane l, char c)
{
    return (lane)(l == (uint8_t)c);
}

/** Bytes below `bound`, as unsigned numbers. */
static inline lane lane_below(lane l, uint8_t bound)
{
    return (lane)(l < bound);
}

/** Bytes of 0x80 and above: no ASCII. */
static inline lane lane_high(lane l)
{
    return (lane)(l >= (uint8_t)0x80);
}

static inline bool lane_any(lane found)
{
    lane_halves halves = (lane_halves)found;

    return (halves[0] | halves[1]) != 0;
}

/** Which byte is the first in a result of which lane_any is true. */
static inline size_t lane_first(lane found)
{
    lane_halves halves = (lane_halves)found;
    bool low = halves[0] != 0;

    return (low ? 0 : 8u) + (size_t)__builtin_ctzll(le64toh(low ? halves[0] : halves[1])) / 8;
}

/**
 * Whether a text has any byte that `meant` finds in a lane; inlined with it. Lanes may overlap at
 * the end.
 */
static inline bool lane_any_of(struct slice s, lane (*meant)(lane))
{
    if (s.len < LANE_BYTES) {
        return s.len > 0 && lane_any(meant(lane_cover(s.ptr, s.len)));
    }
    for (size_t at = 0; at + LANE_BYTES < s.len; at += LANE_BYTES) {
        if (lane_any(meant(lane_load(s.ptr + at)))) {
            return true;
        }
    }
    return lane_any(meant(lane_load(s.ptr + s.len - LANE_BYTES)));
}

/** The place of the first such byte, or s.len. `one` asks the same of a single byte. */
static inline size_t lane_find(struct slice s, lane (*meant)(lane), bool (*one)(unsigned char))
{
    size_t at = 0;

    while (s.len - at >= LANE_BYTES) {
        lane found = meant(lane_load(s.ptr + at));

        if (lane_any(found)) {
            return at + lane_first(found);
        }
        at += LANE_BYTES;
    }
    while (at < s.len && !one((unsigned char)s.ptr[at])) {
        at++;
    }
    return at;
}

#endif
