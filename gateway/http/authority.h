/**
 * The authority of a request (RFC 3986 section 3.2, RFC 9110 section 7.2): Host or :authority.
 */
#ifndef CORRAL_HTTP_AUTHORITY_H
#define CORRAL_HTTP_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct http_authority {
    struct slice host; /* without brackets for an IPv6 literal */
    uint16_t port;     /* 0: none given */
    bool is_ipv6;
};

/**
 * Split and check. No userinfo, no lists, no empty host; labels of at most 63 bytes, names of at
 * most 253; a port of 1 to 65535.
 *
 * @return CE_OK or CE_HTTP_HOST.
 */
MUST_USE enum corral_err http_authority_parse(struct slice text, struct http_authority *out);

/** Whether the host is "localhost" or a loopback literal (127.0.0.0/8, ::1). */
bool http_authority_is_loopback(const struct http_authority *a);

#endif
