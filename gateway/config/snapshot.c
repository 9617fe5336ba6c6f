#include "config/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/authority.h"
#include "limit/fields.h"

void snapshot_unref(struct snapshot *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    auth_destroy(s->auth);
    tls_ctx_unref(s->tls);
    settings_finish(&s->settings);
    free(s);
}

static enum corral_err build_clients(struct snapshot *s, struct tls_fault *out_fault)
{
    enum corral_err err = CE_OK;

    for (size_t i = 0; i < s->settings.replica_count && err == CE_OK; i++) {
        struct replica_settings *r = &s->settings.replicas[i];

        if (r->https) {
            err = tls_client_create(&r->tls, r->host, &r->client, out_fault);
        }
    }
    return err;
}

static enum corral_err build_tls(struct snapshot *s, struct auth_fault *out_fault)
{
    struct tls_fault fault = {{0}};
    enum corral_err err = CE_OK;

    if (s->settings.tls.certificate_count > 0) {
        err = tls_ctx_create(&s->settings.tls, &s->tls, &fault);
    }
    if (err == CE_OK) {
        err = build_clients(s, &fault);
    }
    if (err != CE_OK) {
        snprintf(out_fault->text, sizeof(out_fault->text), "%s", fault.text);
    }
    return err;
}

enum corral_err snapshot_create(struct settings *settings, uint64_t generation,
                                struct snapshot **out, struct auth_fault *out_fault)
{
    struct snapshot *s = xcalloc(1, sizeof(*s));

    atomic_init(&s->refs, 1);
    s->generation = generation;
    s->settings = *settings;
    *settings = (struct settings){0};
    for (size_t i = 0; i < s->settings.auth.tenant_count; i++) {
        struct tenant_settings *t = &s->settings.auth.tenants[i];

        t->rate_limit_policy = limit_policy_text(t->limits, t->limit_count);
    }
    enum corral_err err = auth_create(&s->settings.auth, &s->auth, out_fault);
    if (err == CE_OK) {
        err = build_tls(s, out_fault);
    }
    if (err != CE_OK) {
        snapshot_unref(s);
        return err;
    }
    *out = s;
    return CE_OK;
}

bool snapshot_owns_host(const struct snapshot *s, struct slice authority)
{
    struct http_authority a;

    if (http_authority_parse(authority, &a) != CE_OK) {
        return false;
    }
    for (size_t i = 0; i < s->settings.server_name_count; i++) {
        if (slice_eq_nocase(a.host, slice_str(s->settings.server_names[i]))) {
            return true;
        }
    }
    return http_authority_is_loopback(&a);
}

const struct model_settings *snapshot_model(const struct snapshot *s, const struct model_name *m)
{
    for (size_t i = 0; i < s->settings.model_count; i++) {
        if (model_pattern_matches(slice_str(s->settings.models[i].name), m)) {
            return &s->settings.models[i];
        }
    }
    return NULL;
}
