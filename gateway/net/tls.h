/**
 * TLS contexts and the TLS transport (OpenSSL 3).
 *
 * Protocol settings are Mozilla's "intermediate" profile, version 6: TLS 1.2 and 1.3, the ECDHE
 * AEAD suites, groups X25519, P-256, P-384; no renegotiation, compression, early data. A context is
 * immutable and counted; connections hold their context until they close, so a swapped certificate
 * touches no stream.
 */
#ifndef CORRAL_NET_TLS_H
#define CORRAL_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct conn;
struct tls_ctx;

struct tls_files {
    const char *chain; /* PEM, leaf first */
    const char *key;   /* PEM, not encrypted */
};

struct tls_fault {
    char text[256]; /* what is wrong with which file, for a person */
};

enum { TLS_MAX_FILE_BYTES = 1024 * 1024 };

/**
 * Build a server context from one or several certificates (ECDSA and RSA side by side).
 *
 * @param out_fault  filled on CE_TLS_FILES: unreadable, too large, no certificate, encrypted key,
 *                   key does not match, weak key, expired chain order.
 * @return CE_OK or CE_TLS_FILES. Caller owns one reference of *out.
 */
MUST_USE enum corral_err tls_ctx_create(const struct tls_files *files, size_t count,
                                        struct tls_ctx **out, struct tls_fault *out_fault);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);
void tls_ctx_unref(struct tls_ctx *ctx);

/** When the certificate with that index expires, seconds since 1970. */
int64_t tls_ctx_expiry(const struct tls_ctx *ctx, size_t index);

/** Make `c` (just accepted, CONN_HANDSHAKE) a TLS connection. Takes a reference of its own. */
void tls_conn_start(struct conn *c, struct tls_ctx *ctx);

/** Free what TLS holds for `c`; harmless for a plain one. */
void tls_conn_free(struct conn *c);

#endif
