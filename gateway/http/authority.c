#include "http/authority.h"

#include <arpa/inet.h>

enum { MAX_HOST_BYTES = 253, MAX_LABEL_BYTES = 63 };

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
}

static bool host_ok(struct slice host)
{
    size_t label = 0;

    if (host.len == 0 || host.len > MAX_HOST_BYTES) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        if (!name_char(host.ptr[i])) {
            return false;
        }
        label = host.ptr[i] == '.' ? 0 : label + 1;
        if (label > MAX_LABEL_BYTES || (label == 0 && (i == 0 || host.ptr[i - 1] == '.'))) {
            return false;
        }
    }
    return true;
}

static bool ipv6_ok(struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (host.len == 0 || host.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

static enum corral_err parse_port(struct slice text, uint16_t *out)
{
    uint64_t port;

    if (slice_parse_u64(text, &port) != CE_OK || port == 0 || port > 65535) {
        return CE_HTTP_HOST;
    }
    *out = (uint16_t)port;
    return CE_OK;
}

enum corral_err http_authority_parse(struct slice text, struct http_authority *out)
{
    struct http_authority a = {0};
    struct slice rest;

    if (text.len > 0 && text.ptr[0] == '[') {
        size_t close = slice_find(text, ']');

        if (close == text.len) {
            return CE_HTTP_HOST;
        }
        a.host = slice_of(text.ptr + 1, close - 1);
        a.is_ipv6 = true;
        rest = slice_from(text, close + 1);
    } else {
        size_t colon = slice_find(text, ':');

        a.host = slice_of(text.ptr, colon);
        rest = slice_from(text, colon);
    }
    if (a.is_ipv6 ? !ipv6_ok(a.host) : !host_ok(a.host)) {
        return CE_HTTP_HOST;
    }
    if (rest.len > 0) {
        if (rest.ptr[0] != ':') {
            return CE_HTTP_HOST;
        }
        enum corral_err err = parse_port(slice_from(rest, 1), &a.port);
        if (err != CE_OK) {
            return err;
        }
    }
    *out = a;
    return CE_OK;
}

bool http_authority_is_loopback(const struct http_authority *a)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;

    if (a->host.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, a->host.ptr, a->host.len);
    text[a->host.len] = '\0';
    if (a->is_ipv6) {
        struct in6_addr v6;

        return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    if (slice_eq_nocase(a->host, SLICE_LITERAL("localhost"))) {
        return true;
    }
    return inet_pton(AF_INET, text, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}
