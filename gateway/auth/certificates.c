#include <stdlib.h>

#include "auth/impl.h"
#include "base/mem.h"

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len ? 1 : 0;
}

static int by_name(const void *a, const void *b)
{
    return compare(((const struct certificate_name *)a)->name,
                   ((const struct certificate_name *)b)->name);
}

static struct certificate_name make(const struct tenant_settings *tenant, const char *name)
{
    static const struct slice prefix = {"cert:", 5};
    size_t len = strlen(name);
    char *credential = xcalloc(1, prefix.len + len + 1);

    memcpy(credential, prefix.ptr, prefix.len);
    memcpy(credential + prefix.len, name, len);
    return (struct certificate_name){tenant, credential, slice_of(credential + prefix.len, len)};
}

void certificate_names_init(struct certificate_names *out, const struct auth_settings *settings)
{
    size_t count = 0;

    for (size_t i = 0; i < settings->tenant_count; i++) {
        count += settings->tenants[i].certificate_name_count;
    }
    out->names = xcalloc(count == 0 ? 1 : count, sizeof(*out->names));
    for (size_t i = 0; i < settings->tenant_count; i++) {
        const struct tenant_settings *t = &settings->tenants[i];

        for (size_t n = 0; n < t->certificate_name_count; n++) {
            out->names[out->count++] = make(t, t->certificate_names[n]);
        }
    }
    if (out->count > 0) {
        qsort(out->names, out->count, sizeof(*out->names), by_name);
    }
}

void certificate_names_finish(struct certificate_names *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->names[i].credential);
    }
    free(c->names);
    *c = (struct certificate_names){0};
}

static const struct certificate_name *find(const struct certificate_names *c, struct slice name)
{
    const struct certificate_name key = {.name = name};

    return c->count == 0 || name.len == 0
               ? NULL
               : bsearch(&key, c->names, c->count, sizeof(*c->names), by_name);
}

enum corral_err auth_identify_certificate(const struct auth *a, const struct slice *names,
                                          size_t count, struct principal *out)
{
    const struct certificate_name *found = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct certificate_name *one = find(&a->certificates, names[i]);

        if (one != NULL && found != NULL && one->tenant != found->tenant) {
            return CE_AUTH_CERTIFICATE_AMBIGUOUS;
        }
        found = found == NULL ? one : found;
    }
    if (found == NULL) {
        return CE_AUTH_CERTIFICATE;
    }
    *out = (struct principal){
        .tenant = found->tenant,
        .verbs = found->tenant->verbs,
        .credential = slice_str(found->credential),
    };
    return CE_OK;
}
