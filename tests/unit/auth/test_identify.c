/* Authorization fields, API keys, the cache: S-249, S-251, key files, minting. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/keyfile.h"
#include "auth/mint.h"
#include "base/mem.h"
#include "fixture.h"
#include "unit.h"

static enum corral_err judge_value(const char *value)
{
    struct auth_cache *cache = auth_cache_create();
    struct http_fields f = fx_fields(slice_str(value));
    struct arena arena = {0};
    struct principal p;
    enum corral_err err = auth_identify(fx.auth, cache, 1, &f, NOW, false, &arena, &p);

    arena_finish(&arena);
    auth_cache_destroy(cache);
    return err;
}

static char *good_token(void)
{
    char *payload = fx_payload(ISS_MANY, NULL, 0);
    char *token = fx_sign("{\"alg\":\"ES256\",\"kid\":\"e1\"}", payload, "ES256", fx.p256);

    free(payload);
    return token;
}

START_TEST(the_field_holds_one_bearer_credential)
{
    char *t = good_token();
    const struct {
        const char *pattern;
        enum corral_err err;
    } cases[] = {
        {"Bearer %s", CE_OK},
        {"bearer %s", CE_OK},
        {"BEARER %s", CE_OK},
        {"Bearer  %s", CE_OK},
        {"Bearer     %s", CE_OK},
        {"Bearer \t%s", CE_AUTH_TOKEN_SHAPE},
        {"Bearer\t%s", CE_AUTH_SCHEME},
        {"Bearer%s", CE_AUTH_SCHEME},
        {"%s", CE_AUTH_SCHEME},
        {"Basic %s", CE_AUTH_SCHEME},
        {"Digest %s", CE_AUTH_SCHEME},
        {"Bearer token=\"%s\"", CE_AUTH_TOKEN_SHAPE},
        {"Bearer %s,", CE_AUTH_TOKEN_SHAPE},
        {"Bearer %s realm=x", CE_AUTH_TOKEN_SHAPE},
        {"Bearer \"%s\"", CE_AUTH_TOKEN_SHAPE},
        {"Bearer %s=", CE_AUTH_TOKEN_SHAPE},
        {"Bearer %s~", CE_AUTH_TOKEN_SHAPE},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strcspn(cases[i].pattern, "%");
        char *value =
            fx_format("%.*s%s%s", (int)len, cases[i].pattern, t, cases[i].pattern + len + 2);

        ck_assert_msg(judge_value(value) == cases[i].err, "%s", cases[i].pattern);
        free(value);
    }
    ck_assert_int_eq(judge_value(""), CE_AUTH_SCHEME);
    ck_assert_int_eq(judge_value("Bearer"), CE_AUTH_SCHEME);
    ck_assert_int_eq(judge_value("Bearer "), CE_AUTH_TOKEN_SHAPE);
    ck_assert_int_eq(judge_value("Bearer x"), CE_AUTH_TOKEN_SHAPE);
    ck_assert_int_eq(judge_value("Bearer ck_short"), CE_AUTH_TOKEN_SHAPE);
    /* As long as an API key, but of other letters: not even looked up. */
    ck_assert_int_eq(judge_value("Bearer ck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
                     CE_AUTH_KEY_UNKNOWN);
    ck_assert_int_eq(judge_value("Bearer ck_AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA"),
                     CE_AUTH_TOKEN_SHAPE);
    free(t);
}
END_TEST

START_TEST(s249_many_tokens)
{
    char *t = good_token();
    char *joined = fx_format("Bearer %s", t);
    struct auth_cache *cache = auth_cache_create();
    struct arena arena = {0};
    struct principal p;

    for (int i = 1; i < 15; i++) { /* as many as a field may hold */
        char *longer = fx_format("%s,%s", joined, t);

        free(joined);
        joined = longer;
    }
    ck_assert_int_eq(judge_value(joined), CE_AUTH_TOKEN_SHAPE);
    free(joined);
    joined = fx_format("Bearer %s", t);
    struct http_fields two = fx_fields(slice_str(joined));

    two.at[1] = two.at[0];
    two.count = 2;
    two.times[HF_AUTHORIZATION] = 2;
    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &two, NOW, false, &arena, &p),
                     CE_AUTH_REPEATED);
    struct http_fields none = {0};

    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &none, NOW, false, &arena, &p),
                     CE_AUTH_MISSING);
    arena_finish(&arena);
    auth_cache_destroy(cache);
    free(joined);
    free(t);
}
END_TEST

START_TEST(a_flood_sees_only_what_is_cheap)
{
    char *t = good_token();
    char *value = fx_format("Bearer %s", t);
    struct auth_cache *cache = auth_cache_create();
    struct http_fields f = fx_fields(slice_str(value));
    struct arena arena = {0};
    struct principal p;

    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW, true, &arena, &p), CE_AUTH_FLOOD);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW, false, &arena, &p), CE_OK);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW, true, &arena, &p), CE_OK);
    /* Another snapshot: verified again, under the old one's number no more. */
    ck_assert_int_eq(auth_identify(fx.auth, cache, 2, &f, NOW, true, &arena, &p), CE_AUTH_FLOOD);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 2, &f, NOW, false, &arena, &p), CE_OK);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 1, &f, NOW, true, &arena, &p), CE_AUTH_FLOOD);
    ck_assert_int_eq(auth_identify(fx.auth, cache, 2, &f, NOW, true, &arena, &p), CE_OK);
    arena_finish(&arena);
    auth_cache_destroy(cache);
    free(value);
    free(t);
}
END_TEST

static struct verified some_principal(uint64_t exp)
{
    static const struct slice models[] = {{"llama3*", 7}, {"", 0}, {"qwen3", 5}};

    return (struct verified){.principal = {.tenant = &fx.settings.tenants[0],
                                           .verbs = 5,
                                           .user = SLICE_LITERAL("ada"),
                                           .credential = SLICE_LITERAL("jwt:x"),
                                           .models = models,
                                           .model_count = 3,
                                           .has_models = true},
                             .exp = exp};
}

static bool find(struct auth_cache *c, const char *token, uint64_t now_s)
{
    struct arena arena = {0};
    struct principal p;
    bool found = auth_cache_find(c, slice_str(token), 1, now_s, &arena, &p);

    if (found) {
        ck_assert(slice_eq_str(p.user, "ada"));
        ck_assert_uint_eq(p.model_count, 3);
        ck_assert(slice_eq_str(p.models[2], "qwen3"));
        ck_assert_uint_eq(p.verbs, 5);
    }
    arena_finish(&arena);
    return found;
}

START_TEST(s251_one_token_a_million_times)
{
    struct auth_cache *c = auth_cache_create();
    struct verified v = some_principal(NOW + 100);

    for (int i = 0; i < 1000000; i++) {
        struct arena arena = {0};
        struct principal p;

        if (!auth_cache_find(c, SLICE_LITERAL("token"), 1, NOW, &arena, &p)) {
            ck_assert_int_eq(i, 0);
            auth_cache_put(c, SLICE_LITERAL("token"), 1, &v);
        }
        arena_finish(&arena);
    }
    ck_assert_uint_eq(auth_cache_count(c), 1);
    ck_assert(find(c, "token", NOW + 159));
    ck_assert(!find(c, "token", NOW + 160));
    ck_assert_uint_eq(auth_cache_count(c), 0);
    auth_cache_destroy(c);
}
END_TEST

START_TEST(s251_the_cache_is_bounded)
{
    struct auth_cache *c = auth_cache_create();
    struct verified v = some_principal(NOW + 100);
    char token[64];
    struct slice big = slice_of(xcalloc(1, 8000), 8000);

    ck_assert_uint_eq(auth_cache_bytes(c), 0);
    for (int i = 0; i < 30000; i++) {
        snprintf(token, sizeof(token), "token-%d", i);
        auth_cache_put(c, slice_str(token), 1, &v);
        ck_assert(find(c, "token-0", NOW)); /* stays: it is used */
    }
    ck_assert_uint_eq(auth_cache_count(c), AUTH_CACHE_ENTRIES);
    ck_assert(!find(c, "token-1", NOW));
    ck_assert(!find(c, "token-20000", NOW));
    ck_assert(find(c, "token-20001", NOW));
    ck_assert(find(c, "token-29999", NOW));
    for (int i = 0; i < 3000; i++) {
        memcpy((char *)big.ptr, &i, sizeof(i));
        auth_cache_put(c, big, 1, &v);
    }
    ck_assert_uint_le(auth_cache_bytes(c), AUTH_CACHE_MAX_BYTES + 16384 * sizeof(void *));
    ck_assert_uint_lt(auth_cache_count(c), 1100);
    free((void *)big.ptr);
    auth_cache_destroy(c);
}
END_TEST

/* Every order of adding and expiring leaves exactly what it should. */
START_TEST(the_cache_agrees_with_a_plain_list)
{
    struct auth_cache *c = auth_cache_create();
    bool there[200] = {false};
    unsigned seed = 1;
    char token[32];
    size_t count = 0;

    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned n = (seed >> 16) % ARRAY_LEN(there);
        bool add = (seed >> 8) % 2 == 0;
        struct verified v = some_principal(add ? NOW + 1000 : NOW - 1000);

        snprintf(token, sizeof(token), "%u", n);
        ck_assert(find(c, token, NOW) == there[n]);
        auth_cache_put(c, slice_str(token), 1, &v);
        ck_assert(find(c, token, NOW) == add);
        count = count + (add ? 1 : 0) - (there[n] ? 1 : 0);
        there[n] = add;
        ck_assert_uint_eq(auth_cache_count(c), count);
    }
    auth_cache_destroy(c);
}
END_TEST

START_TEST(not_yet_valid_again)
{
    struct auth_cache *c = auth_cache_create();
    struct verified v = some_principal(NOW + 100);

    v.nbf = NOW;
    auth_cache_put(c, SLICE_LITERAL("t"), 1, &v);
    ck_assert(find(c, "t", NOW - 60));
    ck_assert(!find(c, "t", NOW - 61)); /* the clock went back */
    ck_assert(find(c, "t", NOW));
    auth_cache_destroy(c);
    auth_cache_destroy(NULL);
}
END_TEST

static struct auth *auth_with_keys(const char *path, struct auth_settings *s)
{
    struct auth_fault fault = {{0}};
    struct auth *a = NULL;

    *s = fx.settings;
    s->issuer_count = 0;
    s->api_keys_file = (char *)path;
    ck_assert_msg(auth_create(s, &a, &fault) == CE_OK, "%s", fault.text);
    return a;
}

static enum corral_err judge_key(const struct auth *a, const char *key, struct principal *out)
{
    struct auth_cache *cache = auth_cache_create();
    char *value = fx_format("Bearer %s", key);
    struct http_fields f = fx_fields(slice_str(value));
    struct arena arena = {0};
    enum corral_err err = auth_identify(a, cache, 1, &f, NOW, true, &arena, out);

    if (err == CE_OK) { /* and once more from the cache */
        ck_assert_int_eq(auth_identify(a, cache, 1, &f, UINT64_MAX, true, &arena, out), CE_OK);
        ck_assert(slice_eq_str(out->user, "ada"));
    }
    arena_finish(&arena);
    auth_cache_destroy(cache);
    free(value);
    return err;
}

START_TEST(api_keys_live_and_die)
{
    struct auth_settings s;
    struct auth_fault fault = {{0}};
    struct keyfile f = {0};
    struct principal p;
    char first[KEY_TEXT_BYTES];
    char key[KEY_TEXT_BYTES];
    const char *path = fx_path("keys");

    ck_assert_int_eq(keyfile_read(path, &f, &fault), CE_NOT_FOUND);
    keyfile_create_key(&f, "acme", "ada", first);
    for (int i = 0; i < 100; i++) {
        keyfile_create_key(&f, "beta", "", key);
    }
    ck_assert_int_eq(keyfile_write(path, &f, &fault), CE_OK);
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    struct auth *a = auth_with_keys(path, &s);

    ck_assert(auth_has_credentials(a));
    ck_assert_int_eq(judge_key(a, first, &p), CE_OK);
    ck_assert_str_eq(p.tenant->name, "acme");
    ck_assert_uint_eq(p.credential.len, 4 + 12);
    ck_assert(slice_starts_with(p.credential, SLICE_LITERAL("key:k")));
    key[10] = key[10] == 'A' ? 'B' : 'A';
    ck_assert_int_eq(judge_key(a, key, &p), CE_AUTH_KEY_UNKNOWN);
    ck_assert_int_eq(keyfile_revoke(&f, f.records[0].id), CE_OK);
    ck_assert_int_eq(keyfile_revoke(&f, "nobody"), CE_NOT_FOUND);
    ck_assert_int_eq(keyfile_write(path, &f, &fault), CE_OK);
    auth_destroy(a);
    a = auth_with_keys(path, &s);
    ck_assert_int_eq(judge_key(a, first, &p), CE_AUTH_KEY_UNKNOWN);
    auth_destroy(a);
    keyfile_finish(&f);
    unlink(path);
}
END_TEST

START_TEST(key_files_come_back_as_written)
{
    struct auth_fault fault = {{0}};
    struct keyfile f = {0};
    struct keyfile g;
    char key[KEY_TEXT_BYTES];
    const char *path = fx_path("keys");

    keyfile_create_key(&f, "acme", "Zo\xc3\xab \"x\"\\", key);
    ck_assert_int_eq(keyfile_add_key(&f, "beta", NULL, slice_str(key)), CE_OK);
    ck_assert_int_eq(keyfile_add_key(&f, "beta", "", SLICE_LITERAL("ck_x")), CE_AUTH_TOKEN_SHAPE);
    key[0] = 'x';
    ck_assert_int_eq(keyfile_add_key(&f, "beta", "", slice_str(key)), CE_AUTH_TOKEN_SHAPE);
    ck_assert_int_eq(keyfile_write(path, &f, &fault), CE_OK);
    ck_assert_int_eq(keyfile_read(path, &g, &fault), CE_OK);
    ck_assert_uint_eq(g.count, 2);
    ck_assert_mem_eq(f.salt, g.salt, sizeof(f.salt));
    for (size_t i = 0; i < 2; i++) {
        ck_assert_str_eq(f.records[i].id, g.records[i].id);
        ck_assert_str_eq(f.records[i].tenant, g.records[i].tenant);
        ck_assert_str_eq(f.records[i].user, g.records[i].user);
        ck_assert_str_eq(f.records[i].created, g.records[i].created);
        ck_assert_mem_eq(f.records[i].hash, g.records[i].hash, sizeof(f.records[i].hash));
        ck_assert(!g.records[i].revoked);
    }
    /* One key on two lines: revoking one would leave the other. */
    struct auth_settings s = fx.settings;
    struct auth *a = NULL;

    s.api_keys_file = (char *)path;
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_KEYS);
    ck_assert_ptr_nonnull(strstr(fault.text, "line 3"));
    keyfile_finish(&g);
    keyfile_finish(&f);
    unlink(path);
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_KEYS);
    ck_assert_ptr_nonnull(strstr(fault.text, "corral key create"));
    ck_assert_int_eq(keyfile_write("/nonexistent/keys", &f, &fault), CE_KEYS);
}
END_TEST

#define HEAD "{\"corral_keys\":1,\"salt\":\"AAECAwQFBgcICQoLDA0ODw\"}\n"
#define HASH "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define RECORD(id, tenant, user, hash, rest)                                                       \
    "{\"id\":\"" id "\",\"tenant\":\"" tenant "\",\"user\":\"" user "\",\"hash\":\"" hash          \
    "\",\"created\":\"2026-11-21T13:22:27Z\"" rest "}\n"
#define GOOD RECORD("k1", "acme", "", HASH, ",\"revoked\":false")

START_TEST(malformed_key_files)
{
    static const struct {
        const char *text;
        const char *place;
    } bad[] = {
        {"", "line 1"},
        {"\n", "line 1"},
        {"x", "line 1"},
        {"{}\n", "line 1"},
        {GOOD, "line 1"},
        {"{\"corral_keys\":2,\"salt\":\"AAECAwQFBgcICQoLDA0ODw\"}\n", "line 1"},
        {"{\"corral_keys\":\"1\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw\"}\n", "line 1"},
        {"{\"corral_keys\":1,\"salt\":\"AAEC\"}\n", "line 1"},
        {"{\"corral_keys\":1,\"salt\":\"AAECAwQFBgcICQoLDA0ODx\"}\n", "line 1"},
        {"{\"corral_keys\":1,\"salt\":\"AAECAwQFBgcICQoLDA0ODw\",\"x\":1}\n", "line 1"},
        {HEAD "\n", "line 2"},
        {HEAD GOOD "x\n", "line 3"},
        {HEAD GOOD GOOD "{\"id\":1}\n", "line 4"},
        {HEAD RECORD("", "acme", "", HASH, ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("K1", "acme", "", HASH, ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("k123456789012", "acme", "", HASH, ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("k1", "", "", HASH, ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("k1", "a b", "", HASH, ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("k1", "acme", "\\n", HASH, ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("k1", "acme", "", "AAEC", ",\"revoked\":false"), "line 2"},
        {HEAD RECORD("k1", "acme", "", HASH, ",\"revoked\":0"), "line 2"},
        {HEAD RECORD("k1", "acme", "", HASH, ""), "line 2"},
        {HEAD RECORD("k1", "acme", "", HASH, ",\"revoked\":true,\"revoked\":false"), "line 2"},
        {HEAD RECORD("k1", "acme", "", HASH, ",\"revoked\":false,\"expires\":1"), "line 2"},
    };
    struct auth_fault fault;
    struct keyfile f;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_msg(keyfile_parse(slice_str(bad[i].text), "f", &f, &fault) == CE_KEYS, "%s",
                      bad[i].text);
        ck_assert_msg(strstr(fault.text, bad[i].place) != NULL, "%s: %s", bad[i].text, fault.text);
    }
    ck_assert_int_eq(keyfile_parse(slice_str(HEAD GOOD), "f", &f, &fault), CE_OK);
    ck_assert_uint_eq(f.count, 1);
    keyfile_finish(&f);
    ck_assert_int_eq(keyfile_parse(slice_of(HEAD, strlen(HEAD) - 1), "f", &f, &fault), CE_OK);
    keyfile_finish(&f);
}
END_TEST

/* It is skipped, and its line told; the others are there. */
START_TEST(key_of_an_unknown_tenant)
{
    const char text[] = HEAD RECORD("k2", "gone", "", HASH, ",\"revoked\":true") GOOD;
    const struct auth_fault *skipped;
    struct auth_settings s = fx.settings;
    struct auth_fault fault = {{0}};
    struct auth *a = NULL;

    fx_write("keys", text, sizeof(text) - 1);
    s.api_keys_file = (char *)fx_path("keys");
    ck_assert_int_eq(auth_create(&s, &a, &fault), CE_OK);
    ck_assert_uint_eq(auth_skipped_keys(a, &skipped), 1);
    ck_assert_ptr_nonnull(strstr(skipped[0].text, "line 2: key k2"));
    ck_assert_ptr_nonnull(strstr(skipped[0].text, "gone"));
    ck_assert(auth_has_credentials(a));
    auth_destroy(a);
    unlink(s.api_keys_file);
}
END_TEST

/* keygen, keyset_read, mint, identify: each with the others' files. */
static void mint_and_judge(const char *algorithm, const char *private_name, const char *public_name)
{
    static const struct slice verbs[] = {{"chat", 4}};
    static const struct slice models[] = {{"llama3*", 7}};
    struct auth_fault fault = {{0}};
    struct keygen_files files;
    struct auth_settings s = fx.settings;
    struct issuer_settings issuer = fx.settings.issuers[2];
    struct buf token = buf_make(AUTH_MAX_TOKEN_BYTES);
    struct auth *a = NULL;

    ck_assert_msg(keygen_write(algorithm, fx_path("new"), &files, &fault) == CE_OK, "%s",
                  fault.text);
    ck_assert_int_eq(keygen_write(algorithm, fx_path("new"), &files, &fault), CE_KEYS);
    ck_assert_ptr_nonnull(strstr(fault.text, "there already"));
    struct mint_request r = {.algorithm = algorithm,
                             .key_file = fx_path(private_name),
                             .kid = "k",
                             .issuer = ISS_RSA,
                             .audience = "corral",
                             .tenant = "acme",
                             .user = "ada \"x\"",
                             .verbs = verbs,
                             .verb_count = 1,
                             .models = models,
                             .model_count = 1,
                             .now_s = NOW,
                             .lifetime_s = 600};

    ck_assert_msg(mint_token(&r, &token, &fault) == CE_OK, "%s", fault.text);
    issuer.keys_file = (char *)fx_path(public_name);
    s.issuers = &issuer;
    s.issuer_count = 1;
    ck_assert_msg(auth_create(&s, &a, &fault) == CE_OK, "%s", fault.text);
    struct arena arena = {0};
    struct verified v;

    ck_assert_int_eq(token_judge(a, buf_slice(&token), NOW, &arena, &v), CE_OK);
    ck_assert(slice_eq_str(v.principal.user, "ada \"x\""));
    ck_assert_uint_eq(v.principal.verbs, VERB_BIT(VERB_CHAT));
    ck_assert_uint_eq(v.principal.model_count, 1);
    ck_assert_uint_eq(v.exp, NOW + 600);
    r.algorithm = strcmp(algorithm, "RS256") == 0 ? "ES256" : "RS256";
    ck_assert_int_eq(mint_token(&r, &token, &fault), CE_KEYS);
    r.algorithm = strcmp(algorithm, "EdDSA") == 0 ? "none" : "EdDSA";
    ck_assert_int_eq(mint_token(&r, &token, &fault), CE_KEYS);
    arena_finish(&arena);
    auth_destroy(a);
    buf_finish(&token);
    unlink(fx_path(private_name));
    unlink(fx_path(public_name));
}

START_TEST(minted_tokens_are_believed)
{
    struct auth_fault fault = {{0}};
    struct keygen_files files;

    mint_and_judge("RS256", "new-private.pem", "new-public.pem");
    mint_and_judge("ES256", "new-private.pem", "new-public.pem");
    mint_and_judge("HS256", "new.secret", "new.secret");
    mint_and_judge("EdDSA", "new-private.pem", "new-public.pem");
    ck_assert_int_eq(keygen_write("EdDSA", fx_path("ed"), &files, &fault), CE_OK);
    ck_assert_int_eq(keygen_write("none", fx_path("ed"), &files, &fault), CE_KEYS);
    unlink(files.private_path);
    unlink(files.public_path);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("auth.identify");
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, fixture_setup, fixture_teardown);
    tcase_add_test(c, the_field_holds_one_bearer_credential);
    tcase_add_test(c, s249_many_tokens);
    tcase_add_test(c, a_flood_sees_only_what_is_cheap);
    tcase_add_test(c, s251_one_token_a_million_times);
    tcase_add_test(c, s251_the_cache_is_bounded);
    tcase_add_test(c, the_cache_agrees_with_a_plain_list);
    tcase_add_test(c, not_yet_valid_again);
    tcase_add_test(c, api_keys_live_and_die);
    tcase_add_test(c, key_files_come_back_as_written);
    tcase_add_test(c, malformed_key_files);
    tcase_add_test(c, key_of_an_unknown_tenant);
    tcase_add_test(c, minted_tokens_are_believed);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
