#include "base/decimal.h"

/* Two digits for each division. */
const char decimal_pairs[200] =
    "00010203040506070809101112131415161718192021222324252627282930313233"
    "34353637383940414243444546474849505152535455565758596061626364656667"
    "6869707172737475767778798081828384858687888990919293949596979899";

char *decimal_before(char *end, uint64_t value)
{
    char *at = end;

    while (value >= 100) {
        at -= 2;
        decimal_pair(at, (unsigned)(value % 100));
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        decimal_pair(at, (unsigned)value);
        return at;
    }
    *--at = (char)('0' + value);
    return at;
}

static size_t digits_of(uint64_t value)
{
    static const uint64_t powers[DECIMAL_BYTES] = {
        UINT64_C(0),
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    size_t digits = 1;

    while (digits < DECIMAL_BYTES && value >= powers[digits]) {
        digits++;
    }
    return digits;
}

char *decimal_put(char *at, uint64_t value)
{
    char *end = at + digits_of(value);

    decimal_before(end, value);
    return end;
}

void decimal_fixed(char *out, uint64_t value, unsigned width)
{
    for (; width >= 2; width -= 2) {
        decimal_pair(out + width - 2, (unsigned)(value % 100));
        value /= 100;
    }
    if (width == 1) {
        *out = (char)('0' + value % 10);
    }
}
