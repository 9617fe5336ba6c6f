/* A set of keys: finding one, freeing all. Reading is keyset_read.c's and jwks.c's. */
#include "auth/keyset.h"

#include <stdlib.h>

void keyset_finish(struct keyset *s)
{
    for (size_t i = 0; i < s->count; i++) {
        sig_key_finish(&s->keys[i]);
    }
    free(s->keys);
    *s = (struct keyset){0};
}

const struct sig_key *keyset_find(const struct keyset *s, struct slice kid)
{
    if (s->match == KEYSET_ANY_KID || (kid.ptr == NULL && s->match == KEYSET_BY_KID)) {
        return s->count == 1 ? &s->keys[0] : NULL;
    }
    for (size_t i = 0; kid.len > 0 && i < s->count; i++) {
        if (slice_eq_str(kid, s->keys[i].kid)) {
            return &s->keys[i];
        }
    }
    return NULL;
}
