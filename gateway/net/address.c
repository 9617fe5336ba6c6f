#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/decimal.h"

static bool copy_text(struct slice from, char *out, size_t capacity)
{
    if (from.len == 0 || from.len >= capacity) {
        return false;
    }
    memcpy(out, from.ptr, from.len);
    out[from.len] = '\0';
    return true;
}

static enum corral_err set_ipv4(struct slice host, uint16_t port, struct net_address *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->storage;
    char text[INET_ADDRSTRLEN];

    if (slice_eq_str(host, "localhost")) {
        host = SLICE_LITERAL("127.0.0.1");
    }
    if (!copy_text(host, text, sizeof(text)) || inet_pton(AF_INET, text, &v4->sin_addr) != 1) {
        return CE_ADDRESS;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out->len = sizeof(*v4);
    return CE_OK;
}

static enum corral_err set_ipv6(struct slice host, uint16_t port, struct net_address *out)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->storage;
    char text[INET6_ADDRSTRLEN];

    if (!copy_text(host, text, sizeof(text)) || inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) {
        return CE_ADDRESS;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out->len = sizeof(*v6);
    return CE_OK;
}

enum corral_err net_address_parse(struct slice text, struct net_address *out)
{
    struct net_address a = {0};
    uint64_t port;
    size_t colon = text.len;

    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0 || slice_parse_u64(slice_from(text, colon), &port) != CE_OK || port > 65535) {
        return CE_ADDRESS;
    }
    struct slice host = slice_of(text.ptr, colon - 1);
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    enum corral_err err = bracketed
                              ? set_ipv6(slice_of(host.ptr + 1, host.len - 2), (uint16_t)port, &a)
                              : set_ipv4(host, (uint16_t)port, &a);
    if (err == CE_OK) {
        *out = a;
    }
    return err;
}

enum corral_err net_address_parse_unix(struct slice text, struct net_address *out)
{
    static const struct slice scheme = {"unix:", 5};
    struct net_address a = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&a.storage;
    struct slice path = slice_from(text, scheme.len);

    if (!slice_starts_with(text, scheme) || path.len < 2 || path.ptr[0] != '/' ||
        path.len >= sizeof(un->sun_path) || slice_find(path, '\0') < path.len) {
        return CE_ADDRESS;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.ptr, path.len);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    *out = a;
    return CE_OK;
}

bool net_address_is_unix(const struct net_address *a)
{
    return a->storage.ss_family == AF_UNIX;
}

uint16_t net_address_port(const struct net_address *a)
{
    return a->storage.ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)&a->storage)->sin6_port)
               : ntohs(((const struct sockaddr_in *)&a->storage)->sin_port);
}

struct net_peer net_peer_of(const struct net_address *a)
{
    struct net_peer p = {.family = a->storage.ss_family};

    if (p.family == AF_INET) {
        memcpy(p.bytes, &((const struct sockaddr_in *)&a->storage)->sin_addr, 4);
    } else if (p.family == AF_INET6) {
        memcpy(p.bytes, &((const struct sockaddr_in6 *)&a->storage)->sin6_addr, 16);
    }
    return p;
}

/* Each access line has one: inet_ntop would print it twice over. */
static void format_v4(const uint8_t bytes[static 4], char *at)
{
    for (size_t i = 0; i < 4; i++) {
        at = decimal_put(at, bytes[i]);
        *at++ = i < 3 ? '.' : '\0';
    }
}

void net_peer_format(const struct net_peer *p, char out[static NET_ADDRESS_TEXT_BYTES])
{
    if (p->family == AF_INET) {
        format_v4(p->bytes, out);
    } else if (p->family == AF_INET6) {
        inet_ntop(AF_INET6, p->bytes, out, NET_ADDRESS_TEXT_BYTES);
    } else {
        snprintf(out, NET_ADDRESS_TEXT_BYTES, "%s", p->family == AF_UNIX ? "unix" : "?");
    }
}

void net_address_format(const struct net_address *a, char out[static NET_ADDRESS_TEXT_BYTES])
{
    char host[NET_ADDRESS_TEXT_BYTES];
    struct net_peer p = net_peer_of(a);

    if (net_address_is_unix(a)) {
        snprintf(out, NET_ADDRESS_TEXT_BYTES, "unix:%s",
                 ((const struct sockaddr_un *)&a->storage)->sun_path);
        return;
    }
    net_peer_format(&p, host);
    snprintf(out, NET_ADDRESS_TEXT_BYTES,
             a->storage.ss_family == AF_INET6 ? "[%.46s]:%u" : "%.46s:%u", host,
             (unsigned)net_address_port(a));
}

/* IPv4 as ::ffff:a.b.c.d. */
static void mapped_bytes(const struct net_peer *p, uint8_t out[static 16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (p->family == AF_INET6) {
        memcpy(out, p->bytes, 16);
    } else {
        memcpy(out, mapped, sizeof(mapped));
        memcpy(out + 12, p->bytes, 4);
    }
}

static bool is_mapped_ipv4(const uint8_t bytes[static 16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

bool net_address_is_loopback(const struct net_address *a)
{
    struct net_peer p = net_peer_of(a);
    uint8_t bytes[16];

    if (net_address_is_unix(a)) {
        return true;
    }
    mapped_bytes(&p, bytes);
    if (is_mapped_ipv4(bytes)) {
        return bytes[12] == 127;
    }
    return IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)bytes);
}

static bool is_wildcard(const struct net_peer *p)
{
    static const uint8_t none[sizeof(p->bytes)];

    return memcmp(p->bytes, none, sizeof(none)) == 0;
}

/* IPv6 sockets are opened for IPv6 only, so the families do not meet. */
bool net_address_overlaps(const struct net_address *a, const struct net_address *b)
{
    struct net_peer x = net_peer_of(a);
    struct net_peer y = net_peer_of(b);

    if (net_address_is_unix(a) || x.family != y.family || net_address_port(a) == 0 ||
        net_address_port(a) != net_address_port(b)) {
        return false;
    }
    return is_wildcard(&x) || is_wildcard(&y) || memcmp(x.bytes, y.bytes, sizeof(x.bytes)) == 0;
}

uint64_t net_peer_source(const struct net_peer *p)
{
    uint8_t bytes[16];
    uint64_t key = UINT64_MAX; /* no network: all ones are multicast */

    if (p->family == AF_UNIX) {
        return key;
    }
    mapped_bytes(p, bytes);
    memcpy(&key, is_mapped_ipv4(bytes) ? bytes + 8 : bytes, sizeof(key));
    return key;
}

enum corral_err net_prefix_parse(struct slice text, struct net_prefix *out)
{
    size_t slash = slice_find(text, '/');
    struct slice host = slice_of(text.ptr, slash);
    struct net_address a = {0};
    bool is_ipv6 = slice_find(host, ':') < host.len;
    uint64_t bits = is_ipv6 ? 128 : 32;
    uint64_t most = bits;

    enum corral_err err = is_ipv6 ? set_ipv6(host, 0, &a) : set_ipv4(host, 0, &a);
    if (err != CE_OK) {
        return err;
    }
    if (slash < text.len &&
        (slice_parse_u64(slice_from(text, slash + 1), &bits) != CE_OK || bits > most)) {
        return CE_ADDRESS;
    }
    struct net_peer peer = net_peer_of(&a);

    mapped_bytes(&peer, out->bytes);
    out->bits = (uint8_t)(is_ipv6 ? bits : bits + 96);
    return CE_OK;
}

bool net_prefix_contains(const struct net_prefix *p, const struct net_address *a)
{
    struct net_peer peer = net_peer_of(a);
    uint8_t bytes[16];
    size_t whole = p->bits / 8;
    unsigned rest = p->bits % 8;

    if (net_address_is_unix(a)) {
        return false;
    }
    mapped_bytes(&peer, bytes);
    if (memcmp(bytes, p->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || (bytes[whole] ^ p->bytes[whole]) >> (8 - rest) == 0;
}
