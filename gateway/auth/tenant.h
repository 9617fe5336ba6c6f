/**
 * Tenants: who pays, what they may do, how much of the herd is theirs. Filled from the
 * configuration, immutable in a snapshot.
 */
#ifndef CORRAL_AUTH_TENANT_H
#define CORRAL_AUTH_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ollama/model.h"
#include "ollama/route.h"

struct limit_rule; /* limit/rule.h; auth/ only carries them */

struct tenant_settings {
    char *name;      /* owned */
    uint32_t id;     /* interned when the snapshot is built */
    uint32_t weight; /* >= 1 */
    unsigned verbs;  /* VERB_BIT mask */
    char **models;   /* owned; patterns, see model_pattern_matches */
    size_t model_count;
    char **certificate_names; /* owned; "spiffe://…" or "dns:…", each in one tenant only */
    size_t certificate_name_count;
    uint32_t max_running;
    uint32_t max_waiting;
    struct limit_rule *limits; /* owned */
    size_t limit_count;
    char *rate_limit_policy; /* owned; RateLimit-Policy, made with the snapshot; NULL: no limits */
};

/** One issuer of JWTs. All strings owned. */
struct issuer_settings {
    char *issuer;
    char **audiences; /* at least one */
    size_t audience_count;
    char *keys_file; /* JWKS (.json), PEM public key, or a shared secret (anything else) */
    uint64_t max_token_lifetime_s;
    char *claim_tenant;
    char *claim_user;
    char *claim_verbs;
    char *claim_models;
    char *tenant;    /* fixed tenant for all of this issuer's tokens; NULL: from claim_tenant */
    char *kid;       /* for PEM and secret files: the kid tokens must carry; NULL: any or none */
    char *algorithm; /* for PEM and secret files ("RS256", "HS256", …); NULL: HS256 for a secret,
                        RS256 / ES256 / ES384 / ES512 / EdDSA by the key's type for a PEM */
};

struct auth_settings {
    struct tenant_settings *tenants; /* owned */
    size_t tenant_count;
    struct issuer_settings *issuers; /* owned */
    size_t issuer_count;
    char *api_keys_file; /* owned; NULL: none */
};

const struct tenant_settings *auth_find_tenant(const struct auth_settings *s, struct slice name);

#endif
