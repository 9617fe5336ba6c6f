/**
 * The header of the PROXY protocol, version 2: what a load balancer says about a connection before
 * its first byte (haproxy's proxy-protocol.txt, section 2.2). Pure: bytes in, an address out.
 *
 * Only the source address is of use here. TLVs behind it are skipped. Version 1 (text) and whatever
 * does not fit are refused; nothing is guessed.
 */
#ifndef CORRAL_NET_PROXY_HEADER_H
#define CORRAL_NET_PROXY_HEADER_H

#include "base/err.h"
#include "net/address.h"

enum { PROXY_HEADER_MIN = 16, PROXY_HEADER_MAX = 536 };

struct proxy_header {
    bool has_source; /* else the connection's own peer is meant: LOCAL, or an unknown family */
    struct net_address source;
};

/**
 * Read a header from its first byte on; may be called again with more of the same bytes.
 *
 * @param out_need  on CE_MORE: how many bytes must be there before the next call; on CE_OK: the
 *                  header's length. Never more than PROXY_HEADER_MAX.
 * @return CE_OK, CE_MORE or CE_PROXY_HEADER.
 */
MUST_USE enum corral_err proxy_header_read(struct slice bytes, struct proxy_header *out,
                                           size_t *out_need);

#endif
