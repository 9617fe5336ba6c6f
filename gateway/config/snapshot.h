/**
 * One immutable, validated configuration with everything derived from it. Workers hold a reference;
 * so does every exchange, so that each request is decided by one configuration.
 */
#ifndef CORRAL_CONFIG_SNAPSHOT_H
#define CORRAL_CONFIG_SNAPSHOT_H

#include <stdatomic.h>

#include "auth/auth.h"
#include "config/settings.h"

struct snapshot {
    atomic_uint refs;
    uint64_t generation; /* grows with every reload: cached tokens of older ones are dead */
    struct settings settings;
    struct auth *auth;   /* owned */
    struct tls_ctx *tls; /* counted; NULL: no TLS listener */
};

static inline struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s);

/**
 * Build a snapshot from checked settings: reads key files and certificates. Takes over what
 * `settings` owns in every case.
 *
 * @return CE_OK; CE_KEYS, CE_TLS_FILES with *out_fault filled.
 */
MUST_USE enum corral_err snapshot_create(struct settings *settings, uint64_t generation,
                                         struct snapshot **out, struct auth_fault *out_fault);

/** Whether an authority is ours: loopback, or one of server_names (any port). */
bool snapshot_owns_host(const struct snapshot *s, struct slice authority);

/** What the configuration says of a model: the first entry whose pattern covers it, or NULL. */
const struct model_settings *snapshot_model(const struct snapshot *s, const struct model_name *m);

#endif
