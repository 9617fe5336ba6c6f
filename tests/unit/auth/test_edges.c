/* Small rules at their edges: the cache's generations, names, key files, what a JWK may hold. */
#include "auth/impl.h"
#include "auth/keyfile.h"
#include "base/mem.h"
#include "fixture.h"
#include "unit.h"

static bool find_at(struct auth_cache *c, uint64_t generation, uint64_t now_s)
{
    struct arena arena = {0};
    struct principal p;
    bool found = auth_cache_find(c, SLICE_LITERAL("token"), generation, now_s, &arena, &p);

    arena_finish(&arena);
    return found;
}

/* What was verified under one snapshot says nothing under another. */
START_TEST(s251_an_entry_is_of_one_generation)
{
    struct auth_cache *c = auth_cache_create();
    struct verified v = {.principal = {.tenant = &fx.settings.tenants[0]}, .exp = NOW + 100};

    auth_cache_put(c, SLICE_LITERAL("token"), 2, &v);
    ck_assert(!find_at(c, 1, NOW)); /* of an older snapshot: finds nothing, and the entry stays */
    ck_assert_uint_eq(auth_cache_count(c), 1);
    ck_assert(find_at(c, 2, NOW));
    auth_cache_put(c, SLICE_LITERAL("token"), 1, &v); /* does not replace the newer one */
    ck_assert(find_at(c, 2, NOW));
    ck_assert(!find_at(c, 3, NOW)); /* of a newer snapshot: the entry goes */
    ck_assert_uint_eq(auth_cache_count(c), 0);
    auth_cache_put(c, SLICE_LITERAL("token"), 2, &v);
    auth_cache_put(c, SLICE_LITERAL("token"), 3, &v); /* replaces the older one */
    ck_assert_uint_eq(auth_cache_count(c), 1);
    ck_assert(find_at(c, 3, NOW));
    auth_cache_destroy(c);
}
END_TEST

/* A token of the future, by more than the skew, is not taken from the cache either. */
START_TEST(s251_an_entry_may_not_be_due)
{
    struct auth_cache *c = auth_cache_create();
    struct verified v = {
        .principal = {.tenant = &fx.settings.tenants[0]}, .exp = NOW + 1000, .nbf = NOW + 61};

    auth_cache_put(c, SLICE_LITERAL("token"), 1, &v);
    ck_assert(!find_at(c, 1, NOW));
    ck_assert(find_at(c, 1, NOW + 1));
    auth_cache_destroy(c);
}
END_TEST

#define HEAD "{\"corral_keys\":1,\"salt\":\"AAECAwQFBgcICQoLDA0ODw\"}\n"
#define HASH "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define RECORD                                                                                     \
    "{\"id\":\"k1\",\"tenant\":\"acme\",\"user\":\"\",\"hash\":\"" HASH                            \
    "\",\"created\":\"2026-11-21T13:22:27Z\",\"revoked\":false}\n"

START_TEST(names_and_users)
{
    char long_name[65];

    memset(long_name, 'a', sizeof(long_name));
    ck_assert(auth_tenant_name_ok(slice_of(long_name, 64)));
    ck_assert(!auth_tenant_name_ok(slice_of(long_name, 65)));
    ck_assert(!auth_tenant_name_ok(slice_of(long_name, 0)));
    ck_assert(auth_user_ok(SLICE_LITERAL("Zo\xc3\xab")));
    ck_assert(!auth_user_ok(SLICE_LITERAL("Zo\xc3")));
    ck_assert(!auth_user_ok(SLICE_LITERAL("\xff")));
    ck_assert(!auth_user_ok(SLICE_LITERAL("a\xc2\x9b")));
    ck_assert(!auth_user_ok(SLICE_LITERAL("a\x7f")));
}
END_TEST

START_TEST(keys_that_are_added)
{
    struct keyfile f = {0};

    ck_assert_int_eq(
        keyfile_add_key(&f, "acme", NULL,
                        SLICE_LITERAL("ck_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")),
        CE_OK);
    ck_assert_int_eq(/* no base64url */
                     keyfile_add_key(
                         &f, "acme", NULL,
                         SLICE_LITERAL("ck_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+")),
                     CE_AUTH_TOKEN_SHAPE);
    ck_assert_int_eq(/* 258 bits */
                     keyfile_add_key(
                         &f, "acme", NULL,
                         SLICE_LITERAL("ck_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9")),
                     CE_AUTH_TOKEN_SHAPE);
    ck_assert_uint_eq(f.count, 1);
    keyfile_finish(&f);
}
END_TEST

START_TEST(a_key_file_has_a_hundred_thousand_keys)
{
    static const char record[] = RECORD;
    size_t head = strlen(HEAD);
    size_t one = strlen(record);
    char *text = xcalloc(1, head + one * (KEYFILE_MAX_KEYS + 1));
    struct auth_fault fault;
    struct keyfile f;

    memcpy(text, HEAD, head);
    for (size_t i = 0; i <= KEYFILE_MAX_KEYS; i++) {
        memcpy(text + head + i * one, record, one);
    }
    ck_assert_int_eq(keyfile_parse(slice_of(text, head + one * KEYFILE_MAX_KEYS), "f", &f, &fault),
                     CE_OK);
    ck_assert_uint_eq(f.count, KEYFILE_MAX_KEYS);
    keyfile_finish(&f);
    ck_assert_int_eq(
        keyfile_parse(slice_of(text, head + one * (KEYFILE_MAX_KEYS + 1)), "f", &f, &fault),
        CE_KEYS);
    ck_assert_ptr_nonnull(strstr(fault.text, "line 100002"));
    free(text);
}
END_TEST

/* Why a set of these keys is refused; NULL: it is taken. */
static const char *refusal_of(const char *keys)
{
    static struct auth_fault fault;
    char *text = fx_format("{\"keys\":[%s]}", keys);
    struct keyset set;
    bool taken = keyset_parse_jwks(slice_str(text), "set.json", &set, &fault) == CE_OK;

    free(text);
    if (taken) {
        keyset_finish(&set);
    }
    return taken ? NULL : fault.text;
}

/* A modulus that is 1, a power of 65537, modulo every small prime: only its form is looked at. */
START_TEST(s229_keys_of_one_maker_are_refused)
{
    char zeros[321 + 1];

    memset(zeros, 'A', 321);
    zeros[321] = '\0';
    char *jwk =
        fx_format("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"g%sPGKNWQ7GmLt1a5e4V1fw\"}", zeros);

    ck_assert_ptr_nonnull(strstr(refusal_of(jwk), "CVE-2017-15361"));
    free(jwk);
}
END_TEST

/* The same 64 bytes, cut in another place: RFC 7518 section 6.2.1.2. */
START_TEST(s225_coordinates_have_full_width)
{
    ck_assert_ptr_null(refusal_of("{\"kty\":\"EC\",\"crv\":\"P-256\","
                                  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"));
    ck_assert_ptr_nonnull(
        strstr(refusal_of("{\"kty\":\"EC\",\"crv\":\"P-256\","
                          "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVA\","
                          "\"y\":\"RcfxRM0bvZt-hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\"}"),
               "numbers"));
}
END_TEST

/* A token without kid: of several keys none is meant. */
START_TEST(s237_a_token_without_kid_has_a_single_key)
{
    char *a = fx_jwk(fx.p256, "\"kid\":\"a\"");
    char *b = fx_jwk(fx.p384, "\"kid\":\"b\"");

    for (size_t count = 1; count <= 2; count++) {
        struct auth_fault fault;
        struct keyset set;
        char *text =
            count == 1 ? fx_format("{\"keys\":[%s]}", a) : fx_format("{\"keys\":[%s,%s]}", a, b);

        ck_assert_int_eq(keyset_parse_jwks(slice_str(text), "f", &set, &fault), CE_OK);
        ck_assert((keyset_find(&set, slice_of(NULL, 0)) != NULL) == (count == 1));
        ck_assert_ptr_nonnull(keyset_find(&set, SLICE_LITERAL("a")));
        ck_assert_ptr_null(keyset_find(&set, SLICE_LITERAL("c")));
        keyset_finish(&set);
        free(text);
    }
    free(a);
    free(b);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("auth.edges");
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 120);
    tcase_add_unchecked_fixture(c, fixture_setup, fixture_teardown);
    tcase_add_test(c, s251_an_entry_is_of_one_generation);
    tcase_add_test(c, s251_an_entry_may_not_be_due);
    tcase_add_test(c, names_and_users);
    tcase_add_test(c, keys_that_are_added);
    tcase_add_test(c, a_key_file_has_a_hundred_thousand_keys);
    tcase_add_test(c, s229_keys_of_one_maker_are_refused);
    tcase_add_test(c, s225_coordinates_have_full_width);
    tcase_add_test(c, s237_a_token_without_kid_has_a_single_key);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
