/**
 * Names of replicas to addresses, by getaddrinfo in a helper thread: no worker ever waits for DNS.
 *
 * Numbers name the questions. An answer is announced by mail to the asking worker and fetched with
 * resolver_take. The last good answer is kept by whoever asked.
 */
#ifndef CORRAL_UPSTREAM_RESOLVE_H
#define CORRAL_UPSTREAM_RESOLVE_H

#include "net/address.h"
#include "net/worker.h"

enum { RESOLVE_MAX_ADDRESSES = 64, RESOLVE_MAX_NAMES = 256 };

struct resolver;

/** Answers arrive at `w` as mail of `mail_kind` with the question's number as index. */
struct resolver *resolver_create(struct worker *w, uint32_t mail_kind);

/** Waits for a running look-up (seconds at worst). */
void resolver_destroy(struct resolver *r);

/** Ask for all addresses of a name; a question still open is not asked twice. */
void resolver_ask(struct resolver *r, uint32_t question, const char *host, uint16_t port);

/** The answer: count of addresses written to `out`; 0 when the name could not be resolved. */
size_t resolver_take(struct resolver *r, uint32_t question,
                     struct net_address out[static RESOLVE_MAX_ADDRESSES]);

#endif
