#include "base/utf8.h"

#include "base/attr.h"

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

static uint32_t code_point(struct slice c)
{
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t point = (unsigned char)c.ptr[0] & first_bits[c.len];

    for (size_t i = 1; i < c.len; i++) {
        point = point << 6 | ((unsigned char)c.ptr[i] & 0x3f);
    }
    return point;
}

bool utf8_is_hidden(struct slice c)
{
    /* Cc, Cf, Zl and Zp of Unicode 15. */
    static const uint32_t ranges[][2] = {
        {0x0000, 0x001f},   {0x007f, 0x009f},   {0x00ad, 0x00ad},   {0x0600, 0x0605},
        {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x070f, 0x070f},   {0x0890, 0x0891},
        {0x08e2, 0x08e2},   {0x180e, 0x180e},   {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f},   {0xfeff, 0xfeff},   {0xfff9, 0xfffb},   {0x110bd, 0x110bd},
        {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
        {0xe0001, 0xe0001}, {0xe0020, 0xe007f},
    };
    uint32_t point = code_point(c);

    for (size_t i = 0; i < ARRAY_LEN(ranges) && point >= ranges[i][0]; i++) {
        if (point <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

static size_t put_unit(uint32_t unit, char *out)
{
    static const char digits[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = 'u';
    for (unsigned i = 0; i < 4; i++) {
        out[2 + i] = digits[unit >> (12 - 4 * i) & 0xf];
    }
    return 6;
}

size_t utf8_escape(struct slice c, char out[static UTF8_ESCAPE_BYTES])
{
    uint32_t point = code_point(c);

    if (point < 0x10000) {
        return put_unit(point, out);
    }
    point -= 0x10000;
    return put_unit(0xd800 | point >> 10, out) + put_unit(0xdc00 | (point & 0x3ff), out + 6);
}
