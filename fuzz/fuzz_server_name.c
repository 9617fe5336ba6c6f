#include "fuzz.h"
#include "net/tls_site.h"

/* The server_name of a client hello, and the look-up of what it names. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct slice name;
    struct tls_sites sites = {0};

    tls_sites_add(&sites, slice_str("a.test"), 0);
    tls_sites_add(&sites, slice_str("*.wild.test"), 1);
    tls_sites_sort(&sites);
    if (tls_server_name_read(bytes, &name)) {
        MUST_HOLD(name.len > 0 && name.ptr + name.len == bytes.ptr + bytes.len);
        uint64_t found = tls_sites_find(&sites, name);

        MUST_HOLD(found == 0 || name.len >= 6);
        MUST_HOLD(found < 4 && found != 3);
    }
    tls_sites_add(&sites, bytes, 2); /* as a certificate's name */
    tls_sites_sort(&sites);
    tls_sites_finish(&sites);
    return 0;
}
