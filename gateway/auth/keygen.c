#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth/fault.h"
#include "auth/mint.h"
#include "auth/sig.h"
#include "base/base64.h"
#include "base/rand.h"

enum { RSA_BITS = 3072, SECRET_RANDOM_BYTES = 48 };

/* O_EXCL: a key that is overwritten is lost. */
static enum corral_err write_new(const char *path, mode_t mode, struct slice bytes,
                                 struct auth_fault *out_fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (fd < 0 && errno == EEXIST) {
        return auth_fault_set(out_fault,
                              "%s: is there already; move it away or choose another "
                              "--out",
                              path);
    }
    if (fd < 0) {
        return auth_fault_set(out_fault, "%s: cannot be made: %s", path, strerror(errno));
    }
    bool ok = write(fd, bytes.ptr, bytes.len) == (ssize_t)bytes.len && fsync(fd) == 0;

    int why = errno;

    ok = close(fd) == 0 && ok;
    if (!ok) {
        unlink(path);
        return auth_fault_set(out_fault, "%s: cannot be written: %s", path, strerror(why));
    }
    return CE_OK;
}

static EVP_PKEY *make_pkey(enum sig_alg alg)
{
    switch (alg) {
    case SIG_RS256:
        return EVP_RSA_gen(RSA_BITS);
    case SIG_ES256:
        return EVP_EC_gen("P-256");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
}

static enum corral_err write_bio(const char *path, mode_t mode, BIO *bio,
                                 struct auth_fault *out_fault)
{
    char *text = NULL;
    long len = BIO_get_mem_data(bio, &text);

    return write_new(path, mode, slice_of(text, (size_t)len), out_fault);
}

static enum corral_err write_pair(EVP_PKEY *pkey, const struct keygen_files *files,
                                  struct auth_fault *out_fault)
{
    BIO *secret = BIO_new(BIO_s_secmem()); /* wiped when freed */
    BIO *open_part = BIO_new(BIO_s_mem());
    enum corral_err err;

    if (secret == NULL || open_part == NULL ||
        PEM_write_bio_PrivateKey(secret, pkey, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(open_part, pkey) != 1) {
        err = auth_fault_set(out_fault, "OpenSSL cannot write the key as PEM");
    } else {
        err = write_bio(files->private_path, 0600, secret, out_fault);
        if (err == CE_OK) {
            err = write_bio(files->public_path, 0644, open_part, out_fault);
            if (err != CE_OK) {
                unlink(files->private_path); /* half a pair is in the way of the next attempt */
            }
        }
    }
    BIO_free(secret);
    BIO_free(open_part);
    return err;
}

/* Text, so that it can be pasted where others want the secret. */
static enum corral_err write_secret(const char *path, struct auth_fault *out_fault)
{
    unsigned char random[SECRET_RANDOM_BYTES];
    char text[BASE64URL_LEN(SECRET_RANDOM_BYTES) + 2];

    rand_bytes(random, sizeof(random));
    size_t len = base64url_encode(random, sizeof(random), text);

    text[len++] = '\n';
    enum corral_err err = write_new(path, 0600, slice_of(text, len), out_fault);

    explicit_bzero(random, sizeof(random));
    explicit_bzero(text, sizeof(text));
    return err;
}

enum corral_err keygen_write(const char *algorithm, const char *prefix, struct keygen_files *out,
                             struct auth_fault *out_fault)
{
    enum sig_alg alg = SIG_ALG_COUNT;
    struct keygen_files files = {{0}};

    if (sig_alg_parse(slice_str(algorithm), &alg) != CE_OK ||
        (alg != SIG_RS256 && alg != SIG_ES256 && alg != SIG_EDDSA && alg != SIG_HS256)) {
        return auth_fault_set(out_fault,
                              "keys are made for RS256, ES256, EdDSA or HS256, not "
                              "\"%s\"",
                              algorithm);
    }
    const char *ending = alg == SIG_HS256 ? ".secret" : "-private.pem";

    if (strlen(prefix) + sizeof("-private.pem") > MINT_PATH_BYTES) {
        return auth_fault_set(out_fault, "the path after --out is too long");
    }
    snprintf(files.private_path, MINT_PATH_BYTES, "%s%s", prefix, ending);
    enum corral_err err;

    if (alg == SIG_HS256) {
        err = write_secret(files.private_path, out_fault);
    } else {
        EVP_PKEY *pkey = make_pkey(alg);

        snprintf(files.public_path, MINT_PATH_BYTES, "%s-public.pem", prefix);
        err = pkey == NULL ? auth_fault_set(out_fault, "OpenSSL cannot make a key")
                           : write_pair(pkey, &files, out_fault);
        EVP_PKEY_free(pkey);
        ERR_clear_error();
    }
    if (err == CE_OK) {
        *out = files;
    }
    return err;
}
