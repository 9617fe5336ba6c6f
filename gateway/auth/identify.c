#include "auth/impl.h"
#include "auth/keyfile.h"

/* RFC 6750 section 2.1: one credential and nothing else; RFC 7235 token68 without '='. */
static bool is_token(struct slice token)
{
    unsigned bad = 0;

    /* No way out in the middle: the compiler then looks at many bytes at once. */
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = (unsigned char)token.ptr[i];
        unsigned char letter = (unsigned char)((c | 0x20u) - 'a');
        unsigned char digit = (unsigned char)(c - '0');

        bad |= (unsigned)(letter > 25) & (unsigned)(digit > 9) & (unsigned)(c != '-') &
               (unsigned)(c != '_') & (unsigned)(c != '.');
    }
    return bad == 0;
}

static enum corral_err read_bearer(const struct http_fields *fields, struct slice *out)
{
    static const struct slice scheme = {"Bearer ", 7};

    if (fields->times[HF_AUTHORIZATION] == 0) {
        return CE_AUTH_MISSING;
    }
    if (fields->times[HF_AUTHORIZATION] > 1) {
        return CE_AUTH_REPEATED;
    }
    struct slice value = http_field_value(fields, HF_AUTHORIZATION);

    if (value.len < scheme.len || !slice_eq_nocase(slice_of(value.ptr, scheme.len), scheme)) {
        return CE_AUTH_SCHEME;
    }
    struct slice token = slice_from(value, scheme.len);

    while (token.len > 0 && token.ptr[0] == ' ') { /* RFC 9110 section 11.4: 1*SP */
        token = slice_from(token, 1);
    }
    if (token.len == 0 || token.len > AUTH_MAX_TOKEN_BYTES) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    if (!is_token(token)) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    *out = token;
    return CE_OK;
}

static bool is_api_key(struct slice token)
{
    return token.len == KEY_TEXT_BYTES - 1 && slice_starts_with(token, SLICE_LITERAL("ck_")) &&
           slice_find(token, '.') == token.len;
}

static bool has_two_dots(struct slice token)
{
    size_t dots = 0;

    for (size_t i = 0; i < token.len; i++) {
        dots += token.ptr[i] == '.' ? 1 : 0;
    }
    return dots == 2;
}

static enum corral_err judge(const struct auth *a, struct slice token, uint64_t now_s,
                             struct arena *scratch, struct verified *out)
{
    if (is_api_key(token)) {
        return api_keys_find(&a->api_keys, token, out);
    }
    return token_judge(a, token, now_s, scratch, out);
}

/* parameters: what a request brings, and what judges it; one caller has all of them */
enum corral_err auth_identify(const struct auth *a, struct auth_cache *cache, uint64_t generation,
                              const struct http_fields *fields, uint64_t now_s, bool flooded,
                              struct arena *arena, struct principal *out)
{
    struct arena scratch = {0}; /* what a stranger sends is gone at once, good or bad */
    struct verified verified;
    struct slice token;
    enum corral_err err = read_bearer(fields, &token);

    if (err != CE_OK) {
        return err;
    }
    if (!is_api_key(token) && !has_two_dots(token)) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    if (auth_cache_find(cache, token, generation, now_s, arena, out)) {
        return CE_OK;
    }
    if (flooded && !is_api_key(token)) {
        return CE_AUTH_FLOOD;
    }
    err = judge(a, token, now_s, &scratch, &verified);
    if (err == CE_OK) {
        auth_cache_put(cache, token, generation, &verified);
        *out = principal_copy(&verified.principal, arena);
    }
    arena_finish(&scratch);
    return err;
}
