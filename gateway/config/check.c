#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/reader.h"
#include "limit/rule.h"

static bool name_ok(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        char c = ascii_lower(*p);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-')) {
            return false;
        }
    }
    return name[0] != '\0';
}

static void check_limit(struct reader *r, const struct limit_rule *l, struct place at)
{
    bool calendar = l->calendar != LIMIT_NO_CALENDAR;

    if (l->name != NULL && !name_ok(l->name)) {
        reader_error(r, at, "the name may have only letters, digits, '.', '_' and '-'");
    }
    if ((l->requests > 0) == (l->tokens > 0)) {
        reader_error(r, at, "needs either requests or tokens");
    } else if (l->requests > 0 && calendar) {
        reader_error(r, at, "calendar is for tokens; requests need window_s");
    } else if (calendar == (l->window_s > 0)) {
        reader_error(r, at, "needs either window_s or calendar: day or month");
    }
    if (l->burst > 0 && (l->tokens > 0 || l->burst > l->requests)) {
        reader_error(r, at, "burst goes with requests and is at most as many");
    }
}

static void check_limit_rules(struct reader *r, const struct tenant_settings *t, size_t tenant)
{
    if (t->limit_count > LIMIT_RULES_MAX) {
        reader_error(r, reader_place(r, "tenants[%zu].limits", tenant), "has more than %d entries",
                     (int)LIMIT_RULES_MAX);
    }
    for (size_t i = 0; i < t->limit_count; i++) {
        const char *name = t->limits[i].name;

        check_limit(r, &t->limits[i], reader_place(r, "tenants[%zu].limits[%zu]", tenant, i));
        for (size_t j = 0; name != NULL && j < i; j++) {
            if (t->limits[j].name != NULL && strcmp(t->limits[j].name, name) == 0) {
                reader_error(r, reader_place(r, "tenants[%zu].limits[%zu].name", tenant, i),
                             "the tenant has two limits of the name \"%s\"", name);
            }
        }
    }
}

static void check_tenants(struct reader *r)
{
    const struct auth_settings *a = &r->settings->auth;

    if (a->tenant_count == 0) {
        reader_error(r, reader_place(r, "tenants"), "must have at least one entry");
    }
    for (size_t i = 0; i < a->tenant_count; i++) {
        const struct tenant_settings *t = &a->tenants[i];

        check_limit_rules(r, t, i);
        if (t->name == NULL) {
            continue;
        }
        if (!name_ok(t->name)) {
            reader_error(r, reader_place(r, "tenants[%zu].name", i),
                         "only letters, digits, '.', '_' and '-' are allowed");
        }
        if (strcmp(t->name, "other") == 0) {
            reader_error(r, reader_place(r, "tenants[%zu].name", i),
                         "\"other\" is reserved: metrics use it for callers without a tenant");
        }
        for (size_t j = 0; j < i; j++) {
            if (a->tenants[j].name != NULL && strcmp(a->tenants[j].name, t->name) == 0) {
                reader_error(r, reader_place(r, "tenants[%zu].name", i),
                             "the tenant \"%s\" is defined twice", t->name);
            }
        }
    }
}

/* A URI or dns: and a host name, in characters that names have. */
static bool certificate_name_ok(const char *name)
{
    if (strncmp(name, "dns:", 4) == 0) {
        return name_ok(name + 4);
    }
    for (const char *p = name; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || *p == '*') {
            return false;
        }
    }
    return strstr(name, "://") != NULL && strstr(name, "://") != name;
}

/* A name and the tenant that has it. */
struct held_name {
    const char *name;
    size_t tenant;
};

static int by_name_then_tenant(const void *a, const void *b)
{
    const struct held_name *x = a;
    const struct held_name *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : x->tenant < y->tenant ? -1 : x->tenant > y->tenant;
}

/* Sorted: there may be many of them. */
static void check_held_once(struct reader *r, struct held_name *held, size_t count)
{
    const struct auth_settings *a = &r->settings->auth;

    if (count > 0) {
        qsort(held, count, sizeof(*held), by_name_then_tenant);
    }
    for (size_t i = 1; i < count; i++) {
        const struct tenant_settings *holder = &a->tenants[held[i - 1].tenant];

        if (strcmp(held[i].name, held[i - 1].name) == 0 && held[i].tenant != held[i - 1].tenant) {
            reader_error(r, reader_place(r, "tenants[%zu].certificate_names", held[i].tenant),
                         "\"%s\" stands for the tenant \"%s\" already", held[i].name,
                         holder->name == NULL ? "" : holder->name);
        }
    }
}

static bool has_certificate_names(const struct auth_settings *a)
{
    for (size_t i = 0; i < a->tenant_count; i++) {
        if (a->tenants[i].certificate_name_count > 0) {
            return true;
        }
    }
    return false;
}

static void check_certificate_names(struct reader *r)
{
    const struct auth_settings *a = &r->settings->auth;
    struct held_name *held = NULL;
    size_t count = 0;
    size_t capacity = 0;

    for (size_t i = 0; i < a->tenant_count; i++) {
        const struct tenant_settings *t = &a->tenants[i];
        struct place at = reader_place(r, "tenants[%zu].certificate_names", i);

        if (t->certificate_name_count > 0 && r->settings->tls.client_auth == TLS_CLIENT_OFF) {
            reader_error(r, at, "needs tls.client_auth: optional or required");
        }
        for (size_t n = 0; n < t->certificate_name_count; n++) {
            const char *name = t->certificate_names[n];

            held = xgrow(held, count, &capacity, sizeof(*held));
            held[count++] = (struct held_name){name, i};
            if (!certificate_name_ok(name)) {
                reader_error(r, at,
                             "\"%s\" is neither a URI like spiffe://corral/ns/team/sa/app nor dns: "
                             "and a host name like dns:app.example.com; wildcards are not allowed",
                             name);
            }
        }
    }
    check_held_once(r, held, count);
    free(held);
}

static void check_tls(struct reader *r)
{
    const struct tls_settings *t = &r->settings->tls;
    bool off = t->client_auth == TLS_CLIENT_OFF;

    if (t->certificate_count > TLS_MAX_CERTIFICATES) {
        reader_error(r, reader_place(r, "tls.certificates"), "has more than %d entries",
                     (int)TLS_MAX_CERTIFICATES);
    }
    if (!off && t->client_ca_dir == NULL) {
        reader_error(r, reader_place(r, "tls.client_auth"),
                     "needs tls.client_ca_dir, the folder of authorities that vouch for clients");
    }
    if (off && t->client_ca_dir != NULL) {
        reader_error(r, reader_place(r, "tls.client_ca_dir"),
                     "is of no use without tls.client_auth: optional or required");
    }
    if (off && t->client_crl_dir != NULL) {
        reader_error(r, reader_place(r, "tls.client_crl_dir"),
                     "is of no use without tls.client_auth: optional or required");
    }
}

static void check_issuers(struct reader *r)
{
    const struct auth_settings *a = &r->settings->auth;

    for (size_t i = 0; i < a->issuer_count; i++) {
        const struct issuer_settings *s = &a->issuers[i];

        if (s->tenant != NULL && auth_find_tenant(a, slice_str(s->tenant)) == NULL) {
            reader_error(r, reader_place(r, "issuers[%zu].tenant", i),
                         "there is no tenant \"%s\"; add it under tenants", s->tenant);
        }
        for (size_t j = 0; s->issuer != NULL && j < i; j++) {
            if (a->issuers[j].issuer != NULL && strcmp(a->issuers[j].issuer, s->issuer) == 0) {
                reader_error(r, reader_place(r, "issuers[%zu].issuer", i),
                             "this issuer is defined twice");
            }
        }
    }
}

/* An address that clients may use as a name. */
static bool is_one_ipv4(const struct net_peer *p)
{
    static const uint8_t all[4];

    return p->family == AF_INET && memcmp(p->bytes, all, sizeof(all)) != 0;
}

/* F28: what a network can reach needs TLS, a way to say who one is, and names. */
static void check_network(struct reader *r, const struct listener_settings *l, struct place at)
{
    const struct settings *s = r->settings;
    struct net_peer peer = net_peer_of(&l->parsed);
    char own[NET_ADDRESS_TEXT_BYTES];

    if (!l->tls) {
        reader_error(r, at,
                     "%s can be reached from the network, so it needs tls: true and a certificate "
                     "under tls; plain HTTP is for 127.0.0.1 and [::1]",
                     l->address);
    }
    if (s->auth.issuer_count == 0 && s->auth.api_keys_file == NULL &&
        !has_certificate_names(&s->auth)) {
        reader_error(r, at,
                     "%s can be reached from the network, so it needs api_keys_file, issuers or "
                     "client certificates (tenants[].certificate_names)",
                     l->address);
    }
    if (s->server_name_count == 0) {
        net_peer_format(&peer, own);
        reader_error(r, at,
                     "%s can be reached from the network, but no host name is ours, so every "
                     "request would get 421; with the name that clients use, add: server_names: "
                     "[\"%s\"]",
                     l->address, is_one_ipv4(&peer) ? own : "corral.example.com");
    }
}

static void check_listener(struct reader *r, struct listener_settings *l, size_t index)
{
    struct place at = reader_place(r, "listeners[%zu].address", index);

    if (l->address == NULL ||
        (net_address_parse(slice_str(l->address), &l->parsed) != CE_OK &&
         net_address_parse_unix(slice_str(l->address), &l->parsed) != CE_OK)) {
        return;
    }
    if (l->protocols == 0) {
        l->protocols = l->tls ? PROTOCOL_H2 | PROTOCOL_HTTP_1_1 : PROTOCOL_HTTP_1_1;
    }
    if (!net_address_is_loopback(&l->parsed)) {
        check_network(r, l, at);
    }
    if (l->tls && r->settings->tls.certificate_count == 0) {
        reader_error(r, at, "tls: true needs an entry under tls.certificates");
    }
    if (l->proxy_protocol && l->trusted_source_count == 0 && !net_address_is_unix(&l->parsed)) {
        reader_error(r, reader_place(r, "listeners[%zu].proxy_protocol", index),
                     "needs trusted_sources: the load balancers whose word is believed");
    }
}

/* Whether `address` leaves the first `count` listeners alone. */
static void check_port(struct reader *r, struct place at, const char *address, size_t count)
{
    struct net_address own;
    bool is_port = address != NULL && net_address_parse(slice_str(address), &own) == CE_OK;

    for (size_t i = 0; address != NULL && i < count; i++) {
        const struct listener_settings *other = &r->settings->listeners[i];

        if (other->address == NULL) {
            continue;
        }
        if (strcmp(other->address, address) == 0) {
            reader_error(r, at, "%s is listed twice, here and as listeners[%zu].address", address,
                         i);
        } else if (is_port && net_address_overlaps(&own, &other->parsed)) {
            reader_error(r, at, "%s is the same port as %s, listeners[%zu].address", address,
                         other->address, i);
        }
    }
}

static void check_ports(struct reader *r)
{
    const struct settings *s = r->settings;
    struct net_address health;
    struct net_address metrics;

    for (size_t i = 0; i < s->listener_count; i++) {
        check_port(r, reader_place(r, "listeners[%zu].address", i), s->listeners[i].address, i);
    }
    check_port(r, reader_place(r, "health.address"), s->health_address, s->listener_count);
    check_port(r, reader_place(r, "metrics.address"), s->metrics_address, s->listener_count);
    if (s->health_address != NULL && s->metrics_address != NULL &&
        net_address_parse(slice_str(s->health_address), &health) == CE_OK &&
        net_address_parse(slice_str(s->metrics_address), &metrics) == CE_OK &&
        net_address_overlaps(&health, &metrics)) {
        reader_error(r, reader_place(r, "metrics.address"),
                     "%s is the same port as %s, health.address", s->metrics_address,
                     s->health_address);
    }
}

static void check_listeners(struct reader *r)
{
    if (r->settings->listener_count == 0) {
        reader_error(r, reader_place(r, "listeners"), "must have at least one entry");
    }
    for (size_t i = 0; i < r->settings->listener_count; i++) {
        check_listener(r, &r->settings->listeners[i], i);
    }
    check_ports(r);
}

static void check_replica_tls(struct reader *r, size_t index)
{
    const struct replica_settings *s = &r->settings->replicas[index];
    const struct tls_client_settings *t = &s->tls;
    struct place at = reader_place(r, "replicas[%zu].tls", index);

    if (!s->https && (t->ca_file != NULL || t->certificate != NULL || t->key != NULL ||
                      t->server_name != NULL)) {
        reader_error(r, at, "is for replicas whose url begins with https://");
    }
    if ((t->certificate == NULL) != (t->key == NULL)) {
        reader_error(r, at, "certificate and key belong together");
    }
}

static void check_replicas(struct reader *r)
{
    const struct settings *s = r->settings;

    if (s->replica_count == 0) {
        reader_error(r, reader_place(r, "replicas"), "must have at least one entry");
    }
    for (size_t i = 0; i < s->replica_count; i++) {
        check_replica_tls(r, i);
        for (size_t j = 0; j < i && s->replicas[i].host != NULL; j++) {
            if (s->replicas[j].host != NULL && s->replicas[j].port == s->replicas[i].port &&
                strcmp(s->replicas[j].host, s->replicas[i].host) == 0) {
                reader_error(r, reader_place(r, "replicas[%zu].url", i),
                             "this replica is listed twice; its slots are set by `slots`");
            }
        }
    }
}

static void check_loopback_only(struct reader *r, const char *key, const char *address)
{
    struct net_address parsed;

    if (address != NULL && address[0] != '\0' &&
        net_address_parse(slice_str(address), &parsed) == CE_OK &&
        !net_address_is_loopback(&parsed)) {
        reader_error(r, reader_place(r, "%s", key),
                     "only loopback is allowed: the numbers would be open to the network");
    }
}

static void check_limits(struct reader *r)
{
    const struct limit_settings *l = &r->settings->limits;

    if (l->body_memory_bytes < l->body_bytes) {
        reader_error(r, reader_place(r, "limits.body_memory_bytes"),
                     "must not be less than limits.body_bytes (%llu)",
                     (unsigned long long)l->body_bytes);
    }
    if (l->tenant_body_memory_bytes != 0 && l->tenant_body_memory_bytes < l->body_bytes) {
        reader_error(r, reader_place(r, "limits.tenant_body_memory_bytes"),
                     "must not be less than limits.body_bytes (%llu)",
                     (unsigned long long)l->body_bytes);
    }
    if (l->connections_per_trusted_address < l->connections_per_address) {
        reader_error(r, reader_place(r, "limits.connections_per_trusted_address"),
                     "must not be less than limits.connections_per_address (%u)",
                     l->connections_per_address);
    }
}

static void check_server_names(struct reader *r)
{
    for (size_t i = 0; i < r->settings->server_name_count; i++) {
        const char *name = r->settings->server_names[i];

        if (!name_ok(name) || strchr(name, '_') != NULL) {
            reader_error(r, reader_place(r, "server_names"),
                         "\"%s\" is not a host name: write it without scheme, port or path", name);
        }
    }
}

void reader_cross_check(struct reader *r)
{
    check_listeners(r);
    check_server_names(r);
    check_tls(r);
    check_tenants(r);
    check_certificate_names(r);
    check_issuers(r);
    check_replicas(r);
    check_limits(r);
    check_loopback_only(r, "metrics.address", r->settings->metrics_address);
}
