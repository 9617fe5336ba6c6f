/**
 * Keys, files, settings and tokens for the tests of auth/. Tokens are made here with OpenSSL alone,
 * so that nothing of auth/ judges its own work.
 */
#ifndef CORRAL_UNIT_AUTH_FIXTURE_H
#define CORRAL_UNIT_AUTH_FIXTURE_H

#include <openssl/evp.h>

#include "auth/impl.h"

#define NOW 1795000000u
#define ISS_MANY "https://many.example"   /* JWKS: kids r1 p1 e1 e3 e5 d1 */
#define ISS_ONE "https://one.example"     /* JWKS with one RSA key "only", without alg */
#define ISS_RSA "https://rsa.example"     /* PEM, any kid */
#define ISS_EC "https://ec.example"       /* PEM, kid must be "named" */
#define ISS_HS "https://hs.example"       /* secret file */
#define ISS_FIXED "https://fixed.example" /* PEM Ed25519, tenant fixed to "beta" */

struct fixture {
    char folder[64];
    EVP_PKEY *rsa;
    EVP_PKEY *p256;
    EVP_PKEY *p384;
    EVP_PKEY *p521;
    EVP_PKEY *ed25519;
    char secret[65];
    struct auth_settings settings;
    struct auth *auth;
};

extern struct fixture fx;

/** Unchecked fixture: keys are made once per program. */
void fixture_setup(void);
void fixture_teardown(void);

/** A path in the fixture's folder; static buffer, good until the eighth call after. */
const char *fx_path(const char *name);
void fx_write(const char *name, const char *text, size_t len);

/** As asprintf; caller frees. */
char *fx_format(const char *pattern, ...) PRINTF_LIKE(1, 2);

/** "-----BEGIN PUBLIC KEY-----…"; caller frees. */
char *fx_pem(EVP_PKEY *key);

/** A JWK text of the public part, with further members ("\"kid\":\"x\""); caller frees. */
char *fx_jwk(EVP_PKEY *key, const char *more);

/** base64url; caller frees. */
char *fx_base64url(const void *bytes, size_t len);

/** One claim that differs from the defaults: raw JSON, or NULL to leave it out. */
struct claim {
    const char *name;
    const char *json;
};

/** Payload of a good token of `issuer` (acme, ada, exp in an hour) but for the changes; freed by
 *  the caller. */
char *fx_payload(const char *issuer, const struct claim *changes, size_t count);

/** Sign header.payload as `alg` says, whatever the header says; caller frees. */
char *fx_sign(const char *header, const char *payload, const char *alg, EVP_PKEY *key);
char *fx_sign_bytes(const void *header, size_t header_len, const void *payload, size_t payload_len,
                    const char *alg, EVP_PKEY *key);
char *fx_sign_hmac(const char *header, const char *payload, const char *alg, const void *secret,
                   size_t secret_len);

/** Bearer `token` to auth_identify with an empty cache at time NOW. */
enum corral_err fx_judge(const char *token);
enum corral_err fx_judge_at(const char *token, uint64_t now_s);

/** As fx_judge, and the principal lies in `arena`. */
enum corral_err fx_identify(const char *token, struct arena *arena, struct principal *out);

/** The field Authorization with exactly this value. */
struct http_fields fx_fields(struct slice value);

/** fx_judge of a token made of these; frees nothing of the caller's. */
enum corral_err fx_judge_signed(const char *header, const char *payload, const char *alg,
                                EVP_PKEY *key);

#endif
