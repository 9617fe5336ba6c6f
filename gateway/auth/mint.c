#include "auth/mint.h"

#include <inttypes.h>
#include <stdlib.h>

#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "auth/fault.h"
#include "auth/keyset.h"
#include "base/base64.h"
#include "base/rand.h"

enum { CLAIMS_MAX_BYTES = 6144, JTI_BYTES = 16, ED25519_SIGNATURE_BYTES = 64 };

static enum corral_err put(struct buf *b, const char *name, struct slice value)
{
    enum corral_err err = buf_printf(b, ",\"%s\":\"", name);

    if (err == CE_OK) {
        err = buf_append_json(b, value);
    }
    return err == CE_OK ? buf_append_str(b, "\"") : err;
}

static enum corral_err put_text(struct buf *b, const char *name, const char *value)
{
    return value == NULL ? CE_OK : put(b, name, slice_str(value));
}

static enum corral_err put_list(struct buf *b, const char *name, const struct slice *items,
                                size_t count)
{
    enum corral_err err = buf_printf(b, ",\"%s\":[", name);

    for (size_t i = 0; i < count && err == CE_OK; i++) {
        err = buf_append_str(b, i == 0 ? "\"" : ",\"");
        if (err == CE_OK) {
            err = buf_append_json(b, items[i]);
        }
        if (err == CE_OK) {
            err = buf_append_str(b, "\"");
        }
    }
    return err == CE_OK ? buf_append_str(b, "]") : err;
}

static enum corral_err put_claims(struct buf *b, const struct mint_request *r)
{
    unsigned char id[JTI_BYTES];
    char jti[BASE64URL_LEN(JTI_BYTES) + 1];
    enum corral_err err =
        buf_printf(b, "{\"iat\":%" PRIu64 ",\"exp\":%" PRIu64, r->now_s, r->now_s + r->lifetime_s);

    rand_bytes(id, sizeof(id));
    base64url_encode(id, sizeof(id), jti);
    const struct {
        const char *name;
        const char *value;
    } texts[] = {{"iss", r->issuer},
                 {"aud", r->audience},
                 {"tenant", r->tenant},
                 {"sub", r->user},
                 {"jti", jti}};

    for (size_t i = 0; i < ARRAY_LEN(texts) && err == CE_OK; i++) {
        err = put_text(b, texts[i].name, texts[i].value);
    }
    if (err == CE_OK && r->verb_count > 0) {
        err = put_list(b, "verbs", r->verbs, r->verb_count);
    }
    if (err == CE_OK && r->model_count > 0) {
        err = put_list(b, "models", r->models, r->model_count);
    }
    /* libjwt reads a NUL-terminated text. */
    return err == CE_OK ? buf_append(b, slice_of("}", 2)) : err;
}

/* NULL: it is none, or has a passphrase. Caller frees. */
static EVP_PKEY *read_pkey(struct slice text)
{
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    char no_passphrase[] = "";
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, no_passphrase);

    BIO_free(bio);
    ERR_clear_error();
    return pkey;
}

/* libjwt signs ES256 with any curve and RS256 with any size; what verifies is stricter. */
static const char *pem_fault(struct slice text, enum sig_alg alg)
{
    EVP_PKEY *pkey = read_pkey(text);
    const char *why =
        pkey == NULL ? "not a PEM private key without a passphrase" : sig_pkey_fault(pkey, alg);

    EVP_PKEY_free(pkey);
    return why;
}

static enum corral_err put_base64url(struct buf *out, struct slice bytes)
{
    char text[BASE64URL_LEN(CLAIMS_MAX_BYTES) + 1];

    base64url_encode(bytes.ptr, bytes.len, text);
    return buf_append_str(out, text);
}

static enum corral_err put_header(const struct mint_request *r, struct buf *header)
{
    enum corral_err err = buf_append_str(header, "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"");

    err = err == CE_OK ? put_text(header, "kid", r->kid) : err;
    return err == CE_OK ? buf_append_str(header, "}") : err;
}

/* Header and claims, as they are signed: two segments. */
static enum corral_err put_signed(const struct mint_request *r, struct slice claims,
                                  struct buf *out)
{
    struct buf header = buf_make(CLAIMS_MAX_BYTES);
    enum corral_err err = put_header(r, &header);

    err = err == CE_OK ? put_base64url(out, buf_slice(&header)) : err;
    err = err == CE_OK ? buf_append_str(out, ".") : err;
    buf_finish(&header);
    return err == CE_OK ? put_base64url(out, claims) : err;
}

static bool put_signature(struct slice key, struct buf *out)
{
    EVP_PKEY *pkey = read_pkey(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct slice text = buf_slice(out);
    unsigned char signature[ED25519_SIGNATURE_BYTES];
    size_t len = sizeof(signature);
    bool ok = pkey != NULL && ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text.ptr, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return ok && buf_append_str(out, ".") == CE_OK &&
           put_base64url(out, slice_of((const char *)signature, len)) == CE_OK;
}

/* libjwt does not know EdDSA. */
static const char *sign_eddsa(const struct mint_request *r, struct slice claims, struct slice key,
                              struct buf *out)
{
    if (put_signed(r, claims, out) != CE_OK) {
        return "the token is too long";
    }
    return put_signature(key, out) ? NULL : "OpenSSL cannot sign with this key";
}

static const char *sign(jwt_t *jwt, const struct mint_request *r, const char *claims,
                        struct slice key, struct buf *out)
{
    if ((r->kid != NULL && jwt_add_header(jwt, "kid", r->kid) != 0) ||
        jwt_add_grants_json(jwt, claims) != 0 ||
        jwt_set_alg(jwt, jwt_str_alg(r->algorithm), (const unsigned char *)key.ptr, (int)key.len) !=
            0) {
        return "the claims are not UTF-8";
    }
    char *token = jwt_encode_str(jwt);

    if (token == NULL) {
        return "libjwt cannot sign with this key";
    }
    enum corral_err err = buf_append_str(out, token);

    explicit_bzero(token, strlen(token));
    free(token);
    return err == CE_OK ? NULL : "the token is too long";
}

static const char *make(const struct mint_request *r, enum sig_alg alg, struct slice key,
                        struct buf *out)
{
    struct buf claims = buf_make(CLAIMS_MAX_BYTES);
    const char *why = "the claims take more than 6 KiB";
    jwt_t *jwt = NULL;

    if (put_claims(&claims, r) == CE_OK) {
        struct slice text = slice_of(buf_slice(&claims).ptr, claims.len - 1); /* without its NUL */

        why = alg == SIG_EDDSA     ? sign_eddsa(r, text, key, out)
              : jwt_new(&jwt) == 0 ? sign(jwt, r, text.ptr, key, out)
                                   : "no memory";
    }
    jwt_free(jwt); /* wipes its copy of the key */
    buf_finish(&claims);
    return why;
}

enum corral_err mint_token(const struct mint_request *r, struct buf *out_token,
                           struct auth_fault *out_fault)
{
    enum sig_alg alg = SIG_ALG_COUNT;
    struct file_bytes bytes;

    if (sig_alg_parse(slice_str(r->algorithm), &alg) != CE_OK ||
        (alg != SIG_HS256 && alg != SIG_RS256 && alg != SIG_ES256 && alg != SIG_EDDSA)) {
        return auth_fault_set(out_fault,
                              "tokens are minted with HS256, RS256, ES256 or EdDSA, not \"%s\"",
                              r->algorithm);
    }
    if (file_bytes_read(r->key_file, KEYSET_MAX_FILE_BYTES, &bytes, out_fault) != CE_OK) {
        return CE_KEYS;
    }
    struct slice key = slice_of(bytes.ptr, bytes.len);
    const char *why;

    if (alg == SIG_HS256) {
        key = keyset_secret_of(key);
        why = sig_secret_fault(key, alg);
    } else {
        why = pem_fault(key, alg);
    }
    if (why == NULL) {
        why = make(r, alg, key, out_token);
    }
    file_bytes_finish(&bytes);
    return why == NULL ? CE_OK : auth_fault_set(out_fault, "%s: %s", r->key_file, why);
}
