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

#endif
