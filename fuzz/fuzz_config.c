#include "config/load.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings s;
    struct config_errors errors = {0};

    if (config_parse(slice_of((const char *)data, size), &s, &errors) == CE_OK) {
        MUST_HOLD(s.listener_count > 0 && s.replica_count > 0 && s.auth.tenant_count > 0);
        settings_finish(&s);
    } else {
        MUST_HOLD(errors.count > 0);
    }
    config_errors_finish(&errors);
    return 0;
}
