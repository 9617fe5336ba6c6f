#include "net/tls_site.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Letters, digits, '-', '_', '.', and a '*' that is the whole first label. */
static bool name_ok(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        bool star = c == '*' && i == 0 && name.len > 2 && name.ptr[1] == '.';

        if (!star && !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                       c == '.')) {
            return false;
        }
    }
    return name.len > 0 && name.len < TLS_NAME_BYTES;
}

static void lower(struct slice from, char out[static TLS_NAME_BYTES])
{
    for (size_t i = 0; i < from.len; i++) {
        out[i] = ascii_lower(from.ptr[i]);
    }
    out[from.len] = '\0';
}

void tls_sites_add(struct tls_sites *s, struct slice name, unsigned index)
{
    char text[TLS_NAME_BYTES];

    if (!name_ok(name)) {
        return;
    }
    lower(name, text);
    s->sites = xgrow(s->sites, s->count, &s->capacity, sizeof(*s->sites));
    s->sites[s->count++] = (struct tls_site){xstrdup(text), (uint64_t)1 << index};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tls_site *)a)->name, ((const struct tls_site *)b)->name);
}

void tls_sites_sort(struct tls_sites *s)
{
    size_t kept = 0;

    if (s->count == 0) {
        return;
    }
    qsort(s->sites, s->count, sizeof(*s->sites), by_name);
    for (size_t i = 1; i < s->count; i++) {
        if (strcmp(s->sites[i].name, s->sites[kept].name) == 0) {
            s->sites[kept].certificates |= s->sites[i].certificates;
            free(s->sites[i].name);
        } else {
            s->sites[++kept] = s->sites[i];
        }
    }
    s->count = kept + 1;
}

static uint64_t find_exact(const struct tls_sites *s, char *name)
{
    const struct tls_site key = {name, 0};
    const struct tls_site *found =
        s->count == 0 ? NULL : bsearch(&key, s->sites, s->count, sizeof(*s->sites), by_name);

    return found == NULL ? 0 : found->certificates;
}

uint64_t tls_sites_find(const struct tls_sites *s, struct slice host)
{
    char text[TLS_NAME_BYTES];
    size_t dot = slice_find(host, '.');

    if (!name_ok(host) || host.ptr[0] == '*') {
        return 0;
    }
    lower(host, text);
    uint64_t found = find_exact(s, text);
    if (found != 0 || dot == 0 || dot == host.len) {
        return found;
    }
    text[dot - 1] = '*';
    return find_exact(s, text + dot - 1);
}

void tls_sites_finish(struct tls_sites *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->sites[i].name);
    }
    free(s->sites);
    *s = (struct tls_sites){0};
}

static size_t u16_at(const char *bytes)
{
    return (size_t)(unsigned char)bytes[0] << 8 | (unsigned char)bytes[1];
}

bool tls_server_name_read(struct slice extension, struct slice *out)
{
    /* A list's length, then one entry: type, length, name. */
    enum { AT_TYPE = 2, AT_LENGTH = 3, AT_NAME = 5, TYPE_HOST = 0 };
    const char *bytes = extension.ptr;

    if (bytes == NULL || extension.len <= AT_NAME || u16_at(bytes) != extension.len - AT_TYPE ||
        bytes[AT_TYPE] != TYPE_HOST || u16_at(bytes + AT_LENGTH) != extension.len - AT_NAME) {
        return false;
    }
    *out = slice_of(bytes + AT_NAME, extension.len - AT_NAME);
    return true;
}
