/*
 * The key file of an issuer: a secret, a PEM file or, by jwks.c, a JWKS. Called when a snapshot is
 * made and by `corral check`; the keys are the caller's.
 */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "auth/fault.h"
#include "auth/keyset.h"
#include "base/mem.h"

/* A file of exactly one key. */
static struct sig_key *single(struct keyset *s, const struct issuer_settings *issuer)
{
    s->keys = xcalloc(1, sizeof(*s->keys));
    s->capacity = 1;
    s->match = issuer->kid == NULL ? KEYSET_ANY_KID : KEYSET_KID_MUST;
    return s->keys;
}

static enum corral_err wanted_alg(const struct issuer_settings *issuer, enum sig_alg *in_out,
                                  struct auth_fault *out_fault)
{
    if (issuer->algorithm == NULL || sig_alg_parse(slice_str(issuer->algorithm), in_out) == CE_OK) {
        return CE_OK;
    }
    return auth_fault_set(out_fault,
                          "%s: the algorithm \"%s\" is unknown; use one of HS256 HS384 HS512 RS256 "
                          "RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA",
                          issuer->keys_file, issuer->algorithm);
}

struct slice keyset_secret_of(struct slice file)
{
    if (slice_ends_with(file, SLICE_LITERAL("\n"))) {
        file.len--;
        file.len -= slice_ends_with(file, SLICE_LITERAL("\r")) ? 1 : 0;
    }
    return file;
}

static enum corral_err take_secret(const struct issuer_settings *issuer, struct slice text,
                                   struct keyset *s, struct auth_fault *out_fault)
{
    enum sig_alg alg = SIG_HS256;
    const char *why = NULL;

    /* A public key taken for a secret would let everybody sign (facts F-10). */
    if (memmem(text.ptr, text.len, "-----BEGIN", 10) != NULL) {
        return auth_fault_set(out_fault, "%s: holds PEM; name the file *.pem, or *.json for a JWKS",
                              issuer->keys_file);
    }
    text = keyset_secret_of(text);
    enum corral_err err = wanted_alg(issuer, &alg, out_fault);
    if (err != CE_OK) {
        return err;
    }
    struct sig_key *key = single(s, issuer);

    if (sig_key_init_secret(key, text, alg, slice_str(issuer->kid), &why) != CE_OK) {
        return auth_fault_set(out_fault, "%s: %s", issuer->keys_file, why);
    }
    s->count = 1;
    return CE_OK;
}

/* One block of a PEM file into *pkey. NULL, or what is wrong. */
static const char *take_block(const char *name, const unsigned char *der, long len, EVP_PKEY **pkey)
{
    if (strstr(name, "PRIVATE KEY") != NULL) {
        return "holds a private key; only its public part belongs here (openssl pkey -pubout)";
    }
    if (strcmp(name, PEM_STRING_X509) == 0) {
        if (*pkey != NULL) {
            return NULL; /* the rest of a chain */
        }
        X509 *cert = d2i_X509(NULL, &der, len);

        *pkey = cert == NULL ? NULL : X509_get_pubkey(cert);
        X509_free(cert);
        return *pkey == NULL ? "holds a certificate that cannot be read" : NULL;
    }
    if (strcmp(name, PEM_STRING_PUBLIC) != 0) {
        return "holds something else than a PUBLIC KEY or a CERTIFICATE";
    }
    if (*pkey != NULL) {
        return "holds several keys; use a JWKS (*.json) for that";
    }
    *pkey = d2i_PUBKEY(NULL, &der, len);
    return *pkey == NULL ? "holds a public key that cannot be read" : NULL;
}

static const char *read_pem(struct slice text, EVP_PKEY **pkey)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    const char *why = NULL;
    char *name = NULL;
    char *header = NULL;
    unsigned char *der = NULL;
    long len = 0;

    while (why == NULL && bio != NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
        why = take_block(name, der, len, pkey);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    BIO_free(bio);
    if (why == NULL && *pkey == NULL) {
        why = "holds no PEM block (-----BEGIN PUBLIC KEY-----)";
    }
    ERR_clear_error();
    return why;
}

static enum corral_err take_pem(const struct issuer_settings *issuer, struct slice text,
                                struct keyset *s, struct auth_fault *out_fault)
{
    EVP_PKEY *pkey = NULL;
    enum sig_alg alg = SIG_RS256;
    const char *why = read_pem(text, &pkey);
    enum corral_err err = CE_OK;

    if (why == NULL && issuer->algorithm == NULL && sig_alg_of_pkey(pkey, &alg) != CE_OK) {
        why = "the key must be RSA, EC on P-256, P-384 or P-521, or Ed25519";
    }
    if (why == NULL) {
        err = wanted_alg(issuer, &alg, out_fault);
    }
    if (why == NULL && err == CE_OK &&
        sig_key_init_pkey(single(s, issuer), pkey, alg, slice_str(issuer->kid), &why) == CE_OK) {
        s->count = 1;
    }
    EVP_PKEY_free(pkey);
    return why == NULL ? err : auth_fault_set(out_fault, "%s: %s", issuer->keys_file, why);
}

static enum corral_err take_jwks(const struct issuer_settings *issuer, struct slice text,
                                 struct keyset *s, struct auth_fault *out_fault)
{
    if (issuer->kid != NULL || issuer->algorithm != NULL) {
        return auth_fault_set(out_fault,
                              "%s: a JWKS says kid and alg by itself; remove kid and algorithm "
                              "from the issuer",
                              issuer->keys_file);
    }
    return keyset_parse_jwks(text, issuer->keys_file, s, out_fault);
}

enum corral_err keyset_read(const struct issuer_settings *issuer, struct keyset *out,
                            struct auth_fault *out_fault)
{
    struct slice path = slice_str(issuer->keys_file);
    struct file_bytes bytes;
    struct keyset set = {0};

    if (file_bytes_read(issuer->keys_file, KEYSET_MAX_FILE_BYTES, &bytes, out_fault) != CE_OK) {
        return CE_KEYS;
    }
    struct slice text = slice_of(bytes.ptr, bytes.len);
    enum corral_err err;

    if (slice_ends_with(path, SLICE_LITERAL(".json"))) {
        err = take_jwks(issuer, text, &set, out_fault);
    } else if (slice_ends_with(path, SLICE_LITERAL(".pem"))) {
        err = take_pem(issuer, text, &set, out_fault);
    } else {
        err = take_secret(issuer, text, &set, out_fault);
    }
    file_bytes_finish(&bytes);
    if (err != CE_OK) {
        keyset_finish(&set);
        return err;
    }
    *out = set;
    return CE_OK;
}
