/*
 * What a TLS connection tells its owner: the names of its client, whether they still hold, and the
 * protocol that was chosen. Called by front/; owns nothing.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/conn.h"
#include "net/tls_ctx.h"
#include "net/tls_peer.h"

struct tls_names *tls_conn_peer_names(const struct conn *c)
{
    X509 *certificate = c->ssl == NULL ? NULL : SSL_get0_peer_certificate(c->ssl);

    if (certificate == NULL || SSL_get_verify_result(c->ssl) != X509_V_OK) {
        return NULL;
    }
    return tls_peer_names(certificate);
}

/* As the handshake does it: SSL_CTX_set_verify_depth and tls_peer_verify of tls_ctx.c. */
static bool verify(X509_STORE_CTX *v, X509_STORE *authorities, SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    if (X509_STORE_CTX_init(v, authorities, certificate, SSL_get_peer_cert_chain(ssl)) != 1 ||
        X509_STORE_CTX_set_default(v, "ssl_client") != 1) {
        return false;
    }
    X509_STORE_CTX_set_depth(v, TLS_MAX_CHAIN_DEPTH);
    X509_STORE_CTX_set_verify_cb(v, tls_peer_verify);
    return X509_verify_cert(v) == 1;
}

bool tls_conn_verify_again(struct conn *c, struct tls_ctx *now)
{
    if (c->ssl == NULL || now == NULL || now->clients.store == NULL ||
        SSL_get0_peer_certificate(c->ssl) == NULL) {
        return false;
    }
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    if (v == NULL) {
        return false;
    }
    ERR_clear_error();
    bool holds = verify(v, now->clients.store, c->ssl);

    X509_STORE_CTX_free(v);
    if (holds) {
        tls_ctx_unref(c->tls);
        c->tls = tls_ctx_ref(now);
    }
    return holds;
}

bool tls_conn_chose_h2(const struct conn *c)
{
    const unsigned char *name = NULL;
    unsigned len = 0;

    if (c->ssl != NULL) {
        SSL_get0_alpn_selected(c->ssl, &name, &len);
    }
    return len == 2 && memcmp(name, "h2", 2) == 0;
}
