#include "net/tls_ticket.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"

static void make(struct ticket_key *k)
{
    rand_bytes(k, sizeof(*k));
    k->name[0] |= 1; /* never the all-zero name of "none" */
}

/* Caller holds the lock. After two silent periods the current key is too old to decrypt, too. */
static void rotate(struct ticket_keys *k, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - k->made_at_ms;

    if (age_ms < k->rotation_ms) {
        return;
    }
    if (age_ms < 2 * k->rotation_ms) {
        k->previous = k->current;
    } else {
        explicit_bzero(&k->previous, sizeof(k->previous));
    }
    make(&k->current);
    k->made_at_ms = now_ms;
}

void ticket_keys_init(struct ticket_keys *k, uint64_t rotation_ms, uint64_t now_ms)
{
    pthread_mutex_init(&k->lock, NULL);
    k->rotation_ms = rotation_ms;
    k->made_at_ms = now_ms;
    explicit_bzero(&k->previous, sizeof(k->previous));
    make(&k->current);
}

void ticket_keys_finish(struct ticket_keys *k)
{
    explicit_bzero(&k->current, sizeof(k->current));
    explicit_bzero(&k->previous, sizeof(k->previous));
    pthread_mutex_destroy(&k->lock);
}

void ticket_keys_current(struct ticket_keys *k, uint64_t now_ms, struct ticket_key *out)
{
    pthread_mutex_lock(&k->lock);
    rotate(k, now_ms);
    *out = k->current;
    pthread_mutex_unlock(&k->lock);
}

bool ticket_keys_find(struct ticket_keys *k, const unsigned char name[static 16], uint64_t now_ms,
                      struct ticket_key *out)
{
    bool found = true;

    pthread_mutex_lock(&k->lock);
    rotate(k, now_ms);
    if (memcmp(name, k->current.name, sizeof(k->current.name)) == 0) {
        *out = k->current;
    } else if (k->previous.name[0] != 0 &&
               memcmp(name, k->previous.name, sizeof(k->previous.name)) == 0) {
        *out = k->previous;
    } else {
        found = false;
    }
    pthread_mutex_unlock(&k->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    static char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac_key, sizeof(key->mac_key)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 use it, 2 use it and give a new one, 0 no ticket. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    struct ticket_keys *k = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    uint64_t now_ms = clock_mono_ms();
    struct ticket_key key;
    int result = 1;

    if (encrypt != 0) {
        ticket_keys_current(k, now_ms, &key);
        memcpy(name, key.name, sizeof(key.name));
        rand_bytes(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
    } else if (!ticket_keys_find(k, name, now_ms, &key)) {
        return 0;
    }
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher_key, iv, encrypt) != 1 ||
        !set_mac(mac, &key)) {
        result = -1;
    }
    explicit_bzero(&key, sizeof(key));
    return result;
}

void ticket_keys_use(SSL_CTX *ssl, struct ticket_keys *k)
{
    SSL_CTX_set_app_data(ssl, k);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
}
