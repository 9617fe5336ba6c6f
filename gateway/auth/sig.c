#include "auth/sig.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#include "base/mem.h"

enum family { FAMILY_HMAC, FAMILY_RSA, FAMILY_PSS, FAMILY_ECDSA, FAMILY_ED25519 };
enum { ED25519_KEY_BYTES = 32, RSA_EXPONENT_MAX_BITS = 64 };

struct sig_spec {
    const char *name;
    enum family family;
    const EVP_MD *(*digest)(void);
    size_t bytes; /* HS: least secret; ES: r and s each; EdDSA: the signature */
    int curve;    /* NID, for ES */
};

static const struct sig_spec specs[SIG_ALG_COUNT] = {
    [SIG_HS256] = {"HS256", FAMILY_HMAC, EVP_sha256, 32, 0},
    [SIG_HS384] = {"HS384", FAMILY_HMAC, EVP_sha384, 48, 0},
    [SIG_HS512] = {"HS512", FAMILY_HMAC, EVP_sha512, 64, 0},
    [SIG_RS256] = {"RS256", FAMILY_RSA, EVP_sha256, 0, 0},
    [SIG_RS384] = {"RS384", FAMILY_RSA, EVP_sha384, 0, 0},
    [SIG_RS512] = {"RS512", FAMILY_RSA, EVP_sha512, 0, 0},
    [SIG_PS256] = {"PS256", FAMILY_PSS, EVP_sha256, 0, 0},
    [SIG_PS384] = {"PS384", FAMILY_PSS, EVP_sha384, 0, 0},
    [SIG_PS512] = {"PS512", FAMILY_PSS, EVP_sha512, 0, 0},
    [SIG_ES256] = {"ES256", FAMILY_ECDSA, EVP_sha256, 32, NID_X9_62_prime256v1},
    [SIG_ES384] = {"ES384", FAMILY_ECDSA, EVP_sha384, 48, NID_secp384r1},
    [SIG_ES512] = {"ES512", FAMILY_ECDSA, EVP_sha512, 66, NID_secp521r1},
    [SIG_EDDSA] = {"EdDSA", FAMILY_ED25519, NULL, 64, 0},
};

/*
 * The y coordinates of all points of order 1, 2, 4 and 8, canonical and not (the sign bit is left
 * out). OpenSSL takes such a key, and then one signature fits many messages.
 */
static const unsigned char small_order[][ED25519_KEY_BYTES] = {
    {0x00},
    {0x01},
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
     0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
     0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
     0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
     0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

const char *sig_alg_name(enum sig_alg alg)
{
    return specs[alg].name;
}

enum corral_err sig_alg_parse(struct slice name, enum sig_alg *out)
{
    for (enum sig_alg alg = 0; alg < SIG_ALG_COUNT; alg++) {
        if (slice_eq_str(name, specs[alg].name)) {
            *out = alg;
            return CE_OK;
        }
    }
    return CE_AUTH_ALG;
}

bool sig_alg_is_hmac(enum sig_alg alg)
{
    return specs[alg].family == FAMILY_HMAC;
}

/* Explicit parameters have no name, so they end here too: only named curves are known to be sane.
 */
static int curve_of(const EVP_PKEY *pkey)
{
    char name[64];
    size_t len = 0;

    if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), &len) != 1) {
        return NID_undef;
    }
    int nid = OBJ_sn2nid(name);

    return nid == NID_undef ? EC_curve_nist2nid(name) : nid;
}

enum corral_err sig_alg_of_pkey(const EVP_PKEY *pkey, enum sig_alg *out)
{
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_RSA:
        *out = SIG_RS256;
        return CE_OK;
    case EVP_PKEY_ED25519:
        *out = SIG_EDDSA;
        return CE_OK;
    case EVP_PKEY_EC:
        break;
    default:
        return CE_AUTH_ALG;
    }
    int curve = curve_of(pkey);
    enum corral_err err = CE_AUTH_ALG;

    for (enum sig_alg alg = SIG_ES256; alg <= SIG_ES512; alg++) {
        if (specs[alg].curve == curve) {
            *out = alg;
            err = CE_OK;
        }
    }
    ERR_clear_error();
    return err;
}

/* OpenSSL's own look at the numbers: point on the curve, modulus no prime and without tiny factors.
 */
static bool numbers_sound(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool sound = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    return sound;
}

/* Whether n is a power of 65537 modulo a small prime. */
static bool is_power_of_65537(BN_ULONG n, BN_ULONG prime)
{
    BN_ULONG power = 1;

    do {
        if (power == n) {
            return true;
        }
        power = power * (65537 % prime) % prime;
    } while (power != 1);
    return false;
}

/*
 * CVE-2017-15361 (ROCA): primes of one maker's chips are powers of 65537 modulo all small primes,
 * and so are their products; such keys can be factored. Another key passes for one with 2^-27.
 */
static bool is_roca(const BIGNUM *modulus)
{
    static const BN_ULONG primes[] = {11, 13, 17,  19,  37,  53,  61,  71, 73,
                                      79, 97, 103, 107, 109, 127, 151, 157};

    for (size_t i = 0; i < ARRAY_LEN(primes); i++) {
        if (!is_power_of_65537(BN_mod_word(modulus, primes[i]), primes[i])) {
            return false;
        }
    }
    return true;
}

static const char *rsa_numbers_fault(EVP_PKEY *pkey, const BIGNUM *n, const BIGNUM *e)
{
    if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > RSA_EXPONENT_MAX_BITS) {
        return "the RSA exponent must be odd, at least 3 and at most 64 bits long";
    }
    if (is_roca(n)) {
        return "the RSA key can be factored (CVE-2017-15361); make a new one elsewhere";
    }
    return numbers_sound(pkey) ? NULL : "the RSA modulus cannot be of two large primes";
}

static const char *rsa_fault(EVP_PKEY *pkey)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    const char *why = "the RSA key has no public part";

    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA) {
        return "the algorithm needs an RSA key (rsaEncryption)";
    }
    if (EVP_PKEY_get_bits(pkey) < SIG_RSA_MIN_BITS) {
        return "an RSA key must have at least 2048 bits";
    }
    if (EVP_PKEY_get_bits(pkey) > SIG_RSA_MAX_BITS) {
        return "an RSA key may have at most 8192 bits";
    }
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1) {
        why = rsa_numbers_fault(pkey, n, e);
    }
    BN_free(n);
    BN_free(e);
    return why;
}

static const char *ec_fault(EVP_PKEY *pkey, int curve)
{
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC) {
        return "the algorithm needs an EC key";
    }
    if (curve_of(pkey) != curve) {
        return "the curve does not fit: ES256 is P-256, ES384 is P-384, ES512 is P-521";
    }
    return numbers_sound(pkey) ? NULL : "the point is not on its curve";
}

static const char *ed25519_fault(EVP_PKEY *pkey)
{
    unsigned char raw[ED25519_KEY_BYTES];
    size_t len = sizeof(raw);

    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_ED25519) {
        return "the algorithm needs an Ed25519 key";
    }
    if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) != 1 || len != sizeof(raw)) {
        return "the Ed25519 key has no public part";
    }
    raw[ED25519_KEY_BYTES - 1] &= 0x7f;
    for (size_t i = 0; i < ARRAY_LEN(small_order); i++) {
        if (memcmp(raw, small_order[i], sizeof(raw)) == 0) {
            return "the Ed25519 key is a point of small order, which anybody can sign for";
        }
    }
    return NULL;
}

const char *sig_pkey_fault(EVP_PKEY *pkey, enum sig_alg alg)
{
    const char *why = "an HS algorithm needs a secret, not a public key";

    switch (specs[alg].family) {
    case FAMILY_HMAC:
        break;
    case FAMILY_RSA:
    case FAMILY_PSS:
        why = rsa_fault(pkey);
        break;
    case FAMILY_ECDSA:
        why = ec_fault(pkey, specs[alg].curve);
        break;
    case FAMILY_ED25519:
        why = ed25519_fault(pkey);
        break;
    }
    ERR_clear_error();
    return why;
}

const char *sig_secret_fault(struct slice secret, enum sig_alg alg)
{
    static const char *const too_short[] = {
        [SIG_HS256] = "an HS256 secret must have at least 32 bytes",
        [SIG_HS384] = "an HS384 secret must have at least 48 bytes",
        [SIG_HS512] = "an HS512 secret must have at least 64 bytes",
    };

    if (!sig_alg_is_hmac(alg)) {
        return "a secret goes with HS256, HS384 or HS512 only";
    }
    return secret.len < specs[alg].bytes ? too_short[alg] : NULL;
}

enum corral_err sig_key_init_pkey(struct sig_key *k, EVP_PKEY *pkey, enum sig_alg alg,
                                  struct slice kid, const char **out_why)
{
    const char *why = sig_pkey_fault(pkey, alg);
    BIGNUM *order = NULL;

    if (why == NULL && specs[alg].family == FAMILY_ECDSA &&
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_ORDER, &order) != 1) {
        why = "the curve has no order";
    }
    if (why != NULL) {
        ERR_clear_error();
        *out_why = why;
        return CE_KEYS;
    }
    EVP_PKEY_up_ref(pkey);
    *k = (struct sig_key){
        .kid = xstrndup(kid.ptr, kid.len), .alg = alg, .pkey = pkey, .order = order};
    return CE_OK;
}

enum corral_err sig_key_init_secret(struct sig_key *k, struct slice secret, enum sig_alg alg,
                                    struct slice kid, const char **out_why)
{
    const char *why = sig_secret_fault(secret, alg);

    if (why != NULL) {
        *out_why = why;
        return CE_KEYS;
    }
    *k = (struct sig_key){.kid = xstrndup(kid.ptr, kid.len), .alg = alg, .secret_len = secret.len};
    k->secret = xcalloc(1, secret.len);
    memcpy(k->secret, secret.ptr, secret.len);
    return CE_OK;
}

void sig_key_finish(struct sig_key *k)
{
    if (k->secret != NULL) {
        explicit_bzero(k->secret, k->secret_len);
    }
    free(k->secret);
    free(k->kid);
    BN_free(k->order);
    EVP_PKEY_free(k->pkey);
    *k = (struct sig_key){0};
}

/* NULL for EdDSA, which hashes by itself. */
static const EVP_MD *digest_of(const struct sig_key *k)
{
    return specs[k->alg].digest == NULL ? NULL : specs[k->alg].digest();
}

static bool verify_hmac(const struct sig_key *k, struct slice input, struct slice sig)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (HMAC(digest_of(k), k->secret, (int)k->secret_len, (const unsigned char *)input.ptr,
             input.len, mac, &len) == NULL) {
        return false;
    }
    bool same = sig.len == len && CRYPTO_memcmp(mac, sig.ptr, len) == 0;

    explicit_bzero(mac, sizeof(mac));
    return same;
}

static bool set_padding(const struct sig_key *k, EVP_PKEY_CTX *ctx)
{
    const struct sig_spec *spec = &specs[k->alg];

    if (spec->family == FAMILY_RSA) {
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    }
    if (spec->family == FAMILY_PSS) { /* RFC 7518 section 3.5: salt as long as the hash */
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest_of(k)) == 1;
    }
    return true;
}

static bool verify_evp(const struct sig_key *k, struct slice input, struct slice sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    bool ok = ctx != NULL &&
              EVP_DigestVerifyInit(ctx, &pkey_ctx, digest_of(k), NULL, k->pkey) == 1 &&
              set_padding(k, pkey_ctx) &&
              EVP_DigestVerify(ctx, (const unsigned char *)sig.ptr, sig.len,
                               (const unsigned char *)input.ptr, input.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool in_range(const BIGNUM *v, const BIGNUM *order)
{
    return v != NULL && !BN_is_zero(v) && BN_cmp(v, order) < 0;
}

/* JWS has r and s as two numbers of fixed width (RFC 7518 section 3.4), OpenSSL wants DER. */
static bool verify_ecdsa(const struct sig_key *k, struct slice input, struct slice sig)
{
    size_t half = specs[k->alg].bytes;
    unsigned char *der = NULL;
    bool ok = false;

    if (sig.len != 2 * half) {
        return false;
    }
    BIGNUM *r = BN_bin2bn((const unsigned char *)sig.ptr, (int)half, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)sig.ptr + half, (int)half, NULL);
    ECDSA_SIG *pair = ECDSA_SIG_new();

    if (pair != NULL && in_range(r, k->order) && in_range(s, k->order) &&
        ECDSA_SIG_set0(pair, r, s) == 1) {
        r = NULL; /* the pair's now */
        s = NULL;
        int len = i2d_ECDSA_SIG(pair, &der);

        ok = len > 0 && verify_evp(k, input, slice_of((const char *)der, (size_t)len));
    }
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    BN_free(r);
    BN_free(s);
    return ok;
}

bool sig_key_verify(const struct sig_key *k, struct slice input, struct slice sig)
{
    bool ok = false;

    switch (specs[k->alg].family) {
    case FAMILY_HMAC:
        ok = verify_hmac(k, input, sig);
        break;
    case FAMILY_RSA:
    case FAMILY_PSS:
        ok = sig.len == (size_t)EVP_PKEY_get_size(k->pkey) && verify_evp(k, input, sig);
        break;
    case FAMILY_ECDSA:
        ok = verify_ecdsa(k, input, sig);
        break;
    case FAMILY_ED25519:
        ok = sig.len == specs[k->alg].bytes && verify_evp(k, input, sig);
        break;
    }
    /* A stale error here would be read by the next SSL_read of another connection (facts F-13). */
    ERR_clear_error();
    return ok;
}
