#include "net/tls_ctx.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* The TLS 1.2 suites of the profile; the three of TLS 1.3 are OpenSSL's default. */
static const char tls12_suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                   "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

PRINTF_LIKE(2, 3)
static enum corral_err fault(struct tls_fault *out, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(out->text, sizeof(out->text), format, args);
    va_end(args);
    ERR_clear_error();
    return CE_TLS_FILES;
}

/* The whole file, bounded and only if it is a regular one, so that no FIFO can block the start. */
static BIO *read_file(const char *path, struct tls_fault *out_fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    BIO *bio = NULL;

    if (fd < 0) {
        (void)fault(out_fault, "%s: %m", path);
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)fault(out_fault, "%s: is not a regular file", path);
    } else if (st.st_size == 0) {
        (void)fault(out_fault, "%s: is empty", path);
    } else if (st.st_size > TLS_MAX_FILE_BYTES) {
        (void)fault(out_fault, "%s: is larger than %d bytes", path, (int)TLS_MAX_FILE_BYTES);
    } else {
        char *bytes = xcalloc(1, (size_t)st.st_size);
        ssize_t n = read(fd, bytes, (size_t)st.st_size);

        bio = BIO_new(BIO_s_mem());
        if (bio != NULL && n > 0) {
            BIO_write(bio, bytes, (int)n);
        }
        explicit_bzero(bytes, (size_t)st.st_size);
        free(bytes);
    }
    close(fd);
    return bio;
}

/* Never ask on the terminal: OpenSSL's default callback would. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
    return -1;
}

static enum corral_err load_chain(SSL_CTX *ssl, const char *path, X509 **out_leaf,
                                  struct tls_fault *out_fault)
{
    BIO *bio = read_file(path, out_fault);

    if (bio == NULL) {
        return CE_TLS_FILES;
    }
    X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    if (leaf == NULL) {
        BIO_free(bio);
        return fault(out_fault, "%s: holds no PEM certificate", path);
    }
    *out_leaf = leaf;
    if (SSL_CTX_use_certificate(ssl, leaf) != 1) {
        BIO_free(bio);
        return fault(out_fault, "%s: the certificate is not usable (weak key or signature?)", path);
    }
    SSL_CTX_clear_chain_certs(ssl);
    X509 *ca;
    X509 *below = leaf;
    bool ordered = true;

    while ((ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        ordered = ordered && X509_check_issued(ca, below) == X509_V_OK;
        below = ca;
        if (SSL_CTX_add0_chain_cert(ssl, ca) != 1) {
            X509_free(ca);
            BIO_free(bio);
            return fault(out_fault, "%s: a certificate of the chain is not usable", path);
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    return ordered ? CE_OK
                   : fault(out_fault,
                           "%s: the chain is out of order: each certificate must be "
                           "followed by the one that issued it, leaf first",
                           path);
}

static enum corral_err load_key(SSL_CTX *ssl, const struct tls_files *files,
                                struct tls_fault *out_fault)
{
    BIO *bio = read_file(files->key, out_fault);

    if (bio == NULL) {
        return CE_TLS_FILES;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (key == NULL) {
        return fault(out_fault, "%s: holds no PEM private key without a passphrase", files->key);
    }
    int used = SSL_CTX_use_PrivateKey(ssl, key);

    EVP_PKEY_free(key);
    if (used != 1 || SSL_CTX_check_private_key(ssl) != 1) {
        return fault(out_fault, "%s: is not the key of the certificate in %s", files->key,
                     files->chain);
    }
    return CE_OK;
}

static int64_t expiry_of(const X509 *leaf)
{
    struct tm tm = {0};

    return ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static enum corral_err load_pair(struct tls_ctx *ctx, const struct tls_files *files, size_t index,
                                 struct tls_fault *out_fault)
{
    X509 *leaf = NULL;
    enum corral_err err = load_chain(ctx->ssl, files->chain, &leaf, out_fault);

    if (err == CE_OK) {
        err = load_key(ctx->ssl, files, out_fault);
    }
    if (leaf != NULL) {
        ctx->expiry[index] = expiry_of(leaf);
        X509_free(leaf);
    }
    return err;
}

/* RFC 7301: the server's preference; a client without ALPN gets HTTP/1.1. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_profile(SSL_CTX *ssl)
{
    static const unsigned char session_context[] = "corral";

    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One record a call: else a flood of KeyUpdates would keep a worker inside one SSL_read. */
    SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_security_level(ssl, 2);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_read_ahead(ssl, 1);
    SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, tls12_suites) == 1 &&
           SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1 &&
           SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1) == 1;
}

enum corral_err tls_ctx_create(const struct tls_files *files, size_t count, struct tls_ctx **out,
                               struct tls_fault *out_fault)
{
    struct tls_ctx *ctx = xcalloc(1, sizeof(*ctx));
    enum corral_err err = CE_OK;

    atomic_init(&ctx->refs, 1);
    ctx->expiry = xcalloc(count == 0 ? 1 : count, sizeof(*ctx->expiry));
    ctx->ssl = SSL_CTX_new(TLS_server_method());
    if (ctx->ssl == NULL || !set_profile(ctx->ssl)) {
        err = fault(out_fault, "OpenSSL refuses the TLS settings");
    }
    for (size_t i = 0; i < count && err == CE_OK; i++) {
        err = load_pair(ctx, &files[i], i, out_fault);
    }
    if (err != CE_OK) {
        tls_ctx_unref(ctx);
        return err;
    }
    *out = ctx;
    return CE_OK;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx)
{
    if (ctx != NULL) {
        atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    }
    return ctx;
}

void tls_ctx_unref(struct tls_ctx *ctx)
{
    if (ctx == NULL || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    SSL_CTX_free(ctx->ssl);
    free(ctx->expiry);
    free(ctx);
}

int64_t tls_ctx_expiry(const struct tls_ctx *ctx, size_t index)
{
    return ctx->expiry[index];
}
