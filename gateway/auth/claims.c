#include "auth/impl.h"
#include "auth/json.h"
#include "auth/keyfile.h"

/* The largest integer that every JSON reader holds exactly. */
#define DATE_MAX ((uint64_t)1 << 53)

static bool find(const struct claims *c, const char *name, struct scan_value *out)
{
    return json_member(c->text, &c->root, name, c->arena, out);
}

static struct slice text_of(const struct claims *c, const struct scan_value *v)
{
    return v->kind == SCAN_STRING ? scan_string(c->text, v, c->arena) : slice_of(NULL, 0);
}

/* A NumericDate as plain digits. A float or a string would be read as 0 by some (facts F-11). */
static enum corral_err read_date(const struct claims *c, const char *name, bool *out_present,
                                 uint64_t *out)
{
    struct scan_value v;
    uint64_t value;

    *out_present = find(c, name, &v);
    if (!*out_present) {
        return CE_OK;
    }
    if (v.kind != SCAN_NUMBER || slice_parse_u64(scan_raw(c->text, &v), &value) != CE_OK ||
        value > DATE_MAX) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    *out = value;
    return CE_OK;
}

struct dates {
    bool has_exp;
    bool has_nbf;
    bool has_iat;
    uint64_t exp;
    uint64_t nbf;
    uint64_t iat;
};

static enum corral_err read_dates(const struct claims *c, struct dates *out)
{
    struct dates d = {0};
    enum corral_err err = read_date(c, "exp", &d.has_exp, &d.exp);

    if (err == CE_OK) {
        err = read_date(c, "nbf", &d.has_nbf, &d.nbf);
    }
    if (err == CE_OK) {
        err = read_date(c, "iat", &d.has_iat, &d.iat);
    }
    if (err == CE_OK && !d.has_exp) {
        err = CE_AUTH_TOKEN_CLAIMS;
    }
    *out = d;
    return err;
}

/* Pure: no sum here can overflow, dates are below 2^53. */
static enum corral_err check_dates(const struct dates *d, uint64_t now_s, uint64_t max_lifetime_s)
{
    uint64_t from = d->has_iat ? d->iat : now_s;

    if (now_s < AUTH_TIME_FLOOR_S) {
        return CE_AUTH_NOT_YET;
    }
    if (now_s >= d->exp + AUTH_SKEW_S) {
        return CE_AUTH_EXPIRED;
    }
    if (d->nbf > now_s + AUTH_SKEW_S || d->iat > now_s + AUTH_SKEW_S) {
        return CE_AUTH_NOT_YET;
    }
    return d->exp > from && d->exp - from > max_lifetime_s ? CE_AUTH_LIFETIME : CE_OK;
}

/* What a cache has to ask when the clock may have been set back since. */
static uint64_t first_second(const struct dates *d)
{
    uint64_t from = d->nbf > d->iat ? d->nbf : d->iat;

    return from > AUTH_TIME_FLOOR_S ? from : AUTH_TIME_FLOOR_S;
}

static bool audience_is_ours(const struct issuer_settings *s, struct slice audience)
{
    for (size_t i = 0; i < s->audience_count; i++) {
        if (slice_eq_str(audience, s->audiences[i])) {
            return true;
        }
    }
    return false;
}

/* A string or a list of strings (RFC 7519 section 4.1.3), at least one of them ours. */
static enum corral_err check_audience(const struct claims *c)
{
    const struct issuer_settings *s = c->issuer->settings;
    struct scan_value aud;
    struct scan_value v;
    size_t count = 0;
    bool ours = false;

    if (!find(c, "aud", &aud)) {
        return CE_AUTH_AUDIENCE;
    }
    if (aud.kind == SCAN_STRING) {
        return audience_is_ours(s, text_of(c, &aud)) ? CE_OK : CE_AUTH_AUDIENCE;
    }
    if (aud.kind != SCAN_ARRAY) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    struct scan_cursor cursor = scan_open(c->text, &aud);

    while (scan_next(&cursor, &v)) {
        if (v.kind != SCAN_STRING || ++count > AUTH_MAX_AUDIENCES) {
            return CE_AUTH_TOKEN_CLAIMS;
        }
        ours = ours || audience_is_ours(s, text_of(c, &v));
    }
    return ours ? CE_OK : CE_AUTH_AUDIENCE;
}

/* Tokens for another purpose, or bound to a key that nobody here checks (RFC 7800). */
static enum corral_err check_purpose(const struct claims *c)
{
    struct scan_value v;

    if (find(c, "cnf", &v)) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    /* Only ID tokens have these (OpenID Connect Core section 3.3.2.11). */
    return find(c, "at_hash", &v) || find(c, "c_hash", &v) ? CE_AUTH_TOKEN_TYPE : CE_OK;
}

static enum corral_err find_tenant(const struct claims *c, const struct tenant_settings **out)
{
    const struct tenant_settings *tenant = c->issuer->tenant;
    struct scan_value v;

    if (tenant == NULL && find(c, c->issuer->settings->claim_tenant, &v) && v.kind == SCAN_STRING) {
        tenant = auth_find_tenant(c->settings, text_of(c, &v));
    }
    if (tenant == NULL) {
        return CE_AUTH_TENANT;
    }
    *out = tenant;
    return CE_OK;
}

static enum corral_err read_user(const struct claims *c, struct slice *out)
{
    struct scan_value v;

    if (!find(c, c->issuer->settings->claim_user, &v)) {
        return CE_OK;
    }
    struct slice user = text_of(c, &v);

    if (v.kind != SCAN_STRING || !auth_user_ok(user)) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    *out = user;
    return CE_OK;
}

/* Unknown words grant nothing, so that an OAuth `scope` with more in it can be the claim. */
static unsigned verb_bit(struct slice word)
{
    enum verb verb;

    return verb_parse(word, &verb) == CE_OK ? VERB_BIT(verb) : 0;
}

static unsigned verbs_of_words(struct slice words)
{
    unsigned verbs = 0;

    while (words.len > 0) {
        size_t end = slice_find(words, ' ');

        verbs |= verb_bit(slice_of(words.ptr, end));
        words = slice_from(words, end + 1);
    }
    return verbs;
}

/* Narrow *in_out to what the token asks for: a list, or words between spaces. */
static enum corral_err narrow_verbs(const struct claims *c, unsigned *in_out)
{
    struct scan_value claim;
    struct scan_value v;
    unsigned verbs = 0;

    if (!find(c, c->issuer->settings->claim_verbs, &claim)) {
        return CE_OK;
    }
    if (claim.kind == SCAN_STRING) {
        *in_out &= verbs_of_words(text_of(c, &claim));
        return CE_OK;
    }
    if (claim.kind != SCAN_ARRAY) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    struct scan_cursor cursor = scan_open(c->text, &claim);

    while (scan_next(&cursor, &v)) {
        if (v.kind != SCAN_STRING) {
            return CE_AUTH_TOKEN_CLAIMS;
        }
        verbs |= verb_bit(text_of(c, &v));
    }
    *in_out &= verbs;
    return CE_OK;
}

static enum corral_err read_models(const struct claims *c, struct principal *out)
{
    struct scan_value claim;
    struct scan_value v;
    size_t count = 0;

    if (!find(c, c->issuer->settings->claim_models, &claim)) {
        return CE_OK;
    }
    if (claim.kind != SCAN_ARRAY) {
        return CE_AUTH_TOKEN_CLAIMS;
    }
    struct slice *models = arena_alloc(c->arena, AUTH_MAX_MODEL_PATTERNS * sizeof(*models));
    struct scan_cursor cursor = scan_open(c->text, &claim);

    while (scan_next(&cursor, &v)) {
        if (v.kind != SCAN_STRING || count == AUTH_MAX_MODEL_PATTERNS) {
            return CE_AUTH_TOKEN_CLAIMS;
        }
        models[count++] = text_of(c, &v);
    }
    out->models = models;
    out->model_count = count;
    out->has_models = true;
    return CE_OK;
}

static enum corral_err read_rights(const struct claims *c, struct principal *out)
{
    struct principal p = {.credential = slice_str(c->issuer->credential)};
    enum corral_err err = find_tenant(c, &p.tenant);

    if (err != CE_OK) {
        return err;
    }
    p.verbs = p.tenant->verbs;
    err = read_user(c, &p.user);
    if (err == CE_OK) {
        err = narrow_verbs(c, &p.verbs);
    }
    if (err == CE_OK) {
        err = read_models(c, &p);
    }
    *out = p;
    return err;
}

enum corral_err claims_judge(const struct claims *c, struct verified *out)
{
    struct verified v = {0};
    struct dates dates;
    enum corral_err err = check_audience(c);

    if (err == CE_OK) {
        err = read_dates(c, &dates);
    }
    if (err == CE_OK) {
        err = check_dates(&dates, c->now_s, c->issuer->settings->max_token_lifetime_s);
    }
    if (err == CE_OK) {
        err = check_purpose(c);
    }
    if (err == CE_OK) {
        err = read_rights(c, &v.principal);
    }
    if (err != CE_OK) {
        return err;
    }
    v.exp = dates.exp;
    v.nbf = first_second(&dates);
    *out = v;
    return CE_OK;
}
