/**
 * Making what others verify: tokens (with libjwt, EdDSA with OpenSSL) and the keys to sign them
 * with. For the command line and for tests; nothing here is reached by a request.
 */
#ifndef CORRAL_AUTH_MINT_H
#define CORRAL_AUTH_MINT_H

#include "auth/auth.h"
#include "base/buf.h"

enum { MINT_PATH_BYTES = 4096 };

/** What a token shall say; NULL or an empty list leaves a claim out. All borrowed. */
struct mint_request {
    const char *algorithm; /* HS256, RS256, ES256 or EdDSA */
    const char *key_file;  /* a PEM private key, or for HS256 a secret */
    const char *kid;
    const char *issuer;
    const char *audience;
    const char *tenant;
    const char *user;
    const struct slice *verbs;
    size_t verb_count;
    const struct slice *models;
    size_t model_count;
    uint64_t now_s; /* iat; seconds since 1970 */
    uint64_t lifetime_s;
};

/**
 * Sign a token.
 *
 * @param out_token [out] appended to; the caller wipes it.
 * @return CE_OK, or CE_KEYS with the fault filled.
 */
MUST_USE enum corral_err mint_token(const struct mint_request *r, struct buf *out_token,
                                    struct auth_fault *out_fault);

/** Files that keygen_write made; an empty text where there is none. */
struct keygen_files {
    char private_path[MINT_PATH_BYTES]; /* mode 0600: PREFIX-private.pem, or PREFIX.secret */
    char public_path[MINT_PATH_BYTES];  /* PREFIX-public.pem */
};

/**
 * Make a key pair (RS256: 3072 bits, ES256, EdDSA) or a secret (HS256). Never overwrites.
 *
 * @return CE_OK, or CE_KEYS with the fault filled.
 */
MUST_USE enum corral_err keygen_write(const char *algorithm, const char *prefix,
                                      struct keygen_files *out, struct auth_fault *out_fault);

#endif
