/**
 * base64 (RFC 4648 section 4) and base64url without padding (section 5, as RFC 7515 uses it).
 *
 * Decoding is strict: only the alphabet, no white space, no padding in base64url, and the unused
 * bits of the last character must be zero, so that every value has exactly one spelling.
 */
#ifndef CORRAL_BASE_BASE64_H
#define CORRAL_BASE_BASE64_H

#include <stddef.h>

#include "base/slice.h"

#define BASE64URL_LEN(bytes) (((bytes)*4 + 2) / 3)

/** Writes BASE64URL_LEN(len) characters and a NUL to `out`. Returns the characters written. */
size_t base64url_encode(const void *bytes, size_t len, char *out);

/**
 * Decode into `out` (room for text.len * 3 / 4 bytes).
 *
 * @return CE_OK, or CE_NOT_A_NUMBER for anything that is not the one right spelling.
 */
MUST_USE enum corral_err base64url_decode(struct slice text, unsigned char *out, size_t *out_len);

#endif
