#include "auth/keyset.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keyset keys = {0};
    struct auth_fault fault;

    if (keyset_parse_jwks(slice_of((const char *)data, size), "fuzz", &keys, &fault) == CE_OK) {
        MUST_HOLD(keys.count <= KEYSET_MAX_KEYS);
        keyset_finish(&keys);
    }
    return 0;
}
