#include "base/utf8.h"

static bool in_range(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

/* Table 3-7 of the Unicode Standard: the second byte's range depends on the first. */
static bool second_ok(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return in_range(second, 0xa0, 0xbf);
    case 0xed:
        return in_range(second, 0x80, 0x9f);
    case 0xf0:
        return in_range(second, 0x90, 0xbf);
    case 0xf4:
        return in_range(second, 0x80, 0x8f);
    default:
        return in_range(second, 0x80, 0xbf);
    }
}

size_t utf8_char_len(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t width;

    if (s.len == 0) {
        return 0;
    }
    if (p[0] < 0x80) {
        return 1;
    }
    if (in_range(p[0], 0xc2, 0xdf)) {
        width = 2;
    } else if (in_range(p[0], 0xe0, 0xef)) {
        width = 3;
    } else if (in_range(p[0], 0xf0, 0xf4)) {
        width = 4;
    } else {
        return 0;
    }
    if (s.len < width || !second_ok(p[0], p[1])) {
        return 0;
    }
    for (size_t i = 2; i < width; i++) {
        if (!in_range(p[i], 0x80, 0xbf)) {
            return 0;
        }
    }
    return width;
}

bool utf8_valid(struct slice s)
{
    size_t i = 0;

    while (i < s.len) {
        size_t width = utf8_char_len(slice_from(s, i));

        if (width == 0) {
            return false;
        }
        i += width;
    }
    return true;
}
