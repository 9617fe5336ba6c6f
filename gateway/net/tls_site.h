/**
 * Which certificates serve which host name. Pure: no I/O, no TLS library. Internal to net/.
 *
 * A site is a DNS name as a certificate has it ("a.example", "*.example") with the set of
 * certificates that carry it, one bit each.
 */
#ifndef CORRAL_NET_TLS_SITE_H
#define CORRAL_NET_TLS_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { TLS_NAME_BYTES = 254 };

struct tls_site {
    char *name; /* owned; lower case */
    uint64_t certificates;
};

struct tls_sites {
    struct tls_site *sites; /* owned; sorted by name once tls_sites_sort was called */
    size_t count;
    size_t capacity;
};

/** Note that certificate `index` carries `name`; names that no DNS has are left out. */
void tls_sites_add(struct tls_sites *s, struct slice name, unsigned index);

/** Sort, and make one site of those with the same name. */
void tls_sites_sort(struct tls_sites *s);

/** The certificates for a host, any case: by its name, else by "*." and all but its first label. */
uint64_t tls_sites_find(const struct tls_sites *s, struct slice host);
void tls_sites_finish(struct tls_sites *s);

/**
 * The host name in the body of a server_name extension (RFC 6066 section 3).
 *
 * @return false when it holds none, or is malformed: then the TLS library will say so.
 */
bool tls_server_name_read(struct slice extension, struct slice *out);

#endif
