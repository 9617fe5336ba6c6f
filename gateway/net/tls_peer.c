#include "net/tls_peer.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"

int tls_peer_verify(int ok, X509_STORE_CTX *store)
{
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);

    if (ok == 1 && X509_STORE_CTX_get_error_depth(store) == 0 && certificate != NULL &&
        X509_check_ca(certificate) != 0) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    return ok;
}

static const struct slice dns_prefix = {"dns:", 4};

/* A name for us: exact bytes later, so only those that a configuration could hold. */
static struct slice text_of(const GENERAL_NAME *n)
{
    const ASN1_STRING *s = n->type == GEN_URI   ? n->d.uniformResourceIdentifier
                           : n->type == GEN_DNS ? n->d.dNSName
                                                : NULL;
    struct slice text =
        s == NULL ? slice_of(NULL, 0)
                  : slice_of((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));

    if (n->type == GEN_URI && slice_starts_with(text, dns_prefix)) {
        return slice_of(NULL, 0); /* would pass for a host name */
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || text.ptr[i] == '*') {
            return slice_of(NULL, 0);
        }
    }
    return text;
}

static size_t prefix_len(const GENERAL_NAME *n)
{
    return n->type == GEN_DNS ? dns_prefix.len : 0;
}

static struct tls_names *copy_names(const GENERAL_NAMES *names, size_t count, size_t bytes)
{
    struct tls_names *out =
        xcalloc(1, sizeof(*out) + count * sizeof(struct slice) + (bytes == 0 ? 1 : bytes));
    char *at = (char *)&out->names[count];

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        struct slice text = text_of(n);
        size_t prefix = prefix_len(n);

        if (text.len > 0) {
            memcpy(at, dns_prefix.ptr, prefix);
            memcpy(at + prefix, text.ptr, text.len);
            out->names[out->count++] = slice_of(at, prefix + text.len);
            at += prefix + text.len;
        }
    }
    return out;
}

struct tls_names *tls_peer_names(X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t count = 0;
    size_t bytes = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        size_t len = text_of(n).len;

        count += len > 0 ? 1 : 0;
        bytes += len > 0 ? prefix_len(n) + len : 0;
    }
    struct tls_names *out =
        count > TLS_MAX_PEER_NAMES ? copy_names(NULL, 0, 0) : copy_names(names, count, bytes);

    GENERAL_NAMES_free(names);
    return out;
}
