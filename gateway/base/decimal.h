/**
 * Numbers as decimal digits, without the cost of printf.
 */
#ifndef CORRAL_BASE_DECIMAL_H
#define CORRAL_BASE_DECIMAL_H

#include <stdint.h>

enum { DECIMAL_BYTES = 20 }; /* of the largest number */

/**
 * Write `value` so that its last digit stands before `end`, with zeros in front up to `width`.
 * Wants room for `width` digits or as many as the number has, whichever is more.
 *
 * @return the first digit; `end` when both value and width are 0.
 */
char *decimal_before(char *end, uint64_t value, unsigned width);

#endif
