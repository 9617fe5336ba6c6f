#include "net/proxy_header.h"

#include <netinet/in.h>
#include <sys/un.h>

static const unsigned char signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                            '\n', 'Q',  'U',  'I',  'T', '\n'};

enum {
    AT_VERSION = 12,
    AT_FAMILY = 13,
    AT_LENGTH = 14,
    VERSION_2_LOCAL = 0x20,
    VERSION_2_PROXY = 0x21,
    UNSPEC = 0x00,
    TCP_IPV4 = 0x11,
    TCP_IPV6 = 0x21,
    UNIX_STREAM = 0x31,
    IPV4_BYTES = 12,
    IPV6_BYTES = 36,
    UNIX_BYTES = 216,
};

static unsigned byte_at(struct slice bytes, size_t at)
{
    return (unsigned char)bytes.ptr[at];
}

static uint16_t u16_at(struct slice bytes, size_t at)
{
    return (uint16_t)(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

/* Source address, destination address, source port, destination port. */
static struct net_address ipv4_of(struct slice block)
{
    struct net_address a = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a.storage;

    v4->sin_family = AF_INET;
    memcpy(&v4->sin_addr, block.ptr, 4);
    v4->sin_port = htons(u16_at(block, 8));
    return a;
}

static struct net_address ipv6_of(struct slice block)
{
    struct net_address a = {.len = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.storage;

    v6->sin6_family = AF_INET6;
    memcpy(&v6->sin6_addr, block.ptr, 16);
    v6->sin6_port = htons(u16_at(block, 32));
    return a;
}

/* Whoever it is, it is one source: the path of a stranger's socket says nothing. */
static struct net_address unix_of(void)
{
    struct net_address a = {.len = sizeof(sa_family_t)};

    a.storage.ss_family = AF_UNIX;
    return a;
}

static enum corral_err read_block(unsigned family, struct slice block, struct proxy_header *out)
{
    size_t need = family == TCP_IPV4      ? IPV4_BYTES
                  : family == TCP_IPV6    ? IPV6_BYTES
                  : family == UNIX_STREAM ? UNIX_BYTES
                                          : 0;

    if (family == UNSPEC) {
        return CE_OK;
    }
    if (need == 0 || block.len < need) {
        return CE_PROXY_HEADER; /* datagrams and numbers that nobody has assigned too */
    }
    out->has_source = true;
    out->source = family == TCP_IPV4   ? ipv4_of(block)
                  : family == TCP_IPV6 ? ipv6_of(block)
                                       : unix_of();
    return CE_OK;
}

enum corral_err proxy_header_read(struct slice bytes, struct proxy_header *out, size_t *out_need)
{
    size_t seen = bytes.len < sizeof(signature) ? bytes.len : sizeof(signature);
    struct proxy_header header = {0};

    if (seen > 0 && memcmp(bytes.ptr, signature, seen) != 0) {
        return CE_PROXY_HEADER;
    }
    if (bytes.len < PROXY_HEADER_MIN) {
        *out_need = PROXY_HEADER_MIN;
        return CE_MORE;
    }
    unsigned command = byte_at(bytes, AT_VERSION);
    size_t total = (size_t)PROXY_HEADER_MIN + u16_at(bytes, AT_LENGTH);

    if ((command != VERSION_2_LOCAL && command != VERSION_2_PROXY) || total > PROXY_HEADER_MAX) {
        return CE_PROXY_HEADER;
    }
    *out_need = total;
    if (bytes.len < total) {
        return CE_MORE;
    }
    enum corral_err err = CE_OK;
    if (command == VERSION_2_PROXY) {
        err = read_block(byte_at(bytes, AT_FAMILY),
                         slice_of(bytes.ptr + PROXY_HEADER_MIN, total - PROXY_HEADER_MIN), &header);
    }
    if (err == CE_OK) {
        *out = header;
    }
    return err;
}
