/**
 * TLS contexts and the TLS transport (OpenSSL 3).
 *
 * Protocol settings are Mozilla's "intermediate" profile, version 6: TLS 1.2 and 1.3, the ECDHE
 * AEAD suites, groups X25519, P-256, P-384; no renegotiation, compression, early data. A context is
 * immutable (but for its ticket keys) and counted; connections hold their context until they close,
 * so a swapped certificate touches no stream.
 */
#ifndef CORRAL_NET_TLS_H
#define CORRAL_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

struct conn;
struct tls_ctx;
struct tls_client;

struct tls_files {
    const char *chain; /* PEM, leaf first */
    const char *key;   /* PEM, not encrypted */
};

enum tls_client_auth { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };
enum tls_unknown_name { TLS_UNKNOWN_FIRST, TLS_UNKNOWN_REFUSE };

/** The server side. */
struct tls_settings {
    struct tls_files *certificates; /* owned, strings too */
    size_t certificate_count;
    char *client_ca_dir;   /* owned; NULL: none */
    char *client_crl_dir;  /* owned; NULL: revocation is not looked at */
    uint32_t client_auth;  /* enum tls_client_auth */
    uint32_t unknown_name; /* enum tls_unknown_name */
    uint64_t ticket_rotation_s;
};

/** Towards one replica. All owned. */
struct tls_client_settings {
    char *ca_file;     /* NULL: the system's authorities */
    char *certificate; /* NULL: none is shown */
    char *key;
    char *server_name; /* NULL: the host of the URL */
};

struct tls_fault {
    char text[256]; /* what is wrong with which file, for a person */
};

enum {
    TLS_MAX_FILE_BYTES = 1024 * 1024,
    TLS_MAX_CERTIFICATES = 32,
    TLS_MAX_CHAIN_DEPTH = 3,   /* authorities between a client's certificate and its root */
    TLS_MAX_PEER_NAMES = 1024, /* a certificate with more names has none for us */
    TLS_KEY_UPDATES_MAX = 32,  /* of one peer within TLS_KEY_UPDATE_WINDOW_MS */
    TLS_KEY_UPDATE_WINDOW_MS = 10 * 1000,
};

/**
 * Build a server context. A client that names a host gets the certificates whose DNS names cover
 * it (exactly, else by a wildcard for one label), ECDSA and RSA side by side; every other client
 * gets the first one, or an alert when settings say so.
 *
 * @param out_fault  filled on CE_TLS_FILES: unreadable, too large, no certificate, encrypted key,
 *                   key does not match, weak key, wrong chain order, folder without authorities.
 * @return CE_OK or CE_TLS_FILES. Caller owns one reference of *out.
 */
MUST_USE enum corral_err tls_ctx_create(const struct tls_settings *settings, struct tls_ctx **out,
                                        struct tls_fault *out_fault);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);

/** Only read one pair, or the folders of client_auth, as tls_ctx_create does. CE_OK, CE_TLS_FILES.
 */
MUST_USE enum corral_err tls_check_pair(const struct tls_files *files, struct tls_fault *out_fault);
MUST_USE enum corral_err tls_check_clients(const struct tls_settings *settings,
                                           struct tls_fault *out_fault);
void tls_ctx_unref(struct tls_ctx *ctx);

/** When the certificate with that index expires, seconds since 1970. */
int64_t tls_ctx_expiry(const struct tls_ctx *ctx, size_t index);

/** When the first of the client authorities expires, and the first revocation list; 0: none. */
int64_t tls_ctx_authority_expiry(const struct tls_ctx *ctx);
int64_t tls_ctx_crl_expiry(const struct tls_ctx *ctx);

/**
 * Build a client context. The peer's chain and name are always verified.
 *
 * @param host  of the URL; the name to verify when settings name none; may be an IP address.
 * @return CE_OK or CE_TLS_FILES with *out_fault filled. Caller owns one reference of *out.
 */
MUST_USE enum corral_err tls_client_create(const struct tls_client_settings *settings,
                                           const char *host, struct tls_client **out,
                                           struct tls_fault *out_fault);
struct tls_client *tls_client_ref(struct tls_client *t);
void tls_client_unref(struct tls_client *t);

/** When our own certificate towards that replica expires; 0: there is none. */
int64_t tls_client_expiry(const struct tls_client *t);

/** Make `c` (just accepted, CONN_HANDSHAKE) a TLS connection. Takes a reference of its own. */
void tls_conn_start(struct conn *c, struct tls_ctx *ctx);

/** Make `c` (about to connect) a TLS connection to a server. Takes a reference of its own. */
void tls_conn_start_client(struct conn *c, struct tls_client *t);

/** The names of a verified certificate: "spiffe://…" as written, "dns:" before host names. */
struct tls_names {
    size_t count;
    struct slice names[]; /* bytes behind the array, in the same block */
};

/**
 * The names in the peer's verified certificate, without those that hold a NUL or other bytes that
 * no name has.
 *
 * @return one block, the caller's to free; NULL when the peer showed no certificate.
 */
struct tls_names *tls_conn_peer_names(const struct conn *c);

/**
 * Verify the peer's certificate again, under the authorities and revocation lists of `now` (NULL:
 * none): takes some 100 us. When it holds, the connection belongs to `now` from then on.
 */
bool tls_conn_verify_again(struct conn *c, struct tls_ctx *now);

/** Whether ALPN has settled on HTTP/2 (RFC 7301); without ALPN it is HTTP/1.1. */
bool tls_conn_chose_h2(const struct conn *c);

/** Free what TLS holds for `c`; harmless for a plain one. */
void tls_conn_free(struct conn *c);

#endif
