/**
 * Socket addresses from text, as text, and as the key of a source.
 */
#ifndef CORRAL_NET_ADDRESS_H
#define CORRAL_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

enum { NET_ADDRESS_TEXT_BYTES = 128 };

struct net_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

/**
 * "127.0.0.1:8443", "[::1]:8443", "localhost:8443" (127.0.0.1). No other names: an address that we
 * listen on must not depend on a resolver.
 *
 * @return CE_OK or CE_ADDRESS.
 */
MUST_USE enum corral_err net_address_parse(struct slice text, struct net_address *out);

/** "unix:/run/corral.sock": absolute, short enough for the kernel. CE_OK or CE_ADDRESS. */
MUST_USE enum corral_err net_address_parse_unix(struct slice text, struct net_address *out);

bool net_address_is_unix(const struct net_address *a);

/** "127.0.0.1:8443", "unix:/run/corral.sock", with a NUL. */
void net_address_format(const struct net_address *a, char out[static NET_ADDRESS_TEXT_BYTES]);

/** Only this machine: loopback addresses and sockets in the file system. */
bool net_address_is_loopback(const struct net_address *a);
/** Whether nothing can listen on the one beside the other: the same port and, of one family, the
 * same address or all of them. Port 0 is any free one. */
bool net_address_overlaps(const struct net_address *a, const struct net_address *b);
uint16_t net_address_port(const struct net_address *a);

/** Who is at the other end: the address without what only the kernel needs, an eighth of it. */
struct net_peer {
    uint8_t bytes[16]; /* of IPv4 the first four */
    uint16_t family;   /* AF_INET, AF_INET6, AF_UNIX */
};

struct net_peer net_peer_of(const struct net_address *a);

/** "127.0.0.1", "::1"; "unix" for all that come over one. With a NUL. */
void net_peer_format(const struct net_peer *p, char out[static NET_ADDRESS_TEXT_BYTES]);

/** What counts as one source: an IPv4 address, the /64 of an IPv6 one, or all unix sockets. */
uint64_t net_peer_source(const struct net_peer *p);

/** A network like "10.0.0.0/8" or "fd00::/8", or a single address. */
struct net_prefix {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;
};

MUST_USE enum corral_err net_prefix_parse(struct slice text, struct net_prefix *out);
bool net_prefix_contains(const struct net_prefix *p, const struct net_address *a);

#endif
