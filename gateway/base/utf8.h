/**
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef CORRAL_BASE_UTF8_H
#define CORRAL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/** Bytes of the character that `s` begins with (1 to 4), or 0 when it is not valid or cut off. */
size_t utf8_char_len(struct slice s);

bool utf8_valid(struct slice s);

/**
 * Whether a character steers what prints it, or is not to be seen: controls (C0, DEL, C1), line and
 * paragraph separators, and format characters (Unicode's category Cf: bidirectional overrides,
 * zero-width characters, tags).
 *
 * @param c  one valid character, as long as utf8_char_len says.
 */
bool utf8_is_hidden(struct slice c);

enum { UTF8_ESCAPE_BYTES = 12 };

/** Write a valid character as JSON escapes it, \uXXXX or two of them. @return the bytes written. */
size_t utf8_escape(struct slice c, char out[static UTF8_ESCAPE_BYTES]);

#endif
