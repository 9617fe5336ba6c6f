#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/tls_ctx.h"

static bool is_address(const char *name)
{
    unsigned char room[16];

    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

/* Only names in subjectAltName count (RFC 9525), a wildcard only as a whole label. */
static bool set_name(struct tls_client *t, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(t->ssl);

    t->name = xstrdup(name);
    t->name_is_address = is_address(name);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return (t->name_is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, name)
                               : X509_VERIFY_PARAM_set1_host(param, name, 0)) == 1;
}

static enum corral_err set_authorities(struct tls_client *t, const char *ca_file,
                                       struct tls_fault *out_fault)
{
    if (ca_file != NULL) {
        return tls_store_add_file(SSL_CTX_get_cert_store(t->ssl), ca_file, out_fault);
    }
    if (SSL_CTX_set_default_verify_paths(t->ssl) != 1) {
        return tls_fault_set(out_fault, "the system's certificate authorities cannot be read");
    }
    return CE_OK;
}

static enum corral_err set_certificate(struct tls_client *t, const struct tls_files *files,
                                       struct tls_fault *out_fault)
{
    struct tls_pair pair;
    enum corral_err err = tls_pair_read(files, &pair, out_fault);

    if (err != CE_OK) {
        return err;
    }
    t->expiry = pair.expiry;
    if (SSL_CTX_use_cert_and_key(t->ssl, pair.leaf, pair.key, pair.chain, 1) != 1) {
        err = tls_fault_set(out_fault, "%s: the certificate is not usable (weak key or signature?)",
                            files->chain);
    }
    tls_pair_finish(&pair);
    return err;
}

enum corral_err tls_client_create(const struct tls_client_settings *settings, const char *host,
                                  struct tls_client **out, struct tls_fault *out_fault)
{
    struct tls_client *t = xcalloc(1, sizeof(*t));
    const char *name = settings->server_name == NULL ? host : settings->server_name;
    enum corral_err err = CE_OK;

    atomic_init(&t->refs, 1);
    t->ssl = SSL_CTX_new(TLS_client_method());
    if (t->ssl == NULL || !tls_set_profile(t->ssl)) {
        err = tls_fault_set(out_fault, "OpenSSL refuses the TLS settings");
    } else if (!set_name(t, name)) {
        err = tls_fault_set(out_fault, "%s: is not a name that a certificate can have", name);
    } else {
        SSL_CTX_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
        err = set_authorities(t, settings->ca_file, out_fault);
    }
    if (err == CE_OK && settings->certificate != NULL) {
        const struct tls_files files = {settings->certificate, settings->key};

        err = set_certificate(t, &files, out_fault);
    }
    if (err != CE_OK) {
        tls_client_unref(t);
        return err;
    }
    *out = t;
    return CE_OK;
}

struct tls_client *tls_client_ref(struct tls_client *t)
{
    if (t != NULL) {
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    }
    return t;
}

void tls_client_unref(struct tls_client *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    SSL_CTX_free(t->ssl);
    free(t->name);
    free(t);
}

int64_t tls_client_expiry(const struct tls_client *t)
{
    return t->expiry;
}
