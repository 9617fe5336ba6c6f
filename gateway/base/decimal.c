#include "base/decimal.h"

#include <string.h>

/* Two digits for each division. */
static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

char *decimal_before(char *end, uint64_t value, unsigned width)
{
    char *at = end;

    while (value >= 10) {
        at -= 2;
        memcpy(at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value > 0) {
        *--at = (char)('0' + value);
    }
    while ((size_t)(end - at) < width) {
        *--at = '0';
    }
    return at;
}
