#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "auth/fault.h"
#include "auth/json.h"
#include "auth/keyset.h"
#include "base/base64.h"
#include "base/mem.h"

enum { EC_MAX_POINT_BYTES = 1 + 2 * 66, JWKS_KEYS_MAX = 4096 };

/* One member of "keys" while it is read. */
struct jwk {
    struct slice text; /* of the whole set */
    const struct scan_value *object;
    struct arena *arena;
};

static struct slice jwk_string(const struct jwk *j, const char *name)
{
    return json_member_string(j->text, j->object, name, j->arena);
}

static bool jwk_has(const struct jwk *j, const char *name)
{
    struct scan_value v;

    return json_member(j->text, j->object, name, j->arena, &v);
}

/* A base64url member; ptr NULL when it is missing, empty or misspelled. */
static struct slice jwk_bytes(const struct jwk *j, const char *name)
{
    struct slice text = jwk_string(j, name);
    size_t len = 0;

    if (text.len == 0) {
        return slice_of(NULL, 0);
    }
    unsigned char *out = arena_alloc(j->arena, text.len);

    if (base64url_decode(text, out, &len) != CE_OK) {
        return slice_of(NULL, 0);
    }
    return slice_of((char *)out, len);
}

static bool list_has_verify(const struct jwk *j, const struct scan_value *list)
{
    struct scan_cursor c = scan_open(j->text, list);
    struct scan_value v;

    while (scan_next(&c, &v)) {
        if (v.kind == SCAN_STRING && slice_eq_str(scan_string(j->text, &v, j->arena), "verify")) {
            return true;
        }
    }
    return false;
}

/* RFC 7517 sections 4.2 and 4.3. */
static bool is_for_signatures(const struct jwk *j)
{
    struct scan_value v;

    if (json_member(j->text, j->object, "use", j->arena, &v) &&
        !slice_eq_str(jwk_string(j, "use"), "sig")) {
        return false;
    }
    return !json_member(j->text, j->object, "key_ops", j->arena, &v) || list_has_verify(j, &v);
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *rsa_pkey(const struct jwk *j)
{
    struct slice n = jwk_bytes(j, "n");
    struct slice e = jwk_bytes(j, "e");

    if (n.ptr == NULL || e.ptr == NULL || n.len > SIG_RSA_MAX_BITS / 8 || e.len > 8) {
        return NULL;
    }
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
    EVP_PKEY *pkey = NULL;

    if (build != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        pkey = pkey_from("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

/* Coordinates are padded to the full width of the field (RFC 7518 section 6.2.1.2). */
static EVP_PKEY *ec_pkey(const struct jwk *j)
{
    static const struct {
        const char *curve;
        size_t bytes;
    } curves[] = {{"P-256", 32}, {"P-384", 48}, {"P-521", 66}};
    struct slice curve = jwk_string(j, "crv");
    struct slice x = jwk_bytes(j, "x");
    struct slice y = jwk_bytes(j, "y");
    unsigned char point[EC_MAX_POINT_BYTES] = {0x04}; /* uncompressed */
    EVP_PKEY *pkey = NULL;
    size_t i = 0;

    while (i < ARRAY_LEN(curves) && !slice_eq_str(curve, curves[i].curve)) {
        i++;
    }
    if (i == ARRAY_LEN(curves) || x.len != curves[i].bytes || y.len != curves[i].bytes) {
        return NULL;
    }
    memcpy(point + 1, x.ptr, x.len);
    memcpy(point + 1 + x.len, y.ptr, y.len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();

    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].curve, 0) ==
            1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + x.len + y.len) == 1) {
        pkey = pkey_from("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static EVP_PKEY *okp_pkey(const struct jwk *j)
{
    struct slice x = jwk_bytes(j, "x");

    if (!slice_eq_str(jwk_string(j, "crv"), "Ed25519") || x.len != 32) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.ptr, x.len);
}

/* The algorithm of a JWK: its own `alg`, or what its key can only mean. */
static const char *choose_alg(const struct jwk *j, const EVP_PKEY *pkey, enum sig_alg *out)
{
    if (jwk_has(j, "alg")) {
        return sig_alg_parse(jwk_string(j, "alg"), out) == CE_OK
                   ? NULL
                   : "its alg is not one of HS/RS/PS/ES 256, 384, 512 or EdDSA";
    }
    if (pkey == NULL) {
        return "a secret (oct) needs an alg: HS256, HS384 or HS512";
    }
    return sig_alg_of_pkey(pkey, out) == CE_OK ? NULL : "has no alg, and its type does not say one";
}

static const char *take_oct(const struct jwk *j, struct slice kid, struct sig_key *out)
{
    enum sig_alg alg = SIG_HS256;
    struct slice secret = jwk_bytes(j, "k");
    const char *why = choose_alg(j, NULL, &alg);

    if (why == NULL && secret.ptr == NULL) {
        why = "its k is missing or not base64url";
    }
    if (why == NULL && sig_key_init_secret(out, secret, alg, kid, &why) == CE_OK) {
        why = NULL;
    }
    if (secret.ptr != NULL) {
        explicit_bzero((char *)secret.ptr, secret.len); /* ours: decoded into the arena */
    }
    return why;
}

static const char *take_public(const struct jwk *j, struct slice kty, struct slice kid,
                               struct sig_key *out)
{
    static const char *const private_members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    EVP_PKEY *pkey = NULL;
    enum sig_alg alg = SIG_RS256;

    for (size_t i = 0; i < ARRAY_LEN(private_members); i++) {
        if (jwk_has(j, private_members[i])) {
            return "holds private members; publish the public part only";
        }
    }
    if (slice_eq_str(kty, "RSA")) {
        pkey = rsa_pkey(j);
    } else if (slice_eq_str(kty, "EC")) {
        pkey = ec_pkey(j);
    } else if (slice_eq_str(kty, "OKP")) {
        pkey = okp_pkey(j);
    } else {
        return "its kty is not one of RSA, EC, OKP, oct";
    }
    const char *why = pkey == NULL ? "its numbers are missing, misspelled, or of a curve that is "
                                     "not P-256, P-384, P-521 or Ed25519"
                                   : choose_alg(j, pkey, &alg);

    if (why == NULL && sig_key_init_pkey(out, pkey, alg, kid, &why) == CE_OK) {
        why = NULL;
    }
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return why;
}

static const char *take_kid(const struct jwk *j, const struct keyset *set, struct slice *out)
{
    struct slice kid = jwk_string(j, "kid");

    if (jwk_has(j, "kid") && (kid.len == 0 || kid.len > KEYSET_MAX_KID_BYTES)) {
        return "its kid is not a string of 1 to 256 bytes";
    }
    for (size_t i = 0; kid.len > 0 && i < set->count; i++) {
        if (slice_eq_str(kid, set->keys[i].kid)) {
            return "its kid is another key's too";
        }
    }
    *out = kid;
    return NULL;
}

static const char *take_jwk(const struct jwk *j, struct keyset *set)
{
    struct slice kid = {NULL, 0};
    struct sig_key key = {0};
    const char *why;

    if (j->object->kind != SCAN_OBJECT) {
        return "is not an object";
    }
    struct slice kty = jwk_string(j, "kty");
    bool is_secret = slice_eq_str(kty, "oct");

    if (!is_for_signatures(j)) {
        return NULL;
    }
    if (set->count == KEYSET_MAX_KEYS) {
        return "is one too many; 64 keys are allowed";
    }
    why = take_kid(j, set, &kid);
    if (why == NULL) {
        why = is_secret ? take_oct(j, kid, &key) : take_public(j, kty, kid, &key);
    }
    if (why != NULL) {
        return why;
    }
    set->keys = xgrow(set->keys, set->count, &set->capacity, sizeof(*set->keys));
    set->keys[set->count++] = key;
    return NULL;
}

/* What only the whole set shows. */
static const char *check_set(const struct keyset *set)
{
    size_t secrets = 0;
    size_t nameless = 0;

    for (size_t i = 0; i < set->count; i++) {
        secrets += sig_alg_is_hmac(set->keys[i].alg) ? 1 : 0;
        nameless += set->keys[i].kid[0] == '\0' ? 1 : 0;
    }
    if (set->count == 0) {
        return "holds no key that verifies signatures";
    }
    if (secrets != 0 && secrets != set->count) {
        return "mixes secrets (oct) with public keys; a public set must never hold a secret";
    }
    return nameless != 0 && set->count > 1 ? "holds several keys, so each needs a kid" : NULL;
}

static enum corral_err take_all(struct slice text, const char *name, struct arena *arena,
                                struct keyset *set, struct auth_fault *out_fault)
{
    struct scan_value root = scan_root(text);
    struct scan_value keys;
    struct scan_value item;

    if (!json_member(text, &root, "keys", arena, &keys) || keys.kind != SCAN_ARRAY) {
        return auth_fault_set(out_fault, "%s: a JWKS is {\"keys\": [...]}; there is no such array",
                              name);
    }
    struct scan_cursor c = scan_open(text, &keys);

    for (size_t number = 1; scan_next(&c, &item); number++) {
        struct jwk j = {.text = text, .object = &item, .arena = arena};
        const char *why = take_jwk(&j, set);

        if (why != NULL) {
            return auth_fault_set(out_fault, "%s: key %zu: %s", name, number, why);
        }
    }
    const char *why = check_set(set);

    return why == NULL ? CE_OK : auth_fault_set(out_fault, "%s: %s", name, why);
}

enum corral_err keyset_parse_jwks(struct slice text, const char *name, struct keyset *out,
                                  struct auth_fault *out_fault)
{
    struct arena arena = {0};
    struct keyset set = {.match = KEYSET_BY_KID};
    size_t at = 0;
    enum corral_err err;

    if (text.len > KEYSET_MAX_FILE_BYTES) {
        return auth_fault_set(out_fault, "%s: larger than 64 KiB", name);
    }
    err = scan_check(text, JWKS_KEYS_MAX, &arena, &at);
    if (err != CE_OK) {
        err = auth_fault_set(out_fault, "%s: not strict JSON (%s at byte %zu)", name,
                             err_reason(err), at);
    } else {
        err = take_all(text, name, &arena, &set, out_fault);
    }
    arena_finish(&arena);
    if (err != CE_OK) {
        keyset_finish(&set);
        return err;
    }
    *out = set;
    return CE_OK;
}
