/**
 * Signatures of JWS (RFC 7515, RFC 7518, RFC 8037): one key, one algorithm, nothing to choose from.
 *
 * A key is bound to its algorithm when it is loaded and is checked then, once: size, exponent,
 * curve, point. Whoever verifies compares the token's `alg` with the key's before calling; nothing
 * here reads a token. Keys are immutable after loading and may be used by all threads.
 */
#ifndef CORRAL_AUTH_SIG_H
#define CORRAL_AUTH_SIG_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/types.h>

#include "base/slice.h"

enum sig_alg {
    SIG_HS256,
    SIG_HS384,
    SIG_HS512,
    SIG_RS256,
    SIG_RS384,
    SIG_RS512,
    SIG_PS256,
    SIG_PS384,
    SIG_PS512,
    SIG_ES256,
    SIG_ES384,
    SIG_ES512,
    SIG_EDDSA,
    SIG_ALG_COUNT
};

enum { SIG_RSA_MIN_BITS = 2048, SIG_RSA_MAX_BITS = 8192 };

struct sig_key {
    char *kid; /* owned; "" when the key has none */
    enum sig_alg alg;
    EVP_PKEY *pkey;        /* owned; NULL for HS */
    BIGNUM *order;         /* owned; of the curve, for ES */
    unsigned char *secret; /* owned, wiped; for HS */
    size_t secret_len;
};

/** "RS256"; static text. */
const char *sig_alg_name(enum sig_alg alg);

/** Exact case. @return CE_OK or CE_AUTH_ALG. */
MUST_USE enum corral_err sig_alg_parse(struct slice name, enum sig_alg *out);

/** HS256, HS384, HS512. */
bool sig_alg_is_hmac(enum sig_alg alg);

/** What a key without an `alg` is for: RS256, ES256/384/512 by curve, EdDSA. CE_AUTH_ALG: none. */
MUST_USE enum corral_err sig_alg_of_pkey(const EVP_PKEY *pkey, enum sig_alg *out);

/** Why this key may not be used with this algorithm: a sentence, or NULL when it may. */
const char *sig_pkey_fault(EVP_PKEY *pkey, enum sig_alg alg);

/** Why this secret may not be used (RFC 7518 section 3.2), or NULL when it may. */
const char *sig_secret_fault(struct slice secret, enum sig_alg alg);

/**
 * Make a key. `kid` is copied, `pkey` referenced, `secret` copied.
 *
 * @param out_why [out] on failure: a sentence for the operator; static text.
 * @return CE_OK or CE_KEYS.
 */
MUST_USE enum corral_err sig_key_init_pkey(struct sig_key *k, EVP_PKEY *pkey, enum sig_alg alg,
                                           struct slice kid, const char **out_why);
MUST_USE enum corral_err sig_key_init_secret(struct sig_key *k, struct slice secret,
                                             enum sig_alg alg, struct slice kid,
                                             const char **out_why);
void sig_key_finish(struct sig_key *k);

/** Whether `sig` is the key's signature of `input`. Leaves OpenSSL's error queue empty. */
bool sig_key_verify(const struct sig_key *k, struct slice input, struct slice sig);

#endif
