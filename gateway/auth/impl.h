/**
 * What auth.c, identify.c, token.c, claims.c, cache.c and api_keys.c share; nobody else includes
 * it.
 */
#ifndef CORRAL_AUTH_IMPL_H
#define CORRAL_AUTH_IMPL_H

#include "auth/auth.h"
#include "auth/json.h"
#include "auth/keyset.h"

enum {
    AUTH_MAX_AUDIENCES = 1000,
    AUTH_MAX_MODEL_PATTERNS = 64,
    AUTH_MAX_CREDENTIAL_BYTES = 600,
    AUTH_CACHE_MAX_BYTES = 8 * 1024 * 1024, /* of entries, whatever their number */
};

/**
 * No honest clock shows less (2026-01-01): below it a dead battery or a wrong start decides what
 * has expired, so no token is believed. Raised with releases.
 */
#define AUTH_TIME_FLOOR_S 1767225600u

struct auth_issuer {
    const struct issuer_settings *settings; /* borrowed */
    const struct tenant_settings *tenant; /* borrowed; the fixed one, or NULL: the claim decides */
    struct keyset keys;
    char *credential; /* owned; "jwt:<issuer>" */
};

struct api_key {
    const struct tenant_settings *tenant; /* borrowed */
    char *user;                           /* owned */
    char *credential;                     /* owned; "key:<id>" */
    unsigned char hash[32];
    bool revoked;
};

enum { SKIPPED_TEXTS = 16 };

/** The API keys of a snapshot, found by hash. */
struct api_keys {
    unsigned char salt[16];
    struct auth_fault
        *skipped; /* owned; the first SKIPPED_TEXTS keys that are of no use; the sum */
    size_t skipped_count;
    struct api_key *keys; /* owned */
    size_t count;
    uint32_t *slots;   /* owned; index + 1 into keys, 0 is free */
    size_t slot_count; /* a power of two; 0 without keys */
};

/** A name in a client certificate, and whose it is. */
struct certificate_name {
    const struct tenant_settings *tenant; /* borrowed */
    char *credential;                     /* owned; "cert:<name>" */
    struct slice name;                    /* the end of credential */
};

/** Sorted by name. */
struct certificate_names {
    struct certificate_name *names; /* owned */
    size_t count;
};

struct auth {
    const struct auth_settings *settings; /* borrowed */
    struct certificate_names certificates;
    struct auth_issuer *issuers; /* owned */
    size_t issuer_count;
    struct api_keys api_keys;
};

/** A credential that was found good, and for how long. */
struct verified {
    struct principal principal;
    uint64_t exp; /* seconds since 1970 */
    uint64_t nbf;
};

/** api_keys.c */
MUST_USE enum corral_err api_keys_read(struct api_keys *out, const struct auth_settings *settings,
                                       struct auth_fault *out_fault);
void api_keys_finish(struct api_keys *k);
bool api_keys_any(const struct api_keys *k);

/** @return CE_OK or CE_AUTH_KEY_UNKNOWN. `out` borrows from the table. */
MUST_USE enum corral_err api_keys_find(const struct api_keys *k, struct slice text,
                                       struct verified *out);

/** certificates.c */
void certificate_names_init(struct certificate_names *out, const struct auth_settings *settings);
void certificate_names_finish(struct certificate_names *c);

/** Verify a JWT. `out` borrows from the snapshot and from `arena`. token.c */
MUST_USE enum corral_err token_judge(const struct auth *a, struct slice token, uint64_t now_s,
                                     struct arena *arena, struct verified *out);

/** What a token's payload says, once its signature was checked. claims.c */
struct claims {
    struct slice text; /* checked JSON */
    struct scan_value root;
    const struct auth_settings *settings;
    const struct auth_issuer *issuer;
    uint64_t now_s;
    struct arena *arena;
};
MUST_USE enum corral_err claims_judge(const struct claims *c, struct verified *out);

/** A copy whose user and models lie in `arena`. */
struct principal principal_copy(const struct principal *p, struct arena *arena);

/**
 * The verified credential for exactly these bytes, under this generation, valid now.
 *
 * @param out  user and models are copied to `arena`; the rest borrows from the snapshot.
 */
bool auth_cache_find(struct auth_cache *c, struct slice token, uint64_t generation, uint64_t now_s,
                     struct arena *arena, struct principal *out);

/** Remember; drops what was used longest ago when full. Without memory it remembers nothing. */
void auth_cache_put(struct auth_cache *c, struct slice token, uint64_t generation,
                    const struct verified *v);

/** For tests and metrics. */
size_t auth_cache_count(const struct auth_cache *c);
size_t auth_cache_bytes(const struct auth_cache *c);

#endif
