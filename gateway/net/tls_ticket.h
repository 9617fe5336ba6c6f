/**
 * Keys of session tickets: random, in memory only, one set for each TLS context. Internal to net/.
 *
 * The current key encrypts; the one before it only decrypts, so a ticket lives for at most two
 * rotations. A context that is built anew (reload) has new keys: what was issued under other
 * authorities, revocation lists or certificates is worth nothing after.
 */
#ifndef CORRAL_NET_TLS_TICKET_H
#define CORRAL_NET_TLS_TICKET_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct ticket_key {
    unsigned char name[16];
    unsigned char cipher_key[32];
    unsigned char mac_key[32];
};

struct ticket_keys {
    pthread_mutex_t lock; /* guards what follows; workers share a context */
    struct ticket_key current;
    struct ticket_key previous; /* name all zero: none */
    uint64_t made_at_ms;
    uint64_t rotation_ms;
};

void ticket_keys_init(struct ticket_keys *k, uint64_t rotation_ms, uint64_t now_ms);
void ticket_keys_finish(struct ticket_keys *k);

/** The key for new tickets, after making a fresh one where it is time. Copies to *out. */
void ticket_keys_current(struct ticket_keys *k, uint64_t now_ms, struct ticket_key *out);

/** The key with that name, current or previous. False: unknown or too old. */
bool ticket_keys_find(struct ticket_keys *k, const unsigned char name[static 16], uint64_t now_ms,
                      struct ticket_key *out);

/** Make `ssl` use `k`, which outlives it. */
void ticket_keys_use(SSL_CTX *ssl, struct ticket_keys *k);

#endif
