/**
 * Versions of Ollama, as GET /api/version tells them: `{"version":"0.24.0"}`.
 *
 * Clients decide by the version what they may ask for, so corral tells the least of its replicas.
 * Ordered as Semantic Versioning 2.0.0 section 11 orders them, except that all pre-releases
 * ("-rc1") of one version are equal: below that version, above the one before.
 */
#ifndef CORRAL_OLLAMA_VERSION_H
#define CORRAL_OLLAMA_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { VERSION_TEXT_BYTES = 48, VERSION_NUMBERS = 3 };

struct version {
    char
        text[VERSION_TEXT_BYTES]; /* as it was told, ends with 0; letters, digits and ".+-_" only */
    uint32_t numbers[VERSION_NUMBERS];
    bool is_prerelease;
};

/**
 * Read the body of /api/version.
 *
 * @return CE_OK; CE_UPSTREAM_NONSENSE when it is no such object, or its version is too long, has
 *         other characters, or does not begin with a number.
 */
MUST_USE enum corral_err version_parse(struct slice json, struct version *out);

/** Below 0, 0, above 0: a is older than, as old as, newer than b. */
int version_compare(const struct version *a, const struct version *b);

#endif
