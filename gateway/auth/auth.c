#include "auth/auth.h"

#include <stdlib.h>

#include "auth/fault.h"
#include "auth/impl.h"
#include "base/mem.h"

static enum corral_err issuer_init(struct auth_issuer *out, const struct issuer_settings *settings,
                                   const struct auth_settings *all, struct auth_fault *out_fault)
{
    static const char prefix[] = "jwt:";
    size_t len = strlen(settings->issuer);

    out->settings = settings;
    out->credential = xcalloc(1, sizeof(prefix) + len);
    memcpy(out->credential, prefix, sizeof(prefix) - 1);
    memcpy(out->credential + sizeof(prefix) - 1, settings->issuer, len);
    if (settings->tenant != NULL) {
        out->tenant = auth_find_tenant(all, slice_str(settings->tenant));
        if (out->tenant == NULL) {
            return auth_fault_set(out_fault, "issuer %s: there is no tenant \"%s\"; add it",
                                  settings->issuer, settings->tenant);
        }
    }
    return keyset_read(settings, &out->keys, out_fault);
}

enum corral_err auth_create(const struct auth_settings *settings, struct auth **out,
                            struct auth_fault *out_fault)
{
    struct auth *a = xcalloc(1, sizeof(*a));
    enum corral_err err = CE_OK;

    a->settings = settings;
    certificate_names_init(&a->certificates, settings);
    a->issuers = xcalloc(settings->issuer_count + 1, sizeof(*a->issuers));
    for (size_t i = 0; i < settings->issuer_count && err == CE_OK; i++) {
        a->issuer_count = i + 1; /* a half-made one is finished too */
        err = issuer_init(&a->issuers[i], &settings->issuers[i], settings, out_fault);
    }
    if (err == CE_OK && settings->api_keys_file != NULL) {
        err = api_keys_read(&a->api_keys, settings, out_fault);
    }
    if (err != CE_OK) {
        auth_destroy(a);
        return err;
    }
    *out = a;
    return CE_OK;
}

void auth_destroy(struct auth *a)
{
    if (a == NULL) {
        return;
    }
    for (size_t i = 0; i < a->issuer_count; i++) {
        keyset_finish(&a->issuers[i].keys);
        free(a->issuers[i].credential);
    }
    free(a->issuers);
    api_keys_finish(&a->api_keys);
    certificate_names_finish(&a->certificates);
    free(a);
}

bool auth_has_credentials(const struct auth *a)
{
    return a->issuer_count > 0 || api_keys_any(&a->api_keys) || a->certificates.count > 0;
}

size_t auth_skipped_keys(const struct auth *a, const struct auth_fault **out)
{
    size_t count = a->api_keys.skipped_count;

    *out = a->api_keys.skipped;
    return count <= SKIPPED_TEXTS ? count : SKIPPED_TEXTS + 1;
}

struct principal principal_copy(const struct principal *p, struct arena *arena)
{
    struct principal copy = *p;

    copy.user = arena_copy(arena, p->user);
    copy.models = NULL;
    if (p->model_count > 0) {
        struct slice *models = arena_alloc(arena, p->model_count * sizeof(*models));

        for (size_t i = 0; i < p->model_count; i++) {
            models[i] = arena_copy(arena, p->models[i]);
        }
        copy.models = models;
    }
    return copy;
}

bool principal_may(const struct principal *p, enum verb verb)
{
    return verb == VERB_NONE || (p->verbs & VERB_BIT(verb)) != 0;
}

bool principal_may_use(const struct principal *p, const struct model_name *model)
{
    const struct tenant_settings *t = p->tenant;
    bool tenant_may = false;
    bool credential_may = !p->has_models;

    for (size_t i = 0; i < t->model_count && !tenant_may; i++) {
        tenant_may = model_pattern_matches(slice_str(t->models[i]), model);
    }
    for (size_t i = 0; i < p->model_count && !credential_may; i++) {
        credential_may = model_pattern_matches(p->models[i], model);
    }
    return tenant_may && credential_may;
}
