/* Finding a tenant by its name. Called while a configuration is checked and tokens are judged. */
#include "auth/tenant.h"

const struct tenant_settings *auth_find_tenant(const struct auth_settings *s, struct slice name)
{
    for (size_t i = 0; i < s->tenant_count; i++) {
        if (s->tenants[i].name != NULL && slice_eq_str(name, s->tenants[i].name)) {
            return &s->tenants[i];
        }
    }
    return NULL;
}
