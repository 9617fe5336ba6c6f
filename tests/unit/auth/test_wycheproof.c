/*
 * Wycheproof's vectors (S-228 to S-230): nothing that they call invalid is accepted, and what they
 * call valid is, but for what corral refuses on purpose. They are not part of the repository:
 * without their folder the whole program is skipped, and meson reports it as skipped.
 */
#include <stdio.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "auth/fault.h"
#include "auth/token.h"
#include "base/mem.h"
#include "unit.h"

struct score {
    size_t valid;
    size_t invalid;
    size_t valid_refused;
    size_t wrong_accepts;
    size_t contradictions;
};

static const char *data_folder(void)
{
    const char *folder = getenv("CORRAL_SHARED_DATA");

    return folder == NULL ? CORRAL_SHARED_DATA_DEFAULT : folder;
}

static cJSON *load(const char *name)
{
    char path[1024];
    struct file_bytes bytes;

    snprintf(path, sizeof(path), "%s/wycheproof/%s", data_folder(), name);
    ck_assert_msg(file_bytes_read(path, 1 << 20, &bytes, NULL) == CE_OK, "%s is missing", path);
    cJSON *json = cJSON_ParseWithLength(bytes.ptr, bytes.len);

    ck_assert_ptr_nonnull(json);
    file_bytes_finish(&bytes);
    return json;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    return text == NULL ? "" : text;
}

static void count(struct score *s, const cJSON *test, bool accepted, const char *what)
{
    const char *result = text_of(test, "result");
    int id = cJSON_GetObjectItemCaseSensitive(test, "tcId")->valueint;

    if (strcmp(result, "invalid") == 0) {
        s->invalid++;
        s->wrong_accepts += accepted ? 1 : 0;
        ck_assert_msg(!accepted, "%s %d (%s) was accepted", what, id, text_of(test, "comment"));
    } else if (strcmp(result, "valid") == 0) {
        s->valid++;
        s->valid_refused += accepted ? 0 : 1;
        if (!accepted) {
            fprintf(stderr, "# %s %d (%s): valid, refused by us\n", what, id,
                    text_of(test, "comment"));
        }
    }
}

/* The key set of a group: one key or several, with the private parts taken off. */
static bool group_keys(const cJSON *group, struct keyset *out)
{
    static const char *const hidden[] = {"d", "p", "q", "dp", "dq", "qi"};
    cJSON *source = cJSON_GetObjectItemCaseSensitive(group, "public");

    source = source == NULL ? cJSON_GetObjectItemCaseSensitive(group, "private") : source;
    cJSON *set = cJSON_CreateObject();
    cJSON *list = cJSON_GetObjectItemCaseSensitive(source, "keys");

    if (list == NULL) {
        list = cJSON_CreateArray();
        cJSON_AddItemToArray(list, cJSON_Duplicate(source, true));
    } else {
        list = cJSON_Duplicate(list, true);
    }
    cJSON_AddItemToObject(set, "keys", list);
    cJSON *key = NULL;

    cJSON_ArrayForEach(key, list)
    {
        for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
            cJSON_DeleteItemFromObjectCaseSensitive(key, hidden[i]);
        }
    }
    char *text = cJSON_PrintUnformatted(set);
    struct auth_fault fault = {{0}};
    bool loaded =
        keyset_parse_jwks(slice_str(text), text_of(group, "comment"), out, &fault) == CE_OK;

    if (!loaded) {
        fprintf(stderr, "# %s\n", fault.text);
    }
    free(text);
    cJSON_Delete(set);
    return loaded;
}

static bool jws_accepted(const struct keyset *keys, const char *jws)
{
    struct arena arena = {0};
    struct token_parts parts;
    struct token_header header;
    bool ok = token_split(slice_str(jws), &arena, &parts) == CE_OK &&
              token_read_header(parts.header, &arena, &header) == CE_OK &&
              token_check_signature(&parts, &header, keys) == CE_OK;

    arena_finish(&arena);
    return ok;
}

/*
 * Two of the vectors that shall be invalid are byte for byte the one before them that is valid
 * (C2SP/wycheproof issue 236). Nobody can tell them apart; they are counted, not judged.
 */
static bool contradicts(const cJSON *group, const cJSON *test)
{
    const cJSON *other = NULL;

    if (strcmp(text_of(test, "result"), "invalid") != 0 || text_of(test, "jws")[0] == '\0') {
        return false;
    }
    cJSON_ArrayForEach(other, cJSON_GetObjectItemCaseSensitive(group, "tests"))
    {
        if (strcmp(text_of(other, "result"), "valid") == 0 &&
            strcmp(text_of(other, "jws"), text_of(test, "jws")) == 0) {
            return true;
        }
    }
    return false;
}

static void run_group(const cJSON *group, const char *name, struct score *s)
{
    struct keyset keys = {0};
    bool loaded = group_keys(group, &keys);
    const cJSON *test = NULL;

    cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
    {
        const char *jws = text_of(test, "jws");

        if (contradicts(group, test)) {
            s->contradictions++;
            continue;
        }
        count(s, test, loaded && jws[0] != '\0' && jws_accepted(&keys, jws), name);
    }
    keyset_finish(&keys);
}

static void print_score(const char *name, const struct score *s)
{
    fprintf(stderr, "# %s: %zu valid (%zu refused), %zu invalid (%zu accepted), %zu both\n", name,
            s->valid, s->valid_refused, s->invalid, s->wrong_accepts, s->contradictions);
}

static struct score run_jws(const char *name)
{
    struct score s = {0};
    cJSON *file = load(name);
    const cJSON *group = NULL;

    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(file, "testGroups"))
    {
        run_group(group, name, &s);
    }
    cJSON_Delete(file);
    print_score(name, &s);
    return s;
}

static struct slice unhex(const char *hex, unsigned char *out)
{
    size_t len = strlen(hex) / 2;

    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;

        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (unsigned char)byte;
    }
    return slice_of((char *)out, len);
}

/* The group's key, bound to `alg`: through a JWKS where there is a JWK, else from its DER. */
static bool vector_key(const cJSON *group, const char *alg, struct sig_key *out)
{
    static unsigned char bytes[4096];
    struct slice der = unhex(text_of(group, "publicKeyDer"), bytes);
    const unsigned char *at = bytes;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.len);
    enum sig_alg wanted = SIG_ALG_COUNT;
    const char *why = "not a key";
    bool loaded = pkey != NULL && sig_alg_parse(slice_str(alg), &wanted) == CE_OK &&
                  sig_key_init_pkey(out, pkey, wanted, slice_str("k"), &why) == CE_OK;

    if (!loaded) {
        fprintf(stderr, "# %s\n", why);
    }
    EVP_PKEY_free(pkey);
    return loaded;
}

/* The same key as a JWK must be the same key. */
static void check_jwk(const cJSON *group, const char *alg, const struct sig_key *key)
{
    const cJSON *jwk = cJSON_GetObjectItemCaseSensitive(group, "publicKeyJwk");
    struct keyset keys;

    jwk = jwk == NULL ? cJSON_GetObjectItemCaseSensitive(group, "keyJwk") : jwk;
    if (jwk == NULL) {
        return;
    }
    cJSON *wrapped = cJSON_CreateObject();
    cJSON *copy = cJSON_Duplicate(jwk, true);

    cJSON_DeleteItemFromObjectCaseSensitive(copy, "alg");
    cJSON_AddStringToObject(copy, "alg", alg);
    cJSON_AddItemToObject(wrapped, "public", copy);
    ck_assert(group_keys(wrapped, &keys));
    ck_assert_int_eq(EVP_PKEY_eq(keys.keys[0].pkey, key->pkey), 1);
    keyset_finish(&keys);
    cJSON_Delete(wrapped);
}

static struct score run_vectors(const char *name, const char *alg)
{
    static unsigned char message[65536];
    static unsigned char signature[65536];
    struct score s = {0};
    cJSON *file = load(name);
    cJSON *group = NULL;
    cJSON *test = NULL;

    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(file, "testGroups"))
    {
        struct sig_key key = {0};
        bool loaded = vector_key(group, alg, &key);

        if (loaded) {
            check_jwk(group, alg, &key);
        }

        cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
        {
            struct slice msg = unhex(text_of(test, "msg"), message);
            struct slice sig = unhex(text_of(test, "sig"), signature);

            count(&s, test, loaded && sig_key_verify(&key, msg, sig), name);
        }
        sig_key_finish(&key);
    }
    cJSON_Delete(file);
    print_score(name, &s);
    return s;
}

/* Refused although valid, on purpose: empty payloads, a key's alg that is not the token's or none
 * of RFC 7518, characters outside the alphabet, and encryption. */
START_TEST(s230_json_web)
{
    static const struct {
        const char *file;
        size_t may_refuse;
    } sets[] = {
        {"json_web_signature_test.json", 12},
        {"json_web_key_test.json", 0},
        {"json_web_crypto_test.json", 2},
    };

    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        struct score s = run_jws(sets[i].file);

        ck_assert_uint_gt(s.valid + s.invalid, 0);
        ck_assert_uint_eq(s.wrong_accepts, 0);
        ck_assert_uint_le(s.valid_refused, sets[i].may_refuse);
        ck_assert_uint_le(s.contradictions, 2);
    }
}
END_TEST

START_TEST(s228_s229_s230_signatures)
{
    static const struct {
        const char *file;
        const char *alg;
    } sets[] = {
        {"ecdsa_secp256r1_sha256_p1363_test.json", "ES256"},
        {"ecdsa_secp384r1_sha384_p1363_test.json", "ES384"},
        {"ed25519_test.json", "EdDSA"},
        {"rsa_signature_2048_sha256_test.json", "RS256"},
        {"rsa_pss_2048_sha256_mgf1_32_test.json", "PS256"},
    };

    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        struct score s = run_vectors(sets[i].file, sets[i].alg);

        ck_assert_uint_gt(s.valid + s.invalid, 0);
        ck_assert_uint_eq(s.wrong_accepts, 0);
        ck_assert_uint_eq(s.valid_refused, 0);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("auth.wycheproof");
    TCase *c = tcase_create("all");

    tcase_set_timeout(c, 120);
    tcase_add_test(c, s230_json_web);
    tcase_add_test(c, s228_s229_s230_signatures);
    suite_add_tcase(s, c);
    return s;
}

static bool folder_is_missing(void)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/wycheproof", data_folder());
    if (access(path, R_OK) == 0) {
        return false;
    }
    printf("1..0 # SKIP no vectors in %s\n", path);
    return true;
}

UNIT_MAIN_UNLESS(folder_is_missing(), suite)
