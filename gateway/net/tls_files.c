#include "net/tls_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { MIN_SIGNATURE_BITS = 112 };

enum corral_err tls_fault_set(struct tls_fault *out, const char *format, ...)
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
        (void)tls_fault_set(out_fault, "%s: %m", path);
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)tls_fault_set(out_fault, "%s: is not a regular file", path);
    } else if (st.st_size == 0) {
        (void)tls_fault_set(out_fault, "%s: is empty", path);
    } else if (st.st_size > TLS_MAX_FILE_BYTES) {
        (void)tls_fault_set(out_fault, "%s: is larger than %d bytes", path,
                            (int)TLS_MAX_FILE_BYTES);
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

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm = {0};

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void keep_earliest(int64_t *slot, int64_t at)
{
    *slot = *slot == 0 || at < *slot ? at : *slot;
}

static enum corral_err read_chain(const char *path, struct tls_pair *p, struct tls_fault *out_fault)
{
    BIO *bio = read_file(path, out_fault);
    X509 *ca;
    X509 *below;
    bool ordered = true;

    if (bio == NULL) {
        return CE_TLS_FILES;
    }
    p->leaf = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL);
    p->chain = sk_X509_new_null();
    if (p->leaf == NULL || p->chain == NULL) {
        BIO_free(bio);
        return tls_fault_set(out_fault, "%s: holds no PEM certificate", path);
    }
    below = p->leaf;
    while ((ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        ordered = ordered && X509_check_issued(ca, below) == X509_V_OK;
        below = ca;
        if (sk_X509_push(p->chain, ca) == 0) {
            mem_exhausted();
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    p->expiry = seconds_of(X509_get0_notAfter(p->leaf));
    return ordered ? CE_OK
                   : tls_fault_set(out_fault,
                                   "%s: the chain is out of order: each certificate must be "
                                   "followed by the one that issued it, leaf first",
                                   path);
}

/* As OpenSSL's level 2 asks. From 3.5 on it does not look at a leaf of our own; clients do. */
static bool is_signed_well(X509 *leaf)
{
    int bits = 0;

    return X509_self_signed(leaf, 0) == 1 ||
           (X509_get_signature_info(leaf, NULL, NULL, &bits, NULL) == 1 &&
            bits >= MIN_SIGNATURE_BITS);
}

static enum corral_err read_key(const struct tls_files *files, struct tls_pair *p,
                                struct tls_fault *out_fault)
{
    BIO *bio = read_file(files->key, out_fault);

    if (bio == NULL) {
        return CE_TLS_FILES;
    }
    p->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (p->key == NULL) {
        return tls_fault_set(out_fault, "%s: holds no PEM private key without a passphrase",
                             files->key);
    }
    if (X509_check_private_key(p->leaf, p->key) != 1) {
        return tls_fault_set(out_fault, "%s: is not the key of the certificate in %s", files->key,
                             files->chain);
    }
    if (!is_signed_well(p->leaf)) {
        return tls_fault_set(out_fault, "%s: the certificate is not usable (weak signature)",
                             files->chain);
    }
    return CE_OK;
}

enum corral_err tls_pair_read(const struct tls_files *files, struct tls_pair *out,
                              struct tls_fault *out_fault)
{
    struct tls_pair p = {0};
    enum corral_err err = read_chain(files->chain, &p, out_fault);

    if (err == CE_OK) {
        err = read_key(files, &p, out_fault);
    }
    if (err != CE_OK) {
        tls_pair_finish(&p);
        return err;
    }
    *out = p;
    return CE_OK;
}

void tls_pair_finish(struct tls_pair *p)
{
    X509_free(p->leaf);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    *p = (struct tls_pair){0};
}

/* What is read from a folder: `take` gets each file's text. */
struct folder {
    const char *path;
    size_t files;
    struct tls_clients *into;
    enum corral_err (*take)(struct folder *f, const char *path, BIO *bio, struct tls_fault *fault);
};

static enum corral_err read_entry(struct folder *f, const char *name, struct tls_fault *out_fault)
{
    char path[4096 + 256];

    if (++f->files > TLS_MAX_FOLDER_FILES) {
        return tls_fault_set(out_fault, "%s: has more than %d files", f->path,
                             (int)TLS_MAX_FOLDER_FILES);
    }
    snprintf(path, sizeof(path), "%s/%s", f->path, name);
    BIO *bio = read_file(path, out_fault);
    if (bio == NULL) {
        return CE_TLS_FILES;
    }
    enum corral_err err = f->take(f, path, bio, out_fault);

    BIO_free(bio);
    return err;
}

/* Names that begin with a dot are the kubelet's own: `..data` and what it points to. */
static enum corral_err read_folder(struct folder *f, struct tls_fault *out_fault)
{
    DIR *d = opendir(f->path);
    enum corral_err err = CE_OK;
    const struct dirent *entry;

    if (d == NULL) {
        return tls_fault_set(out_fault, "%s: %m", f->path);
    }
    while (err == CE_OK && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            err = read_entry(f, entry->d_name, out_fault);
        }
    }
    closedir(d);
    return err;
}

/* One by one: a certificate that may not sign others would make itself a root. */
static enum corral_err add_authority(X509_STORE *store, X509 *ca, const char *path,
                                     struct tls_fault *out_fault)
{
    if (X509_check_ca(ca) == 0) {
        return tls_fault_set(out_fault, "%s: holds a certificate that is not an authority (CA)",
                             path);
    }
    /* 1 too when it is there already. */
    if (X509_STORE_add_cert(store, ca) != 1) {
        return tls_fault_set(out_fault, "%s: holds a certificate that is not usable", path);
    }
    return CE_OK;
}

static enum corral_err take_authorities(struct folder *f, const char *path, BIO *bio,
                                        struct tls_fault *out_fault)
{
    struct tls_clients *c = f->into;
    enum corral_err err = CE_OK;
    size_t count = 0;
    X509 *ca;

    while (err == CE_OK && (ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        count++;
        err = add_authority(c->store, ca, path, out_fault);
        keep_earliest(&c->authority_expiry, seconds_of(X509_get0_notAfter(ca)));
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));
        if (name == NULL || sk_X509_NAME_push(c->names, name) == 0) {
            mem_exhausted();
        }
        X509_free(ca);
    }
    ERR_clear_error();
    if (err == CE_OK && count == 0) {
        return tls_fault_set(out_fault, "%s: holds no PEM certificate", path);
    }
    if (err == CE_OK && sk_X509_NAME_num(c->names) > TLS_MAX_AUTHORITIES) {
        return tls_fault_set(out_fault, "%s: more than %d authorities", f->path,
                             (int)TLS_MAX_AUTHORITIES);
    }
    return err;
}

static enum corral_err take_crls(struct folder *f, const char *path, BIO *bio,
                                 struct tls_fault *out_fault)
{
    struct tls_clients *c = f->into;
    size_t count = 0;
    X509_CRL *crl;

    while ((crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL)) != NULL) {
        int added = X509_STORE_add_crl(c->store, crl);

        count++;
        keep_earliest(&c->crl_expiry, seconds_of(X509_CRL_get0_nextUpdate(crl)));
        X509_CRL_free(crl);
        if (added != 1) {
            return tls_fault_set(out_fault, "%s: holds a revocation list that is not usable", path);
        }
    }
    ERR_clear_error();
    return count > 0
               ? CE_OK
               : tls_fault_set(out_fault, "%s: holds no PEM revocation list (X509 CRL)", path);
}

static enum corral_err read_lists(const char *crl_dir, struct tls_clients *c,
                                  struct tls_fault *out_fault)
{
    struct folder crls = {.path = crl_dir, .into = c, .take = take_crls};
    enum corral_err err = read_folder(&crls, out_fault);

    if (err == CE_OK && crls.files == 0) {
        err = tls_fault_set(out_fault,
                            "%s: holds no revocation list: every client would be refused", crl_dir);
    }
    /* The whole chain, and no list means no: a missing or expired one refuses. */
    X509_STORE_set_flags(c->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return err;
}

enum corral_err tls_clients_read(const char *ca_dir, const char *crl_dir, struct tls_clients *out,
                                 struct tls_fault *out_fault)
{
    struct tls_clients c = {.store = X509_STORE_new(), .names = sk_X509_NAME_new_null()};
    struct folder authorities = {.path = ca_dir, .into = &c, .take = take_authorities};

    if (c.store == NULL || c.names == NULL) {
        mem_exhausted();
    }
    enum corral_err err = read_folder(&authorities, out_fault);
    if (err == CE_OK && authorities.files == 0) {
        err = tls_fault_set(out_fault, "%s: holds no certificate of an authority", ca_dir);
    }
    if (err == CE_OK && crl_dir != NULL) {
        err = read_lists(crl_dir, &c, out_fault);
    }
    if (err != CE_OK) {
        tls_clients_finish(&c);
        return err;
    }
    *out = c;
    return CE_OK;
}

void tls_clients_finish(struct tls_clients *c)
{
    X509_STORE_free(c->store);
    sk_X509_NAME_pop_free(c->names, X509_NAME_free);
    *c = (struct tls_clients){0};
}

enum corral_err tls_store_add_file(X509_STORE *store, const char *path, struct tls_fault *out_fault)
{
    BIO *bio = read_file(path, out_fault);
    enum corral_err err = CE_OK;
    size_t count = 0;
    X509 *ca;

    if (bio == NULL) {
        return CE_TLS_FILES;
    }
    while (err == CE_OK && (ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        count++;
        err = add_authority(store, ca, path, out_fault);
        X509_free(ca);
    }
    BIO_free(bio);
    ERR_clear_error();
    return err != CE_OK || count > 0
               ? err
               : tls_fault_set(out_fault, "%s: holds no PEM certificate", path);
}

enum corral_err tls_check_pair(const struct tls_files *files, struct tls_fault *out_fault)
{
    struct tls_pair pair = {0};
    enum corral_err err = tls_pair_read(files, &pair, out_fault);

    tls_pair_finish(&pair);
    return err;
}

enum corral_err tls_check_clients(const struct tls_settings *settings, struct tls_fault *out_fault)
{
    struct tls_clients clients = {0};
    enum corral_err err =
        tls_clients_read(settings->client_ca_dir, settings->client_crl_dir, &clients, out_fault);

    tls_clients_finish(&clients);
    return err;
}
