/* Form and header of tokens: S-219 to S-225, S-231 to S-241, S-248. */
#include <stdio.h>

#include <openssl/ec.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "fixture.h"
#include "unit.h"

#define EXPECT(actual, wanted, what)                                                               \
    do {                                                                                           \
        enum corral_err got_ = (actual);                                                           \
        ck_assert_msg(got_ == (wanted), "%s: %s, not %s", (what), err_reason(got_),                \
                      err_reason(wanted));                                                         \
    } while (0)

/* Header of a token of ISS_MANY's RS256 key that is good in all but `header`. */
static enum corral_err judge_header(const char *header)
{
    char *payload = fx_payload(ISS_MANY, NULL, 0);
    enum corral_err err = fx_judge_signed(header, payload, "RS256", fx.rsa);

    free(payload);
    return err;
}

START_TEST(good_tokens_of_every_family)
{
    static const struct {
        const char *issuer;
        const char *header;
        const char *alg;
        size_t key;
    } cases[] = {
        {ISS_MANY, "{\"alg\":\"RS256\",\"kid\":\"r1\"}", "RS256", 0},
        {ISS_MANY, "{\"alg\":\"PS256\",\"kid\":\"p1\"}", "PS256", 0},
        {ISS_MANY, "{\"alg\":\"ES256\",\"kid\":\"e1\"}", "ES256", 1},
        {ISS_MANY, "{\"alg\":\"ES384\",\"kid\":\"e3\"}", "ES384", 2},
        {ISS_MANY, "{\"alg\":\"ES512\",\"kid\":\"e5\"}", "ES512", 3},
        {ISS_MANY, "{\"alg\":\"EdDSA\",\"kid\":\"d1\"}", "EdDSA", 4},
        {ISS_ONE, "{\"alg\":\"RS256\",\"kid\":\"only\"}", "RS256", 0},
        {ISS_ONE, "{\"alg\":\"RS256\"}", "RS256", 0},
        {ISS_RSA, "{\"alg\":\"RS256\"}", "RS256", 0},
        {ISS_RSA, "{\"alg\":\"RS256\",\"kid\":\"whatever\"}", "RS256", 0},
        {ISS_EC, "{\"alg\":\"ES256\",\"kid\":\"named\"}", "ES256", 1},
        {ISS_FIXED, "{\"alg\":\"EdDSA\"}", "EdDSA", 4},
    };
    EVP_PKEY *const keys[] = {fx.rsa, fx.p256, fx.p384, fx.p521, fx.ed25519};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *payload = fx_payload(cases[i].issuer, NULL, 0);

        EXPECT(fx_judge_signed(cases[i].header, payload, cases[i].alg, keys[cases[i].key]), CE_OK,
               cases[i].header);
        free(payload);
    }
    char *payload = fx_payload(ISS_HS, NULL, 0);
    char *token =
        fx_sign_hmac("{\"alg\":\"HS256\"}", payload, "HS256", fx.secret, strlen(fx.secret));

    EXPECT(fx_judge(token), CE_OK, "HS256");
    free(token);
    free(payload);
}
END_TEST

START_TEST(s219_alg_none)
{
    static const char *const algs[] = {"none", "None", "NONE", "nOnE"};
    static const char *const issuers[] = {ISS_MANY, ISS_ONE, ISS_RSA, ISS_EC, ISS_HS};

    for (size_t i = 0; i < ARRAY_LEN(algs) * ARRAY_LEN(issuers); i++) {
        char header[64];
        char *payload = fx_payload(issuers[i / ARRAY_LEN(algs)], NULL, 0);

        snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", algs[i % ARRAY_LEN(algs)]);
        char *token = fx_sign(header, payload, "RS256", fx.rsa);

        ck_assert_int_ne(fx_judge(token), CE_OK);
        *(strrchr(token, '.') + 1) = '\0';
        EXPECT(fx_judge(token), CE_AUTH_TOKEN_SHAPE, "no signature");
        *strrchr(token, '.') = '\0';
        EXPECT(fx_judge(token), CE_AUTH_TOKEN_SHAPE, "two segments");
        free(token);
        free(payload);
    }
    EXPECT(judge_header("{\"alg\":\"none\",\"kid\":\"r1\"}"), CE_AUTH_ALG, "none with a signature");
}
END_TEST

START_TEST(s220_s223_alg_is_exact)
{
    static const struct {
        const char *header;
        enum corral_err err;
    } cases[] = {
        {"{\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"alg\":\"\",\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"alg\":null,\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"alg\":[\"RS256\"],\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"alg\":256,\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"ALG\":\"RS256\",\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"alg\":\"rs256\",\"kid\":\"r1\"}", CE_AUTH_ALG},
        {"{\"alg\":\"hs256\",\"kid\":\"r1\"}", CE_AUTH_ALG},
        {"{\"alg\":\"RS256 \",\"kid\":\"r1\"}", CE_AUTH_ALG},
        {"{\"alg\":\"RS25\",\"kid\":\"r1\"}", CE_AUTH_ALG},
        {"{\"alg\":\"RS256\\u0000\",\"kid\":\"r1\"}", CE_AUTH_TOKEN_HEADER},
        {"{\"\\u0061lg\":\"RS\\u003256\",\"kid\":\"r1\"}", CE_OK}, /* the same name, escaped */
    };
    char header[400];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT(judge_header(cases[i].header), cases[i].err, cases[i].header);
    }
    snprintf(header, sizeof(header), "{\"kid\":\"r1\",\"alg\":\"%0300d\"}", 0);
    EXPECT(judge_header(header), CE_AUTH_ALG, "alg of 300 bytes");
}
END_TEST

/* Every spelling of a public key that an HMAC could be keyed with. */
static void try_confusion(const char *issuer, const char *kid, EVP_PKEY *key)
{
    static const char *const algs[] = {"HS256", "HS384", "HS512"};
    char *pem = fx_pem(key);
    char *jwk = fx_jwk(key, "");
    unsigned char *der = NULL;
    int der_len = i2d_PUBKEY(key, &der);
    char *der64 = fx_base64url(der, (size_t)der_len);
    char spaced[2048];
    char *payload = fx_payload(issuer, NULL, 0);

    snprintf(spaced, sizeof(spaced), " \n%s", pem);
    const struct slice secrets[] = {
        slice_str(pem),
        slice_of(pem, strlen(pem) - 1),
        slice_of((char *)der, (size_t)der_len),
        slice_str(jwk),
        slice_str(der64),
        slice_str(spaced),
        slice_of("", 0),
    };
    for (size_t i = 0; i < ARRAY_LEN(secrets) * ARRAY_LEN(algs); i++) {
        const char *alg = algs[i % ARRAY_LEN(algs)];
        struct slice secret = secrets[i / ARRAY_LEN(algs)];
        char header[100];

        snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg, kid);
        char *token = fx_sign_hmac(header, payload, alg, secret.ptr, secret.len);

        EXPECT(fx_judge(token), CE_AUTH_ALG, header);
        free(token);
    }
    free(payload);
    free(der64);
    OPENSSL_free(der);
    free(jwk);
    free(pem);
}

START_TEST(s221_s222_public_key_as_secret)
{
    try_confusion(ISS_RSA, "x", fx.rsa);
    try_confusion(ISS_ONE, "only", fx.rsa); /* a JWK without alg */
    try_confusion(ISS_MANY, "r1", fx.rsa);
    try_confusion(ISS_MANY, "e1", fx.p256);
    try_confusion(ISS_EC, "named", fx.p256);
    try_confusion(ISS_FIXED, "x", fx.ed25519);
}
END_TEST

START_TEST(s222_hmac_of_the_empty_secret)
{
    char *payload = fx_payload(ISS_HS, NULL, 0);
    char *token = fx_sign_hmac("{\"alg\":\"HS256\"}", payload, "HS256", "", 0);

    EXPECT(fx_judge(token), CE_AUTH_SIGNATURE, "empty secret");
    free(token);
    free(payload);
}
END_TEST

START_TEST(s224_s225_other_algorithm_of_the_same_key)
{
    const struct {
        const char *header;
        const char *alg;
        EVP_PKEY *key;
    } cases[] = {
        {"{\"alg\":\"RS512\",\"kid\":\"r1\"}", "RS512", fx.rsa},
        {"{\"alg\":\"RS384\",\"kid\":\"r1\"}", "RS384", fx.rsa},
        {"{\"alg\":\"PS256\",\"kid\":\"r1\"}", "PS256", fx.rsa},
        {"{\"alg\":\"RS256\",\"kid\":\"p1\"}", "RS256", fx.rsa},
        {"{\"alg\":\"ES256\",\"kid\":\"e3\"}", "ES256", fx.p384},
        {"{\"alg\":\"ES384\",\"kid\":\"e1\"}", "ES384", fx.p256},
        {"{\"alg\":\"ES256\",\"kid\":\"e5\"}", "ES256", fx.p521},
        {"{\"alg\":\"ES256K\",\"kid\":\"e1\"}", "ES256", fx.p256},
        {"{\"alg\":\"Ed25519\",\"kid\":\"d1\"}", "EdDSA", fx.ed25519},
        {"{\"alg\":\"ES256\",\"kid\":\"r1\"}", "ES256", fx.p256},
    };
    char *payload = fx_payload(ISS_MANY, NULL, 0);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT(fx_judge_signed(cases[i].header, payload, cases[i].alg, cases[i].key), CE_AUTH_ALG,
               cases[i].header);
    }
    /* The right label with another key's signature. */
    EXPECT(fx_judge_signed("{\"alg\":\"ES256\",\"kid\":\"e1\"}", payload, "ES256", fx.p384),
           CE_AUTH_SIGNATURE, "P-384 signature under ES256");
    free(payload);
}
END_TEST

START_TEST(s231_signature_has_one_spelling)
{
    static const char *const tails[] = {"=", "==", " ", "\n", "!", "+", "/", ".", "%3D", "A"};
    char *payload = fx_payload(ISS_HS, NULL, 0);
    char *token =
        fx_sign_hmac("{\"alg\":\"HS256\"}", payload, "HS256", fx.secret, strlen(fx.secret));
    size_t len = strlen(token);
    char changed[2048];

    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        snprintf(changed, sizeof(changed), "%s%s", token, tails[i]);
        ck_assert_int_ne(fx_judge(changed), CE_OK);
        snprintf(changed, sizeof(changed), "%.*s%s%s", (int)len - 5, token, tails[i],
                 token + len - 5);
        ck_assert_int_ne(fx_judge(changed), CE_OK);
    }
    /* 32 bytes are 43 characters; the last one's two low bits are unused and must be zero. */
    memcpy(changed, token, len + 1);
    for (int bit = 1; bit < 4; bit++) {
        const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        size_t value = (size_t)(strchr(alphabet, token[len - 1]) - alphabet);

        changed[len - 1] = alphabet[value | (size_t)bit];
        EXPECT(fx_judge(changed), CE_AUTH_TOKEN_SHAPE, "trailing bits");
    }
    free(token);
    free(payload);
}
END_TEST

START_TEST(s232_segments)
{
    static const char *const bad[] = {"a",
                                      "a.b",
                                      "a.b.c.d",
                                      "a.b.c.d.e",
                                      "..",
                                      ".b.c",
                                      "a..c",
                                      "a.b.",
                                      ".a.b.c",
                                      "a.b.c.",
                                      "...",
                                      ".",
                                      "eyJhbGciOiJIUzI1NiJ9..AAAA"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        EXPECT(fx_judge(bad[i]), CE_AUTH_TOKEN_SHAPE, bad[i]);
    }
    EXPECT(fx_judge("{\"payload\":\"a\",\"signatures\":[]}"), CE_AUTH_TOKEN_SHAPE, "JSON form");
}
END_TEST

START_TEST(s233_headers_that_are_no_header)
{
    static const char *const bad[] = {
        "x",
        "[]",
        "\"alg\"",
        "null",
        "{",
        "{\"alg\":\"RS256\",\"kid\":\"r1\"} x",
        "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"r1\"}",
        "{\"alg\":\"RS256\",\"\\u0061lg\":\"none\",\"kid\":\"r1\"}",
        "{\"alg\":\"RS256\",\"Alg\":\"none\",\"kid\":\"r1\"}",
        "\xef\xbb\xbf{\"alg\":\"RS256\",\"kid\":\"r1\"}",
        "{\"alg\":\"RS256\",\"kid\":\"r1\",\"x\":\"\xff\"}",
        "{\"alg\":\"RS256\",\"kid\":\"r1\",\"x\":\"\xc0\xaf\"}",
        "{\"alg\":\"RS256\",\"kid\":\"r1\",\"x\":\"\\ud800\"}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        EXPECT(judge_header(bad[i]), CE_AUTH_TOKEN_HEADER, bad[i]);
    }
    char *deep = xcalloc(1, 5000);

    memset(deep, '[', 4000);
    memcpy(deep, "{\"a\":", 5);
    EXPECT(judge_header(deep), CE_AUTH_TOKEN_HEADER, "depth");
    free(deep);
    EXPECT(judge_header(" {\"alg\":\"RS256\",\n\"kid\":\"r1\"}\t"), CE_OK, "white space");
}
END_TEST

START_TEST(s235_kid_is_only_compared)
{
    static const struct {
        const char *kid;
        enum corral_err err;
    } cases[] = {
        {"\"../../../dev/null\"", CE_AUTH_KID},
        {"\"/etc/hostname\"", CE_AUTH_KID},
        {"\"' OR 1=1\"", CE_AUTH_KID},
        {"\"%00\"", CE_AUTH_KID},
        {"\"r1%00\"", CE_AUTH_KID},
        {"\"\\r\\nr1\"", CE_AUTH_KID},
        {"\"R1\"", CE_AUTH_KID},
        {"\"r1 \"", CE_AUTH_KID},
        {"\"r\"", CE_AUTH_KID},
        {"\"x1\"", CE_AUTH_KID},
        {"1", CE_AUTH_TOKEN_HEADER},
        {"\"\"", CE_AUTH_TOKEN_HEADER},
        {"null", CE_AUTH_TOKEN_HEADER},
        {"[\"r1\"]", CE_AUTH_TOKEN_HEADER},
        {"\"r1\\u0000\"", CE_AUTH_TOKEN_HEADER},
    };
    char header[4300];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":%s}", cases[i].kid);
        EXPECT(judge_header(header), cases[i].err, cases[i].kid);
    }
    snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%04096d\"}", 1);
    EXPECT(judge_header(header), CE_AUTH_TOKEN_HEADER, "kid of 4 KiB");
}
END_TEST

START_TEST(s236_kid_missing)
{
    char *payload = fx_payload(ISS_EC, NULL, 0);

    EXPECT(judge_header("{\"alg\":\"RS256\"}"), CE_AUTH_KID, "several keys");
    EXPECT(fx_judge_signed("{\"alg\":\"ES256\"}", payload, "ES256", fx.p256), CE_AUTH_KID,
           "a kid is configured");
    EXPECT(fx_judge_signed("{\"alg\":\"ES256\",\"kid\":\"other\"}", payload, "ES256", fx.p256),
           CE_AUTH_KID, "another kid");
    free(payload);
}
END_TEST

START_TEST(s238_s239_members_that_are_refused)
{
    static const struct {
        const char *member;
        enum corral_err err;
    } cases[] = {
        {"\"jku\":\"https://evil.example/jwks\"", CE_AUTH_TOKEN_HEADER},
        {"\"x5u\":\"https://evil.example/cert\"", CE_AUTH_TOKEN_HEADER},
        {"\"x5c\":[\"AAAA\"]", CE_AUTH_TOKEN_HEADER},
        {"\"x5t\":\"AAAA\"", CE_AUTH_TOKEN_HEADER},
        {"\"x5t#S256\":\"AAAA\"", CE_AUTH_TOKEN_HEADER},
        {"\"JWK\":{}", CE_AUTH_TOKEN_HEADER},
        {"\"crit\":[\"exp\"]", CE_AUTH_TOKEN_CRIT},
        {"\"crit\":[\"x\"],\"x\":1", CE_AUTH_TOKEN_CRIT},
        {"\"crit\":[]", CE_AUTH_TOKEN_CRIT},
        {"\"crit\":\"exp\"", CE_AUTH_TOKEN_CRIT},
        {"\"crit\":null", CE_AUTH_TOKEN_CRIT},
        {"\"b64\":false", CE_AUTH_TOKEN_CRIT},
        {"\"b64\":false,\"crit\":[\"b64\"]", CE_AUTH_TOKEN_CRIT},
        {"\"zip\":\"DEF\"", CE_AUTH_TOKEN_CRIT},
        {"\"enc\":\"A128GCM\"", CE_AUTH_TOKEN_CRIT},
    };
    char header[2048];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"r1\",%s}", cases[i].member);
        EXPECT(judge_header(header), cases[i].err, cases[i].member);
    }
    /* CVE-2018-0114: its own key, and a good signature by it. */
    EVP_PKEY *own = EVP_EC_gen("P-256");
    char *jwk = fx_jwk(own, "");
    char *payload = fx_payload(ISS_MANY, NULL, 0);

    snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"e1\",\"jwk\":%s}", jwk);
    EXPECT(fx_judge_signed(header, payload, "ES256", own), CE_AUTH_TOKEN_HEADER, "own jwk");
    free(payload);
    free(jwk);
    EVP_PKEY_free(own);
}
END_TEST

START_TEST(s240_s241_typ)
{
    static const struct {
        const char *typ;
        enum corral_err err;
    } cases[] = {
        {"\"JWT\"", CE_OK},
        {"\"jwt\"", CE_OK},
        {"\"at+jwt\"", CE_OK},
        {"\"application/at+jwt\"", CE_OK},
        {"\"logout+jwt\"", CE_AUTH_TOKEN_TYPE},
        {"\"dpop+jwt\"", CE_AUTH_TOKEN_TYPE},
        {"\"secevent+jwt\"", CE_AUTH_TOKEN_TYPE},
        {"\"JWS\"", CE_AUTH_TOKEN_TYPE},
        {"\"\"", CE_AUTH_TOKEN_TYPE},
        {"null", CE_AUTH_TOKEN_TYPE},
        {"[\"JWT\"]", CE_AUTH_TOKEN_TYPE},
    };
    char header[200];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":%s}",
                 cases[i].typ);
        EXPECT(judge_header(header), cases[i].err, cases[i].typ);
    }
}
END_TEST

START_TEST(s248_long_tokens)
{
    static const size_t sizes[] = {AUTH_MAX_TOKEN_BYTES + 1, 65536, 9000000};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *token = xcalloc(1, sizes[i] + 1);

        memset(token, 'A', sizes[i]);
        token[20] = '.';
        token[sizes[i] - 100] = '.';
        EXPECT(fx_judge(token), CE_AUTH_TOKEN_SHAPE, "long token");
        struct arena arena = {0};
        struct verified v;

        EXPECT(token_judge(fx.auth, slice_str(token), NOW, &arena, &v), CE_AUTH_TOKEN_SHAPE,
               "long token, past the field");
        arena_finish(&arena);
        free(token);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("auth.header");
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, fixture_setup, fixture_teardown);
    tcase_add_test(c, good_tokens_of_every_family);
    tcase_add_test(c, s219_alg_none);
    tcase_add_test(c, s220_s223_alg_is_exact);
    tcase_add_test(c, s221_s222_public_key_as_secret);
    tcase_add_test(c, s222_hmac_of_the_empty_secret);
    tcase_add_test(c, s224_s225_other_algorithm_of_the_same_key);
    tcase_add_test(c, s231_signature_has_one_spelling);
    tcase_add_test(c, s232_segments);
    tcase_add_test(c, s233_headers_that_are_no_header);
    tcase_add_test(c, s235_kid_is_only_compared);
    tcase_add_test(c, s236_kid_missing);
    tcase_add_test(c, s238_s239_members_that_are_refused);
    tcase_add_test(c, s240_s241_typ);
    tcase_add_test(c, s248_long_tokens);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
