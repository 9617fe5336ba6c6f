#include "config/settings.h"

#include <stdlib.h>

#include "limit/rule.h"

struct path_visit {
    void (*visit)(void *arg, enum settings_path kind, const char *path);
    void *arg;
};

static void visit_path(const struct path_visit *v, enum settings_path kind, const char *path)
{
    if (path != NULL && path[0] != '\0') {
        v->visit(v->arg, kind, path);
    }
}

static void visit_server_tls(const struct path_visit *v, const struct tls_settings *t)
{
    for (size_t i = 0; i < t->certificate_count; i++) {
        visit_path(v, SETTINGS_FILE, t->certificates[i].chain);
        visit_path(v, SETTINGS_FILE, t->certificates[i].key);
    }
    visit_path(v, SETTINGS_FOLDER, t->client_ca_dir);
    visit_path(v, SETTINGS_FOLDER, t->client_crl_dir);
}

static void visit_client_tls(const struct path_visit *v, const struct tls_client_settings *t)
{
    visit_path(v, SETTINGS_FILE, t->ca_file);
    visit_path(v, SETTINGS_FILE, t->certificate);
    visit_path(v, SETTINGS_FILE, t->key);
}

void settings_each_path(const struct settings *s,
                        void (*visit)(void *arg, enum settings_path kind, const char *path),
                        void *arg)
{
    const struct path_visit v = {visit, arg};

    visit_server_tls(&v, &s->tls);
    for (size_t i = 0; i < s->replica_count; i++) {
        visit_client_tls(&v, &s->replicas[i].tls);
    }
    for (size_t i = 0; i < s->auth.issuer_count; i++) {
        visit_path(&v, SETTINGS_FILE, s->auth.issuers[i].keys_file);
    }
    visit_path(&v, SETTINGS_FILE, s->auth.api_keys_file);
}

static void free_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(strings[i]);
    }
    free(strings);
}

static void finish_auth(struct auth_settings *a)
{
    for (size_t i = 0; i < a->tenant_count; i++) {
        free(a->tenants[i].name);
        free_strings(a->tenants[i].models, a->tenants[i].model_count);
        for (size_t j = 0; j < a->tenants[i].limit_count; j++) {
            limit_rule_finish(&a->tenants[i].limits[j]);
        }
        free(a->tenants[i].limits);
        free(a->tenants[i].rate_limit_policy);
        free_strings(a->tenants[i].certificate_names, a->tenants[i].certificate_name_count);
    }
    for (size_t i = 0; i < a->issuer_count; i++) {
        struct issuer_settings *s = &a->issuers[i];

        free(s->issuer);
        free_strings(s->audiences, s->audience_count);
        free(s->keys_file);
        free(s->claim_tenant);
        free(s->claim_user);
        free(s->claim_verbs);
        free(s->claim_models);
        free(s->tenant);
        free(s->kid);
        free(s->algorithm);
    }
    free(a->tenants);
    free(a->issuers);
    free(a->api_keys_file);
}

static void finish_tls(struct tls_settings *t)
{
    for (size_t i = 0; i < t->certificate_count; i++) {
        free((char *)(uintptr_t)t->certificates[i].chain);
        free((char *)(uintptr_t)t->certificates[i].key);
    }
    free(t->certificates);
    free(t->client_ca_dir);
    free(t->client_crl_dir);
}

void settings_finish(struct settings *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        free(s->listeners[i].address);
        free(s->listeners[i].trusted_sources);
    }
    for (size_t i = 0; i < s->model_count; i++) {
        free(s->models[i].name);
    }
    for (size_t i = 0; i < s->replica_count; i++) {
        struct replica_settings *r = &s->replicas[i];

        free(r->host);
        free(r->tls.ca_file);
        free(r->tls.certificate);
        free(r->tls.key);
        free(r->tls.server_name);
        tls_client_unref(r->client);
    }
    finish_auth(&s->auth);
    finish_tls(&s->tls);
    free_strings(s->server_names, s->server_name_count);
    free(s->listeners);
    free(s->models);
    free(s->replicas);
    free(s->log_file);
    free(s->state_dir);
    free(s->health_address);
    free(s->metrics_address);
    *s = (struct settings){0};
}
