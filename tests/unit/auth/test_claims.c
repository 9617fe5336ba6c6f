/* What tokens say: S-234, S-242 to S-247, S-250; rights; libjwt as second opinion. */
#include <jwt.h>
#include <stdio.h>

#include "auth/mint.h"
#include "base/mem.h"
#include "fixture.h"
#include "unit.h"

static const char *const rs256 = "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r1\"}";

static enum corral_err judge_payload(const char *payload)
{
    return fx_judge_signed(rs256, payload, "RS256", fx.rsa);
}

static enum corral_err judge_claim(const char *name, const char *json)
{
    struct claim change = {name, json};
    char *payload = fx_payload(ISS_MANY, &change, 1);
    enum corral_err err = judge_payload(payload);

    free(payload);
    return err;
}

struct claim_case {
    const char *json; /* NULL: the claim is missing */
    enum corral_err err;
};

static void run_cases(const char *name, const struct claim_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum corral_err err = judge_claim(name, cases[i].json);

        ck_assert_msg(err == cases[i].err, "%s = %.60s: %s, not %s", name,
                      cases[i].json == NULL ? "(missing)" : cases[i].json, err_reason(err),
                      err_reason(cases[i].err));
    }
}

START_TEST(s234_payloads_that_are_no_claims)
{
    static const char *const bad[] = {
        "[]",
        "\"x\"",
        "1",
        "x",
        "{\"iss\":\"" ISS_MANY "\",\"exp\":1,\"exp\":2}",
        "{\"iss\":\"" ISS_MANY "\",\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"iss\":\"" ISS_MANY "\",\"tenant\":\"a\",\"Tenant\":\"b\"}",
        "{\"iss\":\"" ISS_MANY "\",\"iss\":\"" ISS_RSA "\"}",
        "{\"iss\":\"" ISS_MANY "\",\"tenant\":\"acme\\u0000\"}",
        "{\"iss\":\"" ISS_MANY "\",\"tenant\":\"\xff\"}",
        "{\"iss\":\"" ISS_MANY
        "\",\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
        "[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
        "{\"iss\":\"" ISS_MANY "\"}{}",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        enum corral_err err = judge_payload(bad[i]);

        ck_assert_msg(err == CE_AUTH_TOKEN_CLAIMS, "%s: %s", bad[i], err_reason(err));
    }
    ck_assert_int_eq(judge_payload(""), CE_AUTH_TOKEN_SHAPE);
    ck_assert_int_eq(judge_payload("{}"), CE_AUTH_ISSUER);
}
END_TEST

START_TEST(s242_exp)
{
    static const struct claim_case cases[] = {
        {NULL, CE_AUTH_TOKEN_CLAIMS},
        {"\"1795003600\"", CE_AUTH_TOKEN_CLAIMS},
        {"1795003600.0", CE_AUTH_TOKEN_CLAIMS},
        {"1795003600.5", CE_AUTH_TOKEN_CLAIMS},
        {"1e10", CE_AUTH_TOKEN_CLAIMS},
        {"1795003600e0", CE_AUTH_TOKEN_CLAIMS},
        {"null", CE_AUTH_TOKEN_CLAIMS},
        {"true", CE_AUTH_TOKEN_CLAIMS},
        {"[1795003600]", CE_AUTH_TOKEN_CLAIMS},
        {"-1", CE_AUTH_TOKEN_CLAIMS},
        {"9223372036854775808", CE_AUTH_TOKEN_CLAIMS},
        {"18446744073709551616", CE_AUTH_TOKEN_CLAIMS},
        {"9007199254740993", CE_AUTH_TOKEN_CLAIMS},
        {"9007199254740992", CE_AUTH_LIFETIME},
        {"0", CE_AUTH_EXPIRED},
        {"1794999999", CE_OK}, /* 1 s ago, within the skew */
        {"1794999941", CE_OK}, /* 59 s */
        {"1794999940", CE_AUTH_EXPIRED},
        {"1794999939", CE_AUTH_EXPIRED},
    };

    run_cases("exp", cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(s243_nbf_iat_lifetime)
{
    static const struct claim_case nbf[] = {
        {"1794990000", CE_OK},           {"1795000060", CE_OK},
        {"1795000061", CE_AUTH_NOT_YET}, {"\"1\"", CE_AUTH_TOKEN_CLAIMS},
        {"1.5", CE_AUTH_TOKEN_CLAIMS},   {"null", CE_AUTH_TOKEN_CLAIMS},
    };
    static const struct claim_case iat[] = {
        {NULL, CE_OK},
        {"1795000060", CE_OK},
        {"1795000061", CE_AUTH_NOT_YET},
        {"1794917200", CE_OK}, /* exactly a day before exp */
        {"1794917199", CE_AUTH_LIFETIME},
        {"0", CE_AUTH_LIFETIME},
        {"false", CE_AUTH_TOKEN_CLAIMS},
    };
    static const struct claim_case exp[] = {{"1795086400", CE_OK},
                                            {"1795086401", CE_AUTH_LIFETIME}};
    const struct claim no_iat[] = {{"iat", NULL}, {"exp", "1795086401"}};
    char *payload = fx_payload(ISS_MANY, no_iat, 2);

    run_cases("nbf", nbf, ARRAY_LEN(nbf));
    run_cases("iat", iat, ARRAY_LEN(iat));
    run_cases("exp", exp, ARRAY_LEN(exp));
    ck_assert_int_eq(judge_payload(payload), CE_AUTH_LIFETIME); /* counted from now */
    free(payload);
}
END_TEST

START_TEST(clock_below_the_floor)
{
    const struct claim dates[] = {{"iat", "1000"}, {"exp", "2000"}};
    char *payload = fx_payload(ISS_MANY, dates, 2);
    char *token = fx_sign(rs256, payload, "RS256", fx.rsa);

    ck_assert_int_eq(fx_judge_at(token, 1500), CE_AUTH_NOT_YET);
    ck_assert_int_eq(fx_judge_at(token, 0), CE_AUTH_NOT_YET);
    free(token);
    free(payload);
}
END_TEST

START_TEST(s244_iss_is_exact)
{
    static const struct claim_case cases[] = {
        {NULL, CE_AUTH_ISSUER},
        {"\"\"", CE_AUTH_ISSUER},
        {"\"https://other.example\"", CE_AUTH_ISSUER},
        {"\"https://many.exampl\"", CE_AUTH_ISSUER},
        {"\"https://many.example/\"", CE_AUTH_ISSUER},
        {"\"https://MANY.example\"", CE_AUTH_ISSUER},
        {"[\"" ISS_MANY "\"]", CE_AUTH_ISSUER},
        {"null", CE_AUTH_ISSUER},
        {"\"https:\\/\\/many.example\"", CE_OK}, /* the same text, escaped */
    };

    run_cases("iss", cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(s245_aud_is_an_exact_member)
{
    static const struct claim_case cases[] = {
        {NULL, CE_AUTH_AUDIENCE},
        {"\"other\"", CE_AUTH_AUDIENCE},
        {"\"corra\"", CE_AUTH_AUDIENCE},
        {"\"corral2\"", CE_AUTH_AUDIENCE},
        {"\"Corral\"", CE_AUTH_AUDIENCE},
        {"\"\"", CE_AUTH_AUDIENCE},
        {"\"https://corral.example\"", CE_OK},
        {"[\"x\",\"corral\"]", CE_OK},
        {"[]", CE_AUTH_AUDIENCE},
        {"[\"x\",\"y\"]", CE_AUTH_AUDIENCE},
        {"[\"corral\",1]", CE_AUTH_TOKEN_CLAIMS},
        {"[[\"corral\"]]", CE_AUTH_TOKEN_CLAIMS},
        {"{\"corral\":true}", CE_AUTH_TOKEN_CLAIMS},
        {"null", CE_AUTH_TOKEN_CLAIMS},
        {"1", CE_AUTH_TOKEN_CLAIMS},
    };

    run_cases("aud", cases, ARRAY_LEN(cases));
}
END_TEST

/* [x, x, …, "corral"] with `others` of the first. */
static enum corral_err judge_audience(size_t others)
{
    char *json = xcalloc(1, others * 4 + 16);
    size_t at = 0;

    json[at++] = '[';
    for (size_t i = 0; i < others; i++, at += 4) {
        memcpy(json + at, "\"x\",", 4);
    }
    memcpy(json + at, "\"corral\"]", 9);
    enum corral_err err = judge_claim("aud", json);

    free(json);
    return err;
}

START_TEST(s245_aud_of_a_thousand)
{
    ck_assert_int_eq(judge_audience(999), CE_OK);
    ck_assert_int_eq(judge_audience(1000), CE_AUTH_TOKEN_CLAIMS);
}
END_TEST

START_TEST(s246_tenant_must_be_configured)
{
    static const struct claim_case cases[] = {
        {NULL, CE_AUTH_TENANT},          {"\"\"", CE_AUTH_TENANT},
        {"\"nobody\"", CE_AUTH_TENANT},  {"[\"acme\"]", CE_AUTH_TENANT},
        {"\"acme:*\"", CE_AUTH_TENANT},  {"\"*\"", CE_AUTH_TENANT},
        {"\"acme\\n\"", CE_AUTH_TENANT}, {"\"{acme}\"", CE_AUTH_TENANT},
        {"\"ACME\"", CE_AUTH_TENANT},    {"null", CE_AUTH_TENANT},
        {"1", CE_AUTH_TENANT},           {"\"beta\"", CE_OK},
    };
    char *json = xcalloc(1, 5003);

    run_cases("tenant", cases, ARRAY_LEN(cases));
    memset(json, 'a', 5002);
    json[0] = json[5001] = '"';
    ck_assert_int_eq(judge_claim("tenant", json), CE_AUTH_TENANT);
    free(json);
}
END_TEST

START_TEST(s247_tenant_of_another_issuer)
{
    struct arena arena = {0};
    struct principal p;
    char *payload = fx_payload(ISS_FIXED, NULL, 0); /* claims acme */
    char *token = fx_sign("{\"alg\":\"EdDSA\"}", payload, "EdDSA", fx.ed25519);

    ck_assert_int_eq(fx_identify(token, &arena, &p), CE_OK);
    ck_assert_str_eq(p.tenant->name, "beta");
    ck_assert_uint_eq(p.verbs, VERB_BIT(VERB_CHAT));
    arena_finish(&arena);
    free(token);
    free(payload);
    /* One issuer's key under another's name. */
    payload = fx_payload(ISS_EC, NULL, 0);
    ck_assert_int_eq(
        fx_judge_signed("{\"alg\":\"ES256\",\"kid\":\"named\"}", payload, "ES256", fx.p384),
        CE_AUTH_SIGNATURE);
    free(payload);
}
END_TEST

START_TEST(s241_tokens_for_another_purpose)
{
    ck_assert_int_eq(judge_claim("aud", "\"some-web-client\""), CE_AUTH_AUDIENCE);
    ck_assert_int_eq(judge_claim("at_hash", "\"x\""), CE_AUTH_TOKEN_TYPE);
    ck_assert_int_eq(judge_claim("c_hash", "\"x\""), CE_AUTH_TOKEN_TYPE);
    ck_assert_int_eq(judge_claim("cnf", "{\"jkt\":\"x\"}"), CE_AUTH_TOKEN_CLAIMS);
    ck_assert_int_eq(judge_claim("cnf", "null"), CE_AUTH_TOKEN_CLAIMS);
}
END_TEST

START_TEST(users_are_plain_text)
{
    static const struct claim_case cases[] = {
        {NULL, CE_OK},
        {"\"\"", CE_OK},
        {"\"Zo\xc3\xab\"", CE_OK},
        {"\"a\\nb\"", CE_AUTH_TOKEN_CLAIMS},
        {"\"a\\u007f\"", CE_AUTH_TOKEN_CLAIMS},
        {"\"a\\u009b\"", CE_AUTH_TOKEN_CLAIMS},
        {"\"a\\u00a0\"", CE_OK},
        {"7", CE_AUTH_TOKEN_CLAIMS},
        {"null", CE_AUTH_TOKEN_CLAIMS},
    };
    char json[300];

    run_cases("sub", cases, ARRAY_LEN(cases));
    snprintf(json, sizeof(json), "\"%0256d\"", 0);
    ck_assert_int_eq(judge_claim("sub", json), CE_OK);
    snprintf(json, sizeof(json), "\"%0257d\"", 0);
    ck_assert_int_eq(judge_claim("sub", json), CE_AUTH_TOKEN_CLAIMS);
}
END_TEST

START_TEST(verbs_only_narrow)
{
    static const struct {
        const char *json;
        unsigned verbs;
    } good[] = {
        {"[\"chat\",\"list\"]", VERB_BIT(VERB_CHAT) | VERB_BIT(VERB_LIST)},
        {"[\"chat\",\"delete\"]", VERB_BIT(VERB_CHAT)}, /* not the tenant's */
        {"[\"Chat\",\"everything\"]", 0},
        {"[]", 0},
        {"\"chat  embed openid\"", VERB_BIT(VERB_CHAT) | VERB_BIT(VERB_EMBED)},
        {"\"\"", 0},
    };
    static const struct claim_case bad[] = {
        {"[1]", CE_AUTH_TOKEN_CLAIMS},
        {"{\"chat\":true}", CE_AUTH_TOKEN_CLAIMS},
        {"null", CE_AUTH_TOKEN_CLAIMS},
        {"true", CE_AUTH_TOKEN_CLAIMS},
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct claim change = {"verbs", good[i].json};
        char *payload = fx_payload(ISS_MANY, &change, 1);
        char *token = fx_sign(rs256, payload, "RS256", fx.rsa);
        struct arena arena = {0};
        struct principal p;

        ck_assert_int_eq(fx_identify(token, &arena, &p), CE_OK);
        ck_assert_uint_eq(p.verbs, good[i].verbs);
        ck_assert(principal_may(&p, VERB_NONE));
        ck_assert(!principal_may(&p, VERB_DELETE));
        arena_finish(&arena);
        free(token);
        free(payload);
    }
    run_cases("verbs", bad, ARRAY_LEN(bad));
}
END_TEST

static bool may_use(const char *models, const char *name)
{
    struct claim change = {"models", models};
    char *payload = fx_payload(ISS_MANY, &change, 1);
    char *token = fx_sign(rs256, payload, "RS256", fx.rsa);
    struct arena arena = {0};
    struct model_name model;
    struct principal p;

    ck_assert_int_eq(fx_identify(token, &arena, &p), CE_OK);
    ck_assert_int_eq(model_parse(slice_str(name), &model), CE_OK);
    bool may = principal_may_use(&p, &model);

    ck_assert(p.has_models == (models != NULL));
    arena_finish(&arena);
    free(token);
    free(payload);
    return may;
}

START_TEST(models_only_narrow)
{
    static const struct claim_case bad[] = {
        {"\"llama3\"", CE_AUTH_TOKEN_CLAIMS},
        {"[1]", CE_AUTH_TOKEN_CLAIMS},
        {"null", CE_AUTH_TOKEN_CLAIMS},
    };
    char json[300];
    int len = snprintf(json, sizeof(json), "[\"a\"");

    ck_assert(may_use(NULL, "llama3.2:1b"));
    ck_assert(may_use(NULL, "qwen3:8b"));
    ck_assert(!may_use(NULL, "qwen3:4b"));
    ck_assert(may_use("[\"x\",\"llama3*\"]", "llama3.2:1b"));
    ck_assert(!may_use("[\"llama3*\"]", "qwen3:8b"));
    ck_assert(!may_use("[\"*\"]", "mistral")); /* not the tenant's */
    ck_assert(!may_use("[]", "llama3.2:1b"));
    ck_assert(may_use("[\"\\u0071wen3:8b\"]", "qwen3:8b"));
    run_cases("models", bad, ARRAY_LEN(bad));
    for (int i = 1; i < 64; i++) {
        len += snprintf(json + len, sizeof(json) - (size_t)len, ",\"\"");
    }
    snprintf(json + len, sizeof(json) - (size_t)len, "]");
    ck_assert_int_eq(judge_claim("models", json), CE_OK);
    snprintf(json + len, sizeof(json) - (size_t)len, ",\"\"]");
    ck_assert_int_eq(judge_claim("models", json), CE_AUTH_TOKEN_CLAIMS);
}
END_TEST

START_TEST(principals_name_their_credential)
{
    char *payload = fx_payload(ISS_MANY, NULL, 0);
    char *token = fx_sign(rs256, payload, "RS256", fx.rsa);
    struct arena arena = {0};
    struct principal p;

    ck_assert_int_eq(fx_identify(token, &arena, &p), CE_OK);
    ck_assert_str_eq(p.tenant->name, "acme");
    ck_assert(slice_eq_str(p.user, "ada"));
    ck_assert(slice_eq_str(p.credential, "jwt:" ISS_MANY));
    ck_assert_uint_eq(p.verbs, VERBS_DEFAULT);
    arena_finish(&arena);
    free(token);
    free(payload);
}
END_TEST

/* Policy: who streams goes on, the next request is refused, with the token remembered or not. */
START_TEST(s250_expiry_during_a_stream)
{
    char *payload = fx_payload(ISS_MANY, NULL, 0);
    char *token = fx_sign(rs256, payload, "RS256", fx.rsa);
    char *value = fx_format("Bearer %s", token);
    struct auth_cache *cache = auth_cache_create();
    struct arena arena = {0};
    struct principal p;

    struct http_fields f = fx_fields(slice_str(value));

    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW, false, &arena, &p), CE_OK);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW + 3659, true, &arena, &p), CE_OK);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW + 3660, false, &arena, &p),
                     CE_AUTH_EXPIRED);
    ck_assert_uint_eq(auth_cache_count(cache), 0);
    ck_assert_str_eq(p.tenant->name, "acme"); /* what runs keeps its principal */
    arena_finish(&arena);
    auth_cache_destroy(cache);
    free(value);
    free(token);
    free(payload);
}
END_TEST

static void second_opinion(const char *token, const char *key)
{
    jwt_t *jwt = NULL;

    ck_assert_int_eq(jwt_decode(&jwt, token, (const unsigned char *)key, (int)strlen(key)), 0);
    ck_assert_str_eq(jwt_get_grant(jwt, "tenant"), "acme");
    jwt_free(jwt);
}

START_TEST(libjwt_agrees_on_good_tokens)
{
    char *rsa_payload = fx_payload(ISS_MANY, NULL, 0);
    char *hs_payload = fx_payload(ISS_HS, NULL, 0);
    char *rsa = fx_sign(rs256, rsa_payload, "RS256", fx.rsa);
    char *ec = fx_sign("{\"alg\":\"ES256\",\"kid\":\"e1\"}", rsa_payload, "ES256", fx.p256);
    char *hs =
        fx_sign_hmac("{\"alg\":\"HS256\"}", hs_payload, "HS256", fx.secret, strlen(fx.secret));
    char *rsa_pem = fx_pem(fx.rsa);
    char *ec_pem = fx_pem(fx.p256);

    ck_assert_int_eq(fx_judge(rsa), CE_OK);
    ck_assert_int_eq(fx_judge(ec), CE_OK);
    ck_assert_int_eq(fx_judge(hs), CE_OK);
    second_opinion(rsa, rsa_pem);
    second_opinion(ec, ec_pem);
    second_opinion(hs, fx.secret);
    char *all[] = {rsa_payload, hs_payload, rsa, ec, hs, rsa_pem, ec_pem};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        free(all[i]);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("auth.claims");
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, fixture_setup, fixture_teardown);
    tcase_add_test(c, s234_payloads_that_are_no_claims);
    tcase_add_test(c, s242_exp);
    tcase_add_test(c, s243_nbf_iat_lifetime);
    tcase_add_test(c, clock_below_the_floor);
    tcase_add_test(c, s244_iss_is_exact);
    tcase_add_test(c, s245_aud_is_an_exact_member);
    tcase_add_test(c, s245_aud_of_a_thousand);
    tcase_add_test(c, s246_tenant_must_be_configured);
    tcase_add_test(c, s247_tenant_of_another_issuer);
    tcase_add_test(c, s241_tokens_for_another_purpose);
    tcase_add_test(c, users_are_plain_text);
    tcase_add_test(c, verbs_only_narrow);
    tcase_add_test(c, models_only_narrow);
    tcase_add_test(c, principals_name_their_credential);
    tcase_add_test(c, s250_expiry_during_a_stream);
    tcase_add_test(c, libjwt_agrees_on_good_tokens);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
