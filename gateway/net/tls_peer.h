/**
 * What a peer's certificate says, and what is asked of it beyond OpenSSL's own rules. Internal to
 * net/.
 */
#ifndef CORRAL_NET_TLS_PEER_H
#define CORRAL_NET_TLS_PEER_H

#include <openssl/x509.h>

#include "net/tls.h"

/** For SSL_CTX_set_verify: an authority's own certificate is nobody's. */
int tls_peer_verify(int ok, X509_STORE_CTX *store);

/** The names in a certificate; never NULL. One block, the caller's to free. */
struct tls_names *tls_peer_names(X509 *certificate);

#endif
