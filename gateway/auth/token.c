#include "auth/token.h"

#include "auth/impl.h"
#include "auth/json.h"
#include "base/base64.h"

enum { HEADER_KEYS_MAX = 64, PAYLOAD_KEYS_MAX = 2048 };

static enum corral_err decode(struct slice text, struct arena *arena, struct slice *out)
{
    size_t len = 0;

    if (text.len == 0) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    unsigned char *bytes = arena_alloc(arena, text.len);

    if (base64url_decode(text, bytes, &len) != CE_OK || len == 0) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    *out = slice_of((char *)bytes, len);
    return CE_OK;
}

enum corral_err token_split(struct slice token, struct arena *arena, struct token_parts *out)
{
    struct token_parts parts;

    if (token.len > AUTH_MAX_TOKEN_BYTES) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    size_t first = slice_find(token, '.');
    struct slice rest = slice_from(token, first + 1);
    size_t second = slice_find(rest, '.');

    if (second == rest.len) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    /* A further dot is not in the alphabet. */
    enum corral_err err = decode(slice_of(token.ptr, first), arena, &parts.header);
    if (err == CE_OK) {
        err = decode(slice_of(rest.ptr, second), arena, &parts.payload);
    }
    if (err == CE_OK) {
        err = decode(slice_from(rest, second + 1), arena, &parts.signature);
    }
    if (err == CE_OK) {
        parts.signed_bytes = slice_of(token.ptr, first + 1 + second);
        *out = parts;
    }
    return err;
}

/* What changes the meaning of a token or brings its own key along (RFC 7515 section 4.1, RFC 7797,
 * RFC 8725 section 3.10). Found in any letter case. */
static enum corral_err check_refused(struct slice json, const struct scan_value *root)
{
    static const struct {
        const char *name;
        enum corral_err err;
    } refused[] = {
        {"crit", CE_AUTH_TOKEN_CRIT},  {"b64", CE_AUTH_TOKEN_CRIT},
        {"zip", CE_AUTH_TOKEN_CRIT},   {"enc", CE_AUTH_TOKEN_CRIT},
        {"jku", CE_AUTH_TOKEN_HEADER}, {"x5u", CE_AUTH_TOKEN_HEADER},
        {"jwk", CE_AUTH_TOKEN_HEADER}, {"x5c", CE_AUTH_TOKEN_HEADER},
        {"x5t", CE_AUTH_TOKEN_HEADER}, {"x5t#s256", CE_AUTH_TOKEN_HEADER},
    };
    struct scan_value v;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (scan_find(json, root, slice_str(refused[i].name), &v)) {
            return refused[i].err;
        }
    }
    return CE_OK;
}

/* Media types know no case (RFC 7515 section 4.1.9). */
static bool type_is_ours(struct slice typ)
{
    static const char *const ours[] = {"jwt", "at+jwt", "application/at+jwt"};

    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (slice_eq_nocase(typ, slice_str(ours[i]))) {
            return true;
        }
    }
    return false;
}

enum corral_err token_read_header(struct slice json, struct arena *arena, struct token_header *out)
{
    struct token_header header = {0};
    struct scan_value v;

    if (scan_check(json, HEADER_KEYS_MAX, arena, NULL) != CE_OK) {
        return CE_AUTH_TOKEN_HEADER;
    }
    struct scan_value root = scan_root(json);
    enum corral_err err = check_refused(json, &root);
    if (err != CE_OK) {
        return err;
    }
    if (json_member(json, &root, "typ", arena, &v) &&
        !type_is_ours(json_member_string(json, &root, "typ", arena))) {
        return CE_AUTH_TOKEN_TYPE;
    }
    header.alg = json_member_string(json, &root, "alg", arena);
    header.kid = json_member_string(json, &root, "kid", arena);
    if (header.alg.len == 0) {
        return CE_AUTH_TOKEN_HEADER;
    }
    if (json_member(json, &root, "kid", arena, &v) &&
        (header.kid.len == 0 || header.kid.len > KEYSET_MAX_KID_BYTES)) {
        return CE_AUTH_TOKEN_HEADER;
    }
    *out = header;
    return CE_OK;
}

enum corral_err token_check_signature(const struct token_parts *parts,
                                      const struct token_header *header, const struct keyset *keys)
{
    const struct sig_key *key = keyset_find(keys, header->kid);

    if (key == NULL) {
        return CE_AUTH_KID;
    }
    if (!slice_eq_str(header->alg, sig_alg_name(key->alg))) {
        return CE_AUTH_ALG;
    }
    return sig_key_verify(key, parts->signed_bytes, parts->signature) ? CE_OK : CE_AUTH_SIGNATURE;
}

static const struct auth_issuer *find_issuer(const struct auth *a, struct slice issuer)
{
    for (size_t i = 0; issuer.len > 0 && i < a->issuer_count; i++) {
        if (slice_eq_str(issuer, a->issuers[i].settings->issuer)) {
            return &a->issuers[i];
        }
    }
    return NULL;
}

enum corral_err token_judge(const struct auth *a, struct slice token, uint64_t now_s,
                            struct arena *arena, struct verified *out)
{
    struct token_parts parts;
    struct token_header header;
    enum corral_err err = token_split(token, arena, &parts);

    if (err == CE_OK) {
        err = token_read_header(parts.header, arena, &header);
    }
    if (err != CE_OK) {
        return err;
    }
    /* Of the payload only `iss` is believed before the signature, and only to choose the key. */
    if (scan_check(parts.payload, PAYLOAD_KEYS_MAX, arena, NULL) != CE_OK) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    struct claims claims = {.text = parts.payload,
                            .root = scan_root(parts.payload),
                            .settings = a->settings,
                            .now_s = now_s,
                            .arena = arena};

    claims.issuer = find_issuer(a, json_member_string(claims.text, &claims.root, "iss", arena));
    if (claims.issuer == NULL) {
        return CE_AUTH_ISSUER;
    }
    err = token_check_signature(&parts, &header, &claims.issuer->keys);
    return err == CE_OK ? claims_judge(&claims, out) : err;
}
