/* Key files and signatures: S-226 to S-229, S-237, S-257 as far as files go, S-261, S-262. */
#include <stdio.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "base/mem.h"
#include "fixture.h"
#include "unit.h"

static const char *const es256 = "{\"alg\":\"ES256\",\"kid\":\"e1\"}";
static const char *const eddsa = "{\"alg\":\"EdDSA\",\"kid\":\"d1\"}";

/* Order of P-256, and of Ed25519's group in little endian. */
static const char n_p256[] = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";
static const unsigned char l_ed25519[32] = {
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};

/* A token and its signature's bytes, to be changed. */
struct signed_token {
    char *token; /* owned */
    unsigned char sig[600];
    size_t len;
};

static struct signed_token make(const char *header, const char *alg, EVP_PKEY *key)
{
    struct signed_token t = {0};
    char *payload = fx_payload(ISS_MANY, NULL, 0);

    t.token = fx_sign(header, payload, alg, key);
    free(payload);
    struct slice text = slice_str(strrchr(t.token, '.') + 1);

    ck_assert_int_eq(base64url_decode(text, t.sig, &t.len), CE_OK);
    return t;
}

/* Judge the token with another signature. */
static enum corral_err judge_with(const struct signed_token *t, const unsigned char *sig,
                                  size_t len)
{
    char *text = fx_base64url(sig, len);
    char *token = fx_format("%.*s.%s", (int)(strrchr(t->token, '.') - t->token), t->token, text);
    enum corral_err err = fx_judge(token);

    ck_assert_uint_eq(ERR_peek_error(), 0); /* F-13 */
    free(token);
    free(text);
    return err;
}

START_TEST(s226_ecdsa_numbers)
{
    struct signed_token t = make(es256, "ES256", fx.p256);
    BIGNUM *n = NULL;
    unsigned char order[32];
    unsigned char sig[70];

    ck_assert_int_gt(BN_hex2bn(&n, n_p256), 0);
    BN_bn2binpad(n, order, 32);
    BN_free(n);
    for (int which = 0; which < 2; which++) { /* r, then s */
        memcpy(sig, t.sig, 64);
        memset(sig + which * 32, 0, 32);
        ck_assert_int_eq(judge_with(&t, sig, 64), CE_AUTH_SIGNATURE);
        memcpy(sig + which * 32, order, 32);
        ck_assert_int_eq(judge_with(&t, sig, 64), CE_AUTH_SIGNATURE);
        memset(sig + which * 32, 0xff, 32);
        ck_assert_int_eq(judge_with(&t, sig, 64), CE_AUTH_SIGNATURE);
    }
    memset(sig, 0, sizeof(sig));
    ck_assert_int_eq(judge_with(&t, sig, 64), CE_AUTH_SIGNATURE);
    ck_assert_int_eq(judge_with(&t, t.sig, 63), CE_AUTH_SIGNATURE);
    memcpy(sig, t.sig, 64);
    ck_assert_int_eq(judge_with(&t, sig, 65), CE_AUTH_SIGNATURE);
    ck_assert_int_eq(judge_with(&t, t.sig, 64), CE_OK);
    free(t.token);
}
END_TEST

START_TEST(s226_ecdsa_der)
{
    struct signed_token t = make(es256, "ES256", fx.p256);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    unsigned char *der = NULL;

    ECDSA_SIG_set0(pair, BN_bin2bn(t.sig, 32, NULL), BN_bin2bn(t.sig + 32, 32, NULL));
    int len = i2d_ECDSA_SIG(pair, &der);

    ck_assert_int_gt(len, 0);
    ck_assert_int_eq(judge_with(&t, der, (size_t)len), CE_AUTH_SIGNATURE);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    free(t.token);
}
END_TEST

/* The other spelling of the same signature verifies; so nothing may hang on a token's bytes. */
START_TEST(s227_ecdsa_is_malleable)
{
    struct signed_token t = make(es256, "ES256", fx.p256);
    BIGNUM *n = NULL;
    BIGNUM *s = BN_bin2bn(t.sig + 32, 32, NULL);

    ck_assert_int_gt(BN_hex2bn(&n, n_p256), 0);
    BN_sub(s, n, s);
    BN_bn2binpad(s, t.sig + 32, 32);
    ck_assert_int_eq(judge_with(&t, t.sig, 64), CE_OK);
    BN_free(n);
    BN_free(s);
    free(t.token);
}
END_TEST

START_TEST(s228_ed25519)
{
    struct signed_token t = make(eddsa, "EdDSA", fx.ed25519);
    unsigned char sig[80] = {0};
    unsigned carry = 0;

    memcpy(sig, t.sig, 64);
    for (size_t i = 0; i < 32; i++) { /* S + L */
        carry += (unsigned)sig[32 + i] + l_ed25519[i];
        sig[32 + i] = (unsigned char)carry;
        carry >>= 8;
    }
    ck_assert_int_eq(judge_with(&t, sig, 64), CE_AUTH_SIGNATURE);
    ck_assert_int_eq(judge_with(&t, t.sig, 63), CE_AUTH_SIGNATURE);
    memcpy(sig, t.sig, 64);
    ck_assert_int_eq(judge_with(&t, sig, 65), CE_AUTH_SIGNATURE);
    ck_assert_int_eq(judge_with(&t, sig, 64), CE_OK);
    free(t.token);
}
END_TEST

START_TEST(s229_rsa_signatures)
{
    struct signed_token t = make("{\"alg\":\"RS256\",\"kid\":\"r1\"}", "RS256", fx.rsa);
    struct signed_token other = make("{\"alg\":\"RS256\",\"kid\":\"r1\"}", "RS512", fx.rsa);
    unsigned char sig[600] = {0};

    ck_assert_int_eq(judge_with(&t, t.sig, t.len), CE_OK);
    ck_assert_int_eq(judge_with(&other, other.sig, other.len), CE_AUTH_SIGNATURE); /* hash */
    ck_assert_int_eq(judge_with(&t, t.sig, t.len - 1), CE_AUTH_SIGNATURE);
    memcpy(sig + 1, t.sig, t.len);
    ck_assert_int_eq(judge_with(&t, sig, t.len + 1), CE_AUTH_SIGNATURE); /* leading zero */
    memset(sig, 0, t.len);
    ck_assert_int_eq(judge_with(&t, sig, t.len), CE_AUTH_SIGNATURE);
    sig[t.len - 1] = 1;
    ck_assert_int_eq(judge_with(&t, sig, t.len), CE_AUTH_SIGNATURE);
    memset(sig, 0xff, t.len);
    ck_assert_int_eq(judge_with(&t, sig, t.len), CE_AUTH_SIGNATURE);
    free(other.token);
    free(t.token);
}
END_TEST

/* RFC 7518 section 3.5: the salt is as long as the hash, not what the signer liked. */
START_TEST(s229_pss_salt_length)
{
    static const int salts[] = {0, 20, RSA_PSS_SALTLEN_MAX, RSA_PSS_SALTLEN_DIGEST};
    struct signed_token t = make("{\"alg\":\"PS256\",\"kid\":\"p1\"}", "PS256", fx.rsa);
    size_t input_len = (size_t)(strrchr(t.token, '.') - t.token);

    for (size_t i = 0; i < ARRAY_LEN(salts); i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pkey_ctx = NULL;
        size_t len = sizeof(t.sig);

        ck_assert_int_eq(EVP_DigestSignInit(ctx, &pkey_ctx, EVP_sha256(), NULL, fx.rsa), 1);
        EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, salts[i]);
        ck_assert_int_eq(EVP_DigestSign(ctx, t.sig, &len, (unsigned char *)t.token, input_len), 1);
        EVP_MD_CTX_free(ctx);
        ck_assert_int_eq(judge_with(&t, t.sig, len),
                         salts[i] == RSA_PSS_SALTLEN_DIGEST ? CE_OK : CE_AUTH_SIGNATURE);
    }
    free(t.token);
}
END_TEST

/* CVE-2024-25189: a compare that compares nothing, or stops early. */
START_TEST(s262_every_byte_of_an_hmac_counts)
{
    char *payload = fx_payload(ISS_HS, NULL, 0);
    struct signed_token t = {0};

    t.token = fx_sign_hmac("{\"alg\":\"HS256\"}", payload, "HS256", fx.secret, strlen(fx.secret));
    free(payload);
    ck_assert_int_eq(base64url_decode(slice_str(strrchr(t.token, '.') + 1), t.sig, &t.len), CE_OK);
    ck_assert_uint_eq(t.len, 32);
    for (size_t i = 0; i < 32; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            t.sig[i] ^= (unsigned char)(1u << bit);
            ck_assert_int_eq(judge_with(&t, t.sig, 32), CE_AUTH_SIGNATURE);
            t.sig[i] ^= (unsigned char)(1u << bit);
        }
    }
    for (size_t len = 1; len < 32; len++) {
        ck_assert_int_eq(judge_with(&t, t.sig, len), CE_AUTH_SIGNATURE);
    }
    ck_assert_int_eq(judge_with(&t, t.sig, 32), CE_OK);
    free(t.token);
}
END_TEST

/* NULL when the set is taken; else why not, in a static buffer. */
static const char *load_jwks(const char *text, size_t *out_count)
{
    static struct auth_fault fault;
    struct keyset set;

    if (keyset_parse_jwks(slice_str(text), "set.json", &set, &fault) != CE_OK) {
        ck_assert_uint_gt(strlen(fault.text), 0);
        return fault.text;
    }
    *out_count = set.count;
    keyset_finish(&set);
    return NULL;
}

/* A set of these keys is refused with a sentence that has `why` in it; NULL: it has `count` keys.
 */
static void expect_set(const char *keys, const char *why, size_t count)
{
    char *text = fx_format("{\"keys\":[%s]}", keys);
    size_t got = 0;
    const char *fault = load_jwks(text, &got);

    if (why == NULL) {
        ck_assert_msg(fault == NULL, "%.200s: %s", keys, fault);
        ck_assert_uint_eq(got, count);
    } else {
        ck_assert_msg(fault != NULL && strstr(fault, why) != NULL, "%.200s: %s", keys,
                      fault == NULL ? "taken" : fault);
    }
    free(text);
}

static void expect_key(EVP_PKEY *key, const char *more, const char *why, size_t count)
{
    char *jwk = fx_jwk(key, more);

    expect_set(jwk, why, count);
    free(jwk);
}

START_TEST(s229_weak_keys_are_refused_at_load)
{
    EVP_PKEY *small = EVP_RSA_gen(1024);
    char *n = fx_jwk(fx.rsa, "");

    expect_key(small, "\"kid\":\"a\"", "2048", 0);
    /* e = 1, e = 2, e = 0 */
    *strstr(n, "\"e\"") = '\0';
    static const char *const exponents[] = {"AQ", "Ag", "AA", "AQAAAAAAAAAB", ""};

    for (size_t i = 0; i < ARRAY_LEN(exponents); i++) {
        char *jwk = fx_format("%s\"e\":\"%s\"}", n, exponents[i]);
        size_t count = 0;
        char *set = fx_format("{\"keys\":[%s]}", jwk);

        const char *why = load_jwks(set, &count);

        ck_assert_ptr_nonnull(why);
        ck_assert_msg(i > 2 || strstr(why, "exponent") != NULL, "%s", why);
        free(set);
        free(jwk);
    }
    char *even = fx_format("%s\"e\":\"AQAB\"}", n);
    char *modulus = strstr(even, "\"n\":\"") + 5;

    strchr(modulus, '"')[-1] = 'g'; /* even modulus, and trailing bits stay zero */
    expect_set(even, "key 1", 0);
    free(even);
    free(n);
    EVP_PKEY_free(small);
}
END_TEST

START_TEST(s225_curves_must_fit)
{
    expect_key(fx.p384, "\"alg\":\"ES256\"", "curve", 0);
    expect_key(fx.p256, "\"alg\":\"ES384\"", "curve", 0);
    expect_key(fx.p256, "\"alg\":\"ES256K\"", "alg", 0);
    expect_key(fx.p256, "\"alg\":\"RS256\"", "RSA", 0);
    expect_key(fx.rsa, "\"alg\":\"ES256\"", "EC", 0);
    expect_key(fx.rsa, "\"alg\":\"HS256\"", "secret", 0);
    expect_key(fx.rsa, "\"alg\":\"none\"", "alg", 0);
    expect_key(fx.rsa, "\"alg\":\"rs256\"", "alg", 0);
    expect_key(fx.rsa, "\"alg\":7", "alg", 0);
    expect_key(fx.ed25519, "\"alg\":\"ES256\"", "EC", 0);
    expect_key(fx.rsa, "\"alg\":\"PS512\"", NULL, 1);
    expect_key(fx.p521, "", NULL, 1);
    expect_set("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}", "P-256", 0);
    /* A point that is not on its curve, and the point at infinity. */
    expect_set("{\"kty\":\"EC\",\"crv\":\"P-256\","
               "\"x\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\","
               "\"y\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}",
               "key 1", 0);
    expect_set("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", "key 1", 0);
}
END_TEST

START_TEST(s228_small_order_keys)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };

    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        long len = 0;
        unsigned char *raw = OPENSSL_hexstr2buf(points[i], &len);
        char *x = fx_base64url(raw, (size_t)len);
        char *jwk = fx_format("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}", x);

        expect_set(jwk, "small order", 0);
        free(jwk);
        free(x);
        OPENSSL_free(raw);
    }
    expect_set("{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AAAA\"}", "Ed25519", 0);
    expect_set("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAA\"}", "Ed25519", 0);
}
END_TEST

START_TEST(s237_duplicate_kids_and_mixed_sets)
{
    char *r = fx_jwk(fx.rsa, "\"kid\":\"a\"");
    char *e = fx_jwk(fx.p256, "\"kid\":\"a\"");
    char *b = fx_jwk(fx.p256, "\"kid\":\"b\"");
    char *none = fx_jwk(fx.p384, "");
    const char *oct = "{\"kty\":\"oct\",\"kid\":\"o\",\"alg\":\"HS256\","
                      "\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}";
    const struct {
        const char *first;
        const char *second;
        const char *why;
    } cases[] = {
        {r, e, "another key's"}, {r, b, NULL},      {r, none, "kid"},
        {r, oct, "mixes"},       {oct, b, "mixes"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *keys = fx_format("%s,%s", cases[i].first, cases[i].second);

        expect_set(keys, cases[i].why, 2);
        free(keys);
    }
    expect_set(oct, NULL, 1);
    free(r);
    free(e);
    free(b);
    free(none);
}
END_TEST

START_TEST(s257_sets_that_are_no_sets)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1]}",
        "{\"keys\":[{}]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"XYZ\"}]}",
        "{\"KEYS\":[]}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AAEC\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":"
        "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}]}",
    };
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(load_jwks(bad[i], &count) != NULL, "%s", bad[i]);
    }
    expect_key(fx.p256, "\"d\":\"AAAA\"", "private", 0);
    expect_key(fx.rsa, "\"p\":\"AAAA\"", "private", 0);
    expect_key(fx.ed25519, "\"d\":\"AAAA\"", "private", 0);
    expect_key(fx.rsa, "\"kid\":7", "kid", 0);
    expect_key(fx.rsa, "\"kid\":\"\"", "kid", 0);
    expect_key(fx.rsa, "\"use\":\"enc\"", "no key", 0);
    expect_key(fx.rsa, "\"use\":null", "no key", 0);
    expect_key(fx.rsa, "\"key_ops\":[\"encrypt\"]", "no key", 0);
    expect_key(fx.rsa, "\"key_ops\":[\"sign\",\"verify\"]", NULL, 1);
}
END_TEST

START_TEST(s257_size_and_count)
{
    char *keys = xstrdup("");
    size_t count = 0;

    for (int i = 0; i < 65; i++) {
        char kid[32];

        snprintf(kid, sizeof(kid), "\"kid\":\"k%d\"", i);
        char *jwk = fx_jwk(fx.ed25519, kid);
        char *longer = fx_format("%s%s%s", keys, i == 0 ? "" : ",", jwk);

        free(keys);
        free(jwk);
        keys = longer;
        if (i == 63) {
            expect_set(keys, NULL, 64);
        }
    }
    expect_set(keys, "one too many", 0);
    free(keys);
    char *big = fx_format("{\"keys\":[],\"x\":\"%065536d\"}", 0);

    ck_assert_ptr_nonnull(strstr(load_jwks(big, &count), "64 KiB"));
    free(big);
}
END_TEST

/* Read a file as an issuer would; the fault, or NULL. */
static const char *read_as(const char *name, const char *text, size_t len, const char *algorithm)
{
    static struct auth_fault fault;
    struct issuer_settings issuer = {
        .issuer = (char *)"i", .keys_file = (char *)fx_path(name), .algorithm = (char *)algorithm};
    struct keyset set;

    fx_write(name, text, len);
    enum corral_err err = keyset_read(&issuer, &set, &fault);

    remove(fx_path(name));
    if (err == CE_OK) {
        ck_assert_uint_eq(set.count, 1);
        keyset_finish(&set);
        return NULL;
    }
    ck_assert_int_eq(err, CE_KEYS);
    return fault.text;
}

START_TEST(s261_short_secrets)
{
    char secret[80];
    static const struct {
        const char *alg;
        size_t len;
    } cases[] = {{NULL, 32}, {"HS256", 32}, {"HS384", 48}, {"HS512", 64}};

    memset(secret, 's', sizeof(secret));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = cases[i].len;

        secret[len] = '\n';
        ck_assert_ptr_null(read_as("s", secret, len, cases[i].alg));
        ck_assert_ptr_null(read_as("s", secret, len + 1, cases[i].alg));
        ck_assert_ptr_nonnull(read_as("s", secret, len - 1, cases[i].alg));
        secret[len - 1] = '\n'; /* only one newline is not the secret's */
        ck_assert_ptr_null(read_as("s", secret, len + 1, cases[i].alg));
        secret[len - 1] = '\r';
        ck_assert_ptr_nonnull(read_as("s", secret, len + 1, cases[i].alg));
        secret[len - 1] = secret[len] = 's';
    }
    ck_assert_ptr_nonnull(read_as("s", "", 0, NULL));
    ck_assert_ptr_nonnull(read_as("s", "\n", 1, NULL));
    ck_assert_ptr_nonnull(read_as("s", secret, 64, "RS256"));
    ck_assert_ptr_nonnull(read_as("s", secret, 64, "hs256"));
}
END_TEST

START_TEST(pem_files)
{
    char *rsa = fx_pem(fx.rsa);
    char *ec = fx_pem(fx.p256);
    char *both = fx_format("%s%s", rsa, ec);
    EVP_PKEY *k256 = EVP_EC_gen("secp256k1");
    EVP_PKEY *ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    char *bad1 = fx_pem(k256);
    char *bad2 = fx_pem(ed448);
    const char *private_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    ck_assert_ptr_null(read_as("a.pem", rsa, strlen(rsa), NULL));
    ck_assert_ptr_null(read_as("a.pem", rsa, strlen(rsa), "PS384"));
    ck_assert_ptr_null(read_as("a.pem", ec, strlen(ec), "ES256"));
    ck_assert_ptr_nonnull(read_as("a.pem", ec, strlen(ec), "ES384"));
    ck_assert_ptr_nonnull(read_as("a.pem", rsa, strlen(rsa), "HS256"));
    ck_assert_ptr_nonnull(read_as("a.pem", both, strlen(both), NULL));
    ck_assert_ptr_nonnull(read_as("a.pem", bad1, strlen(bad1), NULL));
    ck_assert_ptr_nonnull(read_as("a.pem", bad1, strlen(bad1), "ES256"));
    ck_assert_ptr_nonnull(read_as("a.pem", bad2, strlen(bad2), NULL));
    ck_assert_ptr_nonnull(read_as("a.pem", bad2, strlen(bad2), "EdDSA"));
    ck_assert_ptr_nonnull(read_as("a.pem", "x", 1, NULL));
    ck_assert_ptr_nonnull(read_as("a.pem", rsa, strlen(rsa) / 2, NULL));
    ck_assert_ptr_nonnull(
        strstr(read_as("a.pem", private_key, strlen(private_key), NULL), "private"));
    /* S-221: a public key must never become a secret. */
    ck_assert_ptr_nonnull(strstr(read_as("a.key", rsa, strlen(rsa), NULL), "PEM"));
    free(rsa);
    free(ec);
    free(both);
    free(bad1);
    free(bad2);
    EVP_PKEY_free(k256);
    EVP_PKEY_free(ed448);
}
END_TEST

START_TEST(auth_create_tells_what_is_wrong)
{
    struct auth_settings s = fx.settings;
    struct issuer_settings issuer = fx.settings.issuers[0];
    struct auth_fault fault = {{0}};
    struct auth *a = NULL;

    s.issuers = &issuer;
    s.issuer_count = 1;
    issuer.keys_file = (char *)"/nonexistent/keys.json";
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_KEYS);
    ck_assert_ptr_nonnull(strstr(fault.text, "/nonexistent/keys.json"));
    issuer = fx.settings.issuers[0];
    issuer.keys_file = fx.folder;
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_KEYS);
    issuer = fx.settings.issuers[0];
    issuer.tenant = (char *)"nobody";
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_KEYS);
    ck_assert_ptr_nonnull(strstr(fault.text, "nobody"));
    issuer = fx.settings.issuers[0];
    issuer.kid = (char *)"x"; /* a JWKS has its own */
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_KEYS);
    s.issuer_count = 0;
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_OK);
    ck_assert(!auth_has_credentials(a));
    ck_assert(auth_has_credentials(fx.auth));
    auth_destroy(a);
    auth_destroy(NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("auth.keys");
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, fixture_setup, fixture_teardown);
    tcase_add_test(c, s225_curves_must_fit);
    tcase_add_test(c, s226_ecdsa_numbers);
    tcase_add_test(c, s226_ecdsa_der);
    tcase_add_test(c, s227_ecdsa_is_malleable);
    tcase_add_test(c, s228_ed25519);
    tcase_add_test(c, s228_small_order_keys);
    tcase_add_test(c, s229_rsa_signatures);
    tcase_add_test(c, s229_pss_salt_length);
    tcase_add_test(c, s229_weak_keys_are_refused_at_load);
    tcase_add_test(c, s237_duplicate_kids_and_mixed_sets);
    tcase_add_test(c, s257_sets_that_are_no_sets);
    tcase_add_test(c, s257_size_and_count);
    tcase_add_test(c, s261_short_secrets);
    tcase_add_test(c, s262_every_byte_of_an_hmac_counts);
    tcase_add_test(c, pem_files);
    tcase_add_test(c, auth_create_tells_what_is_wrong);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
