#include "auth/token.h"
#include "fuzz.h"

/* Splitting and header reading; and no signature of random bytes may fit a secret key. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct keyset keys;
    struct arena arena = {0};
    struct token_parts parts;
    struct token_header header;
    struct auth_fault fault;

    if (keys.count == 0) {
        static const char set[] =
            "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"k\",\"k\":"
            "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-"
            "Pw\"}]}";

        MUST_HOLD(keyset_parse_jwks(slice_str(set), "set", &keys, &fault) == CE_OK);
    }
    if (token_split(slice_of((const char *)data, size), &arena, &parts) == CE_OK &&
        token_read_header(parts.header, &arena, &header) == CE_OK) {
        MUST_HOLD(token_check_signature(&parts, &header, &keys) != CE_OK);
    }
    arena_finish(&arena);
    return 0;
}
