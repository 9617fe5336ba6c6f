/**
 * What a TLS context is made of. Internal to net/.
 */
#ifndef CORRAL_NET_TLS_CTX_H
#define CORRAL_NET_TLS_CTX_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"
#include "net/tls_files.h"
#include "net/tls_site.h"
#include "net/tls_ticket.h"

struct tls_ctx {
    atomic_uint refs;
    SSL_CTX *first; /* owned; the first certificate and its like */
    struct tls_pair pairs[TLS_MAX_CERTIFICATES];
    size_t pair_count;
    struct tls_sites sites; /* DNS names to sets of pairs */
    uint64_t *group_masks;  /* owned; the sets that have a context of their own */
    SSL_CTX **groups;       /* owned; by place in group_masks */
    size_t group_count;
    struct tls_clients clients; /* whom we believe about clients */
    struct ticket_keys tickets;
    bool refuse_unknown;
};

struct tls_client {
    atomic_uint refs;
    SSL_CTX *ssl; /* owned */
    char *name;   /* owned; verified; an IP address or a host name */
    bool name_is_address;
    int64_t expiry;
};

/** The profile that servers and clients share. False: OpenSSL refuses it. */
bool tls_set_profile(SSL_CTX *ssl);

#endif
