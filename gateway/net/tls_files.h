/**
 * Certificates, keys, authorities and revocation lists from PEM files. Internal to net/. Blocks on
 * files; only main calls it.
 */
#ifndef CORRAL_NET_TLS_FILES_H
#define CORRAL_NET_TLS_FILES_H

#include <openssl/x509.h>

#include "net/tls.h"

enum { TLS_MAX_FOLDER_FILES = 256, TLS_MAX_AUTHORITIES = 256 };

/** A certificate, what stands above it, and its key. Zeroed: empty. */
struct tls_pair {
    X509 *leaf;             /* owned */
    STACK_OF(X509) * chain; /* owned */
    EVP_PKEY *key;          /* owned */
    int64_t expiry;
};

/** Read and match them. CE_TLS_FILES: *out_fault says which file. */
MUST_USE enum corral_err tls_pair_read(const struct tls_files *files, struct tls_pair *out,
                                       struct tls_fault *out_fault);
void tls_pair_finish(struct tls_pair *p);

/** Who vouches for clients. Zeroed: nobody. */
struct tls_clients {
    X509_STORE *store;           /* owned */
    STACK_OF(X509_NAME) * names; /* owned; told to clients that have several certificates */
    int64_t authority_expiry;    /* of the first to expire; 0: none */
    int64_t crl_expiry;
};

/** Read a folder of authorities and, unless crl_dir is NULL, one of revocation lists. */
MUST_USE enum corral_err tls_clients_read(const char *ca_dir, const char *crl_dir,
                                          struct tls_clients *out, struct tls_fault *out_fault);
void tls_clients_finish(struct tls_clients *c);

/** Add the authorities of one file to a store. */
MUST_USE enum corral_err tls_store_add_file(X509_STORE *store, const char *path,
                                            struct tls_fault *out_fault);

/** Write the sentence, clear OpenSSL's queue, give CE_TLS_FILES. */
enum corral_err tls_fault_set(struct tls_fault *out, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
