#include "base/base64.h"

static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int letter_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return -1;
}

static int url_value(char c)
{
    if (c == '-') {
        return 62;
    }
    return c == '_' ? 63 : letter_value(c);
}

size_t base64url_encode(const void *bytes, size_t len, char *out)
{
    const unsigned char *in = bytes;
    size_t n = 0;
    unsigned bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            out[n++] = url_alphabet[bits >> held & 63u];
        }
    }
    if (held > 0) {
        out[n++] = url_alphabet[bits << (6 - held) & 63u];
    }
    out[n] = '\0';
    return n;
}

enum corral_err base64url_decode(struct slice text, unsigned char *out, size_t *out_len)
{
    size_t n = 0;
    unsigned bits = 0;
    unsigned held = 0;

    if (text.len % 4 == 1) {
        return CE_NOT_A_NUMBER;
    }
    for (size_t i = 0; i < text.len; i++) {
        int value = url_value(text.ptr[i]);

        if (value < 0) {
            return CE_NOT_A_NUMBER;
        }
        bits = (bits << 6 | (unsigned)value) & 0xffffu;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held & 0xffu);
        }
    }
    if ((bits & ((1u << held) - 1u)) != 0) {
        return CE_NOT_A_NUMBER;
    }
    *out_len = n;
    return CE_OK;
}
