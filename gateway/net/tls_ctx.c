#include "net/tls_ctx.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "net/conn.h"
#include "net/tls_peer.h"

/* The TLS 1.2 suites of the profile; the three of TLS 1.3 are OpenSSL's default. */
static const char tls12_suites[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                   "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

bool tls_set_profile(SSL_CTX *ssl)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One record a call: else a flood of KeyUpdates would keep a worker inside one SSL_read. */
    SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_security_level(ssl, 2);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ssl, 1);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, tls12_suites) == 1 &&
           SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") == 1;
}

/* RFC 7301: the server's preference; a client without ALPN gets HTTP/1.1. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    enum { H2_LEN = 3 };
    const struct conn *c = SSL_get_app_data(ssl);
    const unsigned char *ours = c->offers_h2 ? both : both + H2_LEN;
    unsigned ours_len =
        (c->offers_h2 ? H2_LEN : 0) + (c->offers_h1 ? (unsigned)sizeof(both) - 1 - H2_LEN : 0);
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_len, ours, ours_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/*
 * Before anything is resumed or negotiated: choose by the name that is asked for. Each group has
 * a session context of its own, so a ticket of one name is worth nothing for another's.
 */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    const struct tls_ctx *ctx = arg;
    const unsigned char *bytes;
    size_t len;
    struct slice host;
    uint64_t certificates = 0;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len) == 1 &&
        tls_server_name_read(slice_of((const char *)bytes, len), &host)) {
        certificates = tls_sites_find(&ctx->sites, host);
    }
    for (size_t i = 0; certificates != 0 && i < ctx->group_count; i++) {
        if (ctx->group_masks[i] == certificates) {
            SSL_set_SSL_CTX(ssl, ctx->groups[i]);
            return SSL_CLIENT_HELLO_SUCCESS;
        }
    }
    if (ctx->refuse_unknown) {
        ((struct conn *)SSL_get_app_data(ssl))->fault = "no certificate has that name";
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/*
 * Resumed sessions skip the look at certificate, chain and revocation lists; with client
 * certificates there are none.
 */
static void ask_for_certificates(struct tls_ctx *ctx, SSL_CTX *ssl, unsigned client_auth)
{
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(ctx->clients.names);

    SSL_CTX_set_client_CA_list(ssl, names); /* takes it over */
    SSL_CTX_set1_cert_store(ssl, ctx->clients.store);
    SSL_CTX_set_verify(ssl,
                       client_auth == TLS_CLIENT_REQUIRED
                           ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER,
                       tls_peer_verify);
    SSL_CTX_set_verify_depth(ssl, TLS_MAX_CHAIN_DEPTH);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ssl, 0);
}

static SSL_CTX *make_context(struct tls_ctx *ctx, const struct tls_settings *settings)
{
    unsigned char session_context[SSL_MAX_SID_CTX_LENGTH];
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());

    if (ssl == NULL || !tls_set_profile(ssl)) {
        SSL_CTX_free(ssl);
        return NULL;
    }
    rand_bytes(session_context, sizeof(session_context));
    SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context));
    SSL_CTX_set_timeout(ssl, (long)settings->ticket_rotation_s);
    SSL_CTX_set_num_tickets(ssl, 1);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
    SSL_CTX_set_client_hello_cb(ssl, on_client_hello, ctx);
    ticket_keys_use(ssl, &ctx->tickets);
    if (settings->client_auth != TLS_CLIENT_OFF) {
        ask_for_certificates(ctx, ssl, settings->client_auth);
    }
    return ssl;
}

/* The first of each kind of key; a second would take its place. */
static enum corral_err use_pairs(const struct tls_ctx *ctx, SSL_CTX *ssl, uint64_t certificates,
                                 const struct tls_settings *settings, struct tls_fault *out_fault)
{
    int kinds[TLS_MAX_CERTIFICATES];
    size_t kind_count = 0;

    for (size_t i = 0; i < ctx->pair_count; i++) {
        const struct tls_pair *p = &ctx->pairs[i];
        int kind = EVP_PKEY_get_base_id(p->key);
        bool taken = (certificates & (uint64_t)1 << i) == 0;

        for (size_t k = 0; k < kind_count; k++) {
            taken = taken || kinds[k] == kind;
        }
        if (taken) {
            continue;
        }
        kinds[kind_count++] = kind;
        if (SSL_CTX_use_cert_and_key(ssl, p->leaf, p->key, p->chain, 1) != 1) {
            return tls_fault_set(out_fault,
                                 "%s: the certificate, one of its chain or its key is not usable "
                                 "(weak key or signature?)",
                                 settings->certificates[i].chain);
        }
    }
    return CE_OK;
}

/* Its certificates' names, for tls_sites_find. */
static void note_names(struct tls_ctx *ctx, unsigned index)
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(ctx->pairs[index].leaf, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

        if (n->type == GEN_DNS) {
            tls_sites_add(&ctx->sites,
                          slice_of((const char *)ASN1_STRING_get0_data(n->d.dNSName),
                                   (size_t)ASN1_STRING_length(n->d.dNSName)),
                          index);
        }
    }
    GENERAL_NAMES_free(names);
}

static enum corral_err read_pairs(struct tls_ctx *ctx, const struct tls_settings *settings,
                                  struct tls_fault *out_fault)
{
    for (size_t i = 0; i < settings->certificate_count; i++) {
        enum corral_err err = tls_pair_read(&settings->certificates[i], &ctx->pairs[i], out_fault);

        if (err != CE_OK) {
            return err;
        }
        ctx->pair_count++;
        note_names(ctx, (unsigned)i);
    }
    tls_sites_sort(&ctx->sites);
    return CE_OK;
}

/* The first certificate and those that share a name with it: what a client without a name gets. */
static uint64_t first_and_its_like(const struct tls_ctx *ctx)
{
    uint64_t set = 1;

    for (size_t i = 0; i < ctx->sites.count; i++) {
        if ((ctx->sites.sites[i].certificates & 1) != 0) {
            set |= ctx->sites.sites[i].certificates;
        }
    }
    return set;
}

static bool has_group(const struct tls_ctx *ctx, uint64_t certificates)
{
    for (size_t i = 0; i < ctx->group_count; i++) {
        if (ctx->group_masks[i] == certificates) {
            return true;
        }
    }
    return false;
}

static enum corral_err make_groups(struct tls_ctx *ctx, const struct tls_settings *settings,
                                   struct tls_fault *out_fault)
{
    ctx->group_masks = xcalloc(ctx->sites.count + 1, sizeof(*ctx->group_masks));
    ctx->groups = xcalloc(ctx->sites.count + 1, sizeof(SSL_CTX *));
    for (size_t i = 0; i < ctx->sites.count; i++) {
        uint64_t certificates = ctx->sites.sites[i].certificates;

        if (has_group(ctx, certificates)) {
            continue;
        }
        SSL_CTX *ssl = make_context(ctx, settings);

        if (ssl == NULL) {
            return tls_fault_set(out_fault, "OpenSSL refuses the TLS settings");
        }
        ctx->group_masks[ctx->group_count] = certificates;
        ctx->groups[ctx->group_count++] = ssl;
        enum corral_err err = use_pairs(ctx, ssl, certificates, settings, out_fault);
        if (err != CE_OK) {
            return err;
        }
    }
    return CE_OK;
}

static enum corral_err build(struct tls_ctx *ctx, const struct tls_settings *settings,
                             struct tls_fault *out_fault)
{
    enum corral_err err = read_pairs(ctx, settings, out_fault);

    if (err == CE_OK && settings->client_auth != TLS_CLIENT_OFF) {
        err = tls_clients_read(settings->client_ca_dir, settings->client_crl_dir, &ctx->clients,
                               out_fault);
    }
    if (err != CE_OK) {
        return err;
    }
    ctx->first = make_context(ctx, settings);
    if (ctx->first == NULL) {
        return tls_fault_set(out_fault, "OpenSSL refuses the TLS settings");
    }
    err = use_pairs(ctx, ctx->first, first_and_its_like(ctx), settings, out_fault);
    return err == CE_OK ? make_groups(ctx, settings, out_fault) : err;
}

enum corral_err tls_ctx_create(const struct tls_settings *settings, struct tls_ctx **out,
                               struct tls_fault *out_fault)
{
    struct tls_ctx *ctx = xcalloc(1, sizeof(*ctx));
    enum corral_err err;

    atomic_init(&ctx->refs, 1);
    ctx->refuse_unknown = settings->unknown_name == TLS_UNKNOWN_REFUSE;
    ticket_keys_init(&ctx->tickets, settings->ticket_rotation_s * 1000, clock_mono_ms());
    if (settings->certificate_count == 0 || settings->certificate_count > TLS_MAX_CERTIFICATES) {
        err = tls_fault_set(out_fault, "tls.certificates: 1 to %d are allowed",
                            (int)TLS_MAX_CERTIFICATES);
    } else {
        err = build(ctx, settings, out_fault);
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
    for (size_t i = 0; i < ctx->group_count; i++) {
        SSL_CTX_free(ctx->groups[i]);
    }
    SSL_CTX_free(ctx->first);
    for (size_t i = 0; i < ctx->pair_count; i++) {
        tls_pair_finish(&ctx->pairs[i]);
    }
    tls_sites_finish(&ctx->sites);
    tls_clients_finish(&ctx->clients);
    ticket_keys_finish(&ctx->tickets);
    free(ctx->group_masks);
    free(ctx->groups);
    free(ctx);
}

int64_t tls_ctx_expiry(const struct tls_ctx *ctx, size_t index)
{
    return ctx->pairs[index].expiry;
}

int64_t tls_ctx_authority_expiry(const struct tls_ctx *ctx)
{
    return ctx->clients.authority_expiry;
}

int64_t tls_ctx_crl_expiry(const struct tls_ctx *ctx)
{
    return ctx->clients.crl_expiry;
}
