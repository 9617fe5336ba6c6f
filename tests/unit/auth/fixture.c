#include "fixture.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/base64.h"
#include "base/mem.h"

struct fixture fx;

static const char *const files[] = {"many.json", "one.json",  "rsa.pem",
                                    "ec.pem",    "hs.secret", "fixed.pem"};

const char *fx_path(const char *name)
{
    static char paths[8][160];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", fx.folder, name);
    return path;
}

void fx_write(const char *name, const char *text, size_t len)
{
    FILE *f = fopen(fx_path(name), "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    fclose(f);
}

char *fx_format(const char *pattern, ...)
{
    va_list args;
    char *text = NULL;

    va_start(args, pattern);
    ck_assert_int_ge(vasprintf(&text, pattern, args), 0);
    va_end(args);
    return text;
}

char *fx_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, key), 1);
    long len = BIO_get_mem_data(bio, &text);
    char *copy = xstrndup(text, (size_t)len);

    BIO_free(bio);
    return copy;
}

char *fx_base64url(const void *bytes, size_t len)
{
    char *text = xcalloc(1, BASE64URL_LEN(len) + 1);

    base64url_encode(bytes, len, text);
    return text;
}

static char *number(EVP_PKEY *key, const char *name, int width)
{
    BIGNUM *n = NULL;
    unsigned char bytes[1100];

    ck_assert_int_eq(EVP_PKEY_get_bn_param(key, name, &n), 1);
    width = width == 0 ? BN_num_bytes(n) : width;
    ck_assert_int_eq(BN_bn2binpad(n, bytes, width), width);
    BN_free(n);
    return fx_base64url(bytes, (size_t)width);
}

static char *jwk_rsa(EVP_PKEY *key, const char *more)
{
    char *n = number(key, OSSL_PKEY_PARAM_RSA_N, 0);
    char *e = number(key, OSSL_PKEY_PARAM_RSA_E, 0);
    char *text = fx_format("{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s%s}", n, e,
                           more[0] == '\0' ? "" : ",", more);

    free(n);
    free(e);
    return text;
}

static char *jwk_ec(EVP_PKEY *key, const char *more)
{
    int bits = EVP_PKEY_get_bits(key);
    char *x = number(key, OSSL_PKEY_PARAM_EC_PUB_X, (bits + 7) / 8);
    char *y = number(key, OSSL_PKEY_PARAM_EC_PUB_Y, (bits + 7) / 8);
    char *text = fx_format("{\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"%s\",\"y\":\"%s\"%s%s}", bits,
                           x, y, more[0] == '\0' ? "" : ",", more);

    free(x);
    free(y);
    return text;
}

char *fx_jwk(EVP_PKEY *key, const char *more)
{
    unsigned char raw[64];
    size_t len = sizeof(raw);

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return jwk_rsa(key, more);
    case EVP_PKEY_EC:
        return jwk_ec(key, more);
    default:
        break;
    }
    ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
    char *x = fx_base64url(raw, len);
    char *text = fx_format("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s%s}", x,
                           more[0] == '\0' ? "" : ",", more);

    free(x);
    return text;
}

static void write_pem(const char *name, EVP_PKEY *key)
{
    char *pem = fx_pem(key);

    fx_write(name, pem, strlen(pem));
    free(pem);
}

static void write_sets(void)
{
    char *r1 = fx_jwk(fx.rsa, "\"kid\":\"r1\",\"alg\":\"RS256\",\"use\":\"sig\"");
    char *p1 = fx_jwk(fx.rsa, "\"kid\":\"p1\",\"alg\":\"PS256\"");
    char *e1 = fx_jwk(fx.p256, "\"kid\":\"e1\"");
    char *e3 = fx_jwk(fx.p384, "\"kid\":\"e3\",\"key_ops\":[\"verify\"]");
    char *e5 = fx_jwk(fx.p521, "\"kid\":\"e5\",\"alg\":\"ES512\"");
    char *d1 = fx_jwk(fx.ed25519, "\"kid\":\"d1\"");
    char *x1 = fx_jwk(fx.rsa, "\"kid\":\"x1\",\"alg\":\"RSA-OAEP\",\"use\":\"enc\"");
    char *many = fx_format("{\"keys\":[%s,%s,%s,%s,%s,%s,%s]}", r1, p1, e1, e3, e5, d1, x1);
    char *only = fx_jwk(fx.rsa, "\"kid\":\"only\"");
    char *one = fx_format("{\"keys\":[%s]}", only);

    fx_write("many.json", many, strlen(many));
    fx_write("one.json", one, strlen(one));
    char *all[] = {r1, p1, e1, e3, e5, d1, x1, many, only, one};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        free(all[i]);
    }
}

static void fill_settings(void)
{
    static char *any_model[] = {"*"};
    static char *llamas[] = {"llama3*", "qwen3:8b"};
    static char *audiences[] = {"corral", "https://corral.example"};
    static struct tenant_settings tenants[] = {
        {.name = "acme",
         .id = 1,
         .weight = 1,
         .verbs = VERBS_DEFAULT,
         .models = llamas,
         .model_count = 2},
        {.name = "beta",
         .id = 2,
         .weight = 1,
         .verbs = VERB_BIT(VERB_CHAT),
         .models = any_model,
         .model_count = 1},
    };
    static struct issuer_settings issuers[6];
    static const char *const names[] = {ISS_MANY, ISS_ONE, ISS_RSA, ISS_EC, ISS_HS, ISS_FIXED};
    static char paths[6][160];

    for (size_t i = 0; i < ARRAY_LEN(issuers); i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s", fx_path(files[i]));
        issuers[i] = (struct issuer_settings){.issuer = (char *)names[i],
                                              .audiences = audiences,
                                              .audience_count = 2,
                                              .keys_file = paths[i],
                                              .max_token_lifetime_s = 86400,
                                              .claim_tenant = "tenant",
                                              .claim_user = "sub",
                                              .claim_verbs = "verbs",
                                              .claim_models = "models"};
    }
    issuers[3].kid = "named";
    issuers[5].tenant = "beta";
    fx.settings = (struct auth_settings){
        .tenants = tenants, .tenant_count = 2, .issuers = issuers, .issuer_count = 6};
}

void fixture_setup(void)
{
    struct auth_fault fault = {{0}};

    snprintf(fx.folder, sizeof(fx.folder), "/tmp/corral-auth-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fx.folder));
    fx.rsa = EVP_RSA_gen(2048);
    fx.p256 = EVP_EC_gen("P-256");
    fx.p384 = EVP_EC_gen("P-384");
    fx.p521 = EVP_EC_gen("P-521");
    fx.ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    snprintf(fx.secret, sizeof(fx.secret), "0123456789abcdefghijklmnopqrstuvwxyz-0123456789");
    write_sets();
    write_pem("rsa.pem", fx.rsa);
    write_pem("ec.pem", fx.p256);
    write_pem("fixed.pem", fx.ed25519);
    fx_write("hs.secret", fx.secret, strlen(fx.secret));
    fill_settings();
    ck_assert_msg(auth_create(&fx.settings, &fx.auth, &fault) == CE_OK, "%s", fault.text);
}

void fixture_teardown(void)
{
    EVP_PKEY *keys[] = {fx.rsa, fx.p256, fx.p384, fx.p521, fx.ed25519};

    auth_destroy(fx.auth);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        EVP_PKEY_free(keys[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        unlink(fx_path(files[i]));
    }
    rmdir(fx.folder);
}

static void put_claim(char **text, const char *name, const char *json)
{
    char *longer = fx_format("%s%s\"%s\":%s", *text, (*text)[1] == '\0' ? "" : ",", name, json);

    free(*text);
    *text = longer;
}

char *fx_payload(const char *issuer, const struct claim *changes, size_t count)
{
    char *iss = fx_format("\"%s\"", issuer);
    const struct claim defaults[] = {{"iss", iss},          {"aud", "\"corral\""},
                                     {"exp", "1795003600"}, {"iat", "1795000000"},
                                     {"sub", "\"ada\""},    {"tenant", "\"acme\""}};
    char *text = xstrdup("{");

    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        bool changed = false;

        for (size_t j = 0; j < count; j++) {
            changed = changed || strcmp(changes[j].name, defaults[i].name) == 0;
        }
        if (!changed) {
            put_claim(&text, defaults[i].name, defaults[i].json);
        }
    }
    for (size_t j = 0; j < count; j++) {
        if (changes[j].json != NULL) {
            put_claim(&text, changes[j].name, changes[j].json);
        }
    }
    char *whole = fx_format("%s}", text);

    free(text);
    free(iss);
    return whole;
}

static const EVP_MD *digest_of(const char *alg)
{
    return strstr(alg, "512") != NULL   ? EVP_sha512()
           : strstr(alg, "384") != NULL ? EVP_sha384()
           : alg[1] == 'd'              ? NULL
                                        : EVP_sha256();
}

/* DER to r and s, each as wide as the key. */
static size_t raw_pair(EVP_PKEY *key, unsigned char *sig, size_t len)
{
    const unsigned char *der = sig;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;

    ck_assert_ptr_nonnull(pair);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), sig, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), sig + half, half);
    ECDSA_SIG_free(pair);
    return 2 * (size_t)half;
}

static char *with_signature(char *input, const void *sig, size_t len)
{
    char *text = fx_base64url(sig, len);
    char *token = fx_format("%s.%s", input, text);

    free(text);
    free(input);
    return token;
}

static char *signed_input(const void *header, size_t header_len, const void *payload,
                          size_t payload_len)
{
    char *h = fx_base64url(header, header_len);
    char *p = fx_base64url(payload, payload_len);
    char *input = fx_format("%s.%s", h, p);

    free(h);
    free(p);
    return input;
}

char *fx_sign_bytes(const void *header, size_t header_len, const void *payload, size_t payload_len,
                    const char *alg, EVP_PKEY *key)
{
    char *input = signed_input(header, header_len, payload, payload_len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    unsigned char sig[1200];
    size_t len = sizeof(sig);

    ck_assert_int_eq(EVP_DigestSignInit(ctx, &pkey_ctx, digest_of(alg), NULL, key), 1);
    if (alg[0] == 'P') {
        EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST);
    }
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len, (unsigned char *)input, strlen(input)), 1);
    EVP_MD_CTX_free(ctx);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
        len = raw_pair(key, sig, len);
    }
    return with_signature(input, sig, len);
}

char *fx_sign(const char *header, const char *payload, const char *alg, EVP_PKEY *key)
{
    return fx_sign_bytes(header, strlen(header), payload, strlen(payload), alg, key);
}

char *fx_sign_hmac(const char *header, const char *payload, const char *alg, const void *secret,
                   size_t secret_len)
{
    char *input = signed_input(header, strlen(header), payload, strlen(payload));
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    ck_assert_ptr_nonnull(HMAC(digest_of(alg), secret, (int)secret_len, (unsigned char *)input,
                               strlen(input), mac, &len));
    return with_signature(input, mac, len);
}

struct http_fields fx_fields(struct slice value)
{
    struct http_fields f = {.count = 1};

    f.at[0] = (struct http_field){SLICE_LITERAL("Authorization"), value};
    f.first[HF_AUTHORIZATION] = 1;
    f.times[HF_AUTHORIZATION] = 1;
    return f;
}

static enum corral_err identify(const char *token, uint64_t now_s, struct arena *arena,
                                struct principal *out)
{
    struct auth_cache *cache = auth_cache_create();
    char *value = fx_format("Bearer %s", token);
    struct http_fields fields = fx_fields(slice_str(value));
    enum corral_err err = auth_identify(fx.auth, cache, 1, &fields, now_s, false, arena, out);

    ck_assert_uint_eq(auth_cache_count(cache), err == CE_OK ? 1 : 0);
    auth_cache_destroy(cache);
    free(value);
    return err;
}

enum corral_err fx_identify(const char *token, struct arena *arena, struct principal *out)
{
    return identify(token, NOW, arena, out);
}

enum corral_err fx_judge_at(const char *token, uint64_t now_s)
{
    struct arena arena = {0};
    struct principal p;
    enum corral_err err = identify(token, now_s, &arena, &p);

    arena_finish(&arena);
    return err;
}

enum corral_err fx_judge(const char *token)
{
    return fx_judge_at(token, NOW);
}

enum corral_err fx_judge_signed(const char *header, const char *payload, const char *alg,
                                EVP_PKEY *key)
{
    char *token = fx_sign(header, payload, alg, key);
    enum corral_err err = fx_judge(token);

    free(token);
    return err;
}
