/**
 * What a TLS context is made of. Internal to net/.
 */
#ifndef CORRAL_NET_TLS_CTX_H
#define CORRAL_NET_TLS_CTX_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"

struct tls_ctx {
    atomic_uint refs;
    SSL_CTX *ssl;    /* owned */
    int64_t *expiry; /* owned; seconds since 1970, one per certificate */
};

#endif
