#include "base/err.h"

#include <assert.h>

static const char *const reasons[CE_COUNT] = {
#define X(name, reason) [name] = (reason),
    CORRAL_ERRORS(X)
#undef X
};

const char *err_reason(enum corral_err err)
{
    assert(err < CE_COUNT);
    return reasons[err];
}
