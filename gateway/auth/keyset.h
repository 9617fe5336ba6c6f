/**
 * The keys of one issuer, read from one file: a JWKS (*.json, RFC 7517), one PEM public key or
 * certificate (*.pem), or a shared secret (anything else).
 *
 * A set is taken whole or refused whole: a key that cannot be trusted is an operator's mistake to
 * be told about, not a key to be left out. Only keys for other uses than signatures are skipped.
 */
#ifndef CORRAL_AUTH_KEYSET_H
#define CORRAL_AUTH_KEYSET_H

#include "auth/auth.h"
#include "auth/sig.h"

enum { KEYSET_MAX_FILE_BYTES = 65536, KEYSET_MAX_KEYS = 64, KEYSET_MAX_KID_BYTES = 256 };

/** How a token's `kid` finds a key. */
enum keyset_match {
    KEYSET_BY_KID,   /* equal; a token without one only if the set has a single key */
    KEYSET_KID_MUST, /* equal; a token must have one */
    KEYSET_ANY_KID,  /* a single key, whatever the token says */
};

struct keyset {
    struct sig_key *keys; /* owned */
    size_t count;
    size_t capacity;
    enum keyset_match match;
};

/** Read the issuer's keys_file. @return CE_OK or CE_KEYS with the fault filled. */
MUST_USE enum corral_err keyset_read(const struct issuer_settings *issuer, struct keyset *out,
                                     struct auth_fault *out_fault);

/** Read a JWKS text; `name` stands for it in the fault. */
MUST_USE enum corral_err keyset_parse_jwks(struct slice text, const char *name, struct keyset *out,
                                           struct auth_fault *out_fault);
void keyset_finish(struct keyset *s);

/** The secret in a secret file: all its bytes but one newline at the end, which editors add. */
struct slice keyset_secret_of(struct slice file);

/** @param kid  ptr NULL: the token has none. @return NULL when no key, or no single key, fits. */
const struct sig_key *keyset_find(const struct keyset *s, struct slice kid);

#endif
