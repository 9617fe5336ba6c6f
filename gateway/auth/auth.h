/**
 * From a credential to a principal: who calls, for which tenant, with which rights.
 *
 * `struct auth` is the immutable key material of one snapshot: API key hashes, issuers and their
 * parsed keys. `struct auth_cache` belongs to one worker and remembers verified tokens (bounded,
 * keyed by the whole token; an entry dies at `exp` and with its generation). All failures look the
 * same to the caller's client; the error value says why, for log and metric.
 */
#ifndef CORRAL_AUTH_AUTH_H
#define CORRAL_AUTH_AUTH_H

#include "auth/tenant.h"
#include "base/arena.h"
#include "http/message.h"

enum {
    AUTH_MAX_TOKEN_BYTES = 8192,
    AUTH_CACHE_ENTRIES = 10000,
    AUTH_SKEW_S = 60,
    AUTH_MAX_USER_BYTES = 256,
};

struct auth;
struct auth_cache;

struct auth_fault {
    char text[320]; /* file, place, what is wrong and what would be right */
};

/** What one request may do. Borrows from the snapshot, the cache's arena copy from `arena`. */
struct principal {
    const struct tenant_settings *tenant; /* borrowed from the snapshot */
    unsigned verbs;                       /* tenant's rights ∩ the credential's */
    struct slice user;                    /* "" when the credential names none */
    struct slice credential;              /* "key:<id>", "jwt:<issuer>", "cert:<name>": for logs */
    const struct slice *models;           /* further patterns of the credential; NULL: no more */
    size_t model_count;
    bool has_models; /* the credential limits models by itself (also to none) */
};

/**
 * Read all files that the settings name and build the key material.
 *
 * @param settings  outlives *out.
 * @return CE_OK; CE_KEYS with *out_fault filled: unreadable or malformed file, secret under 32
 *         bytes, RSA under 2048 bits, private key in a public set, duplicate kid, unknown tenant.
 */
MUST_USE enum corral_err auth_create(const struct auth_settings *settings, struct auth **out,
                                     struct auth_fault *out_fault);
void auth_destroy(struct auth *a);

/** Whether any credential could succeed at all: a start with a public listener without is refused.
 */
bool auth_has_credentials(const struct auth *a);

/**
 * Keys of tenants that are not configured: they are skipped.
 *
 * @param out  [out] a sentence for each of the first of them, with its line in the file; when there
 *             are more, the last sentence says how many in all. Borrowed.
 * @return how many sentences.
 */
size_t auth_skipped_keys(const struct auth *a, const struct auth_fault **out);

struct auth_cache *auth_cache_create(void);
void auth_cache_destroy(struct auth_cache *c);

/**
 * Judge the Authorization field(s) of a request.
 *
 * @param generation  of the snapshot: entries of another generation are not used.
 * @param now_s       wall clock, seconds since 1970.
 * @param flooded     this source failed too often of late: only what costs nothing is looked at
 *                    (API keys, tokens verified before), everything else is CE_AUTH_FLOOD.
 * @param arena       of the exchange; *out's slices point there or into the snapshot.
 * @return CE_OK or one of CE_AUTH_*.
 */
MUST_USE enum corral_err auth_identify(const struct auth *a, struct auth_cache *cache,
                                       uint64_t generation, const struct http_fields *fields,
                                       uint64_t now_s, bool flooded, struct arena *arena,
                                       struct principal *out);

/**
 * Judge the names of a verified client certificate ("spiffe://…", "dns:…"), byte for byte. For
 * requests without an Authorization field only: one that is there decides alone.
 *
 * @param out  borrows from the snapshot; user is "".
 * @return CE_OK; CE_AUTH_CERTIFICATE when no tenant has one of them; CE_AUTH_CERTIFICATE_AMBIGUOUS
 *         when several have.
 */
MUST_USE enum corral_err auth_identify_certificate(const struct auth *a, const struct slice *names,
                                                   size_t count, struct principal *out);

bool principal_may(const struct principal *p, enum verb verb);

/** Tenant's patterns and the credential's own, if it has any: both must cover the model. */
bool principal_may_use(const struct principal *p, const struct model_name *model);

#endif
