/**
 * Numbers as decimal digits, without the cost of printf.
 */
#ifndef CORRAL_BASE_DECIMAL_H
#define CORRAL_BASE_DECIMAL_H

#include <stdint.h>

enum { DECIMAL_BYTES = 20 }; /* of the largest number */

/** Write `value` so that its last digit stands before `end`. Returns the first digit. */
char *decimal_before(char *end, uint64_t value);

/** Write the last `width` digits of `value`, with zeros in front. */
void decimal_fixed(char *out, uint64_t value, unsigned width);

#endif
