/**
 * Reading the configuration file.
 *
 * Plain YAML: no anchors, aliases, tags, directives or second documents, at most 32 levels deep
 * (screen.h); integers are decimal digits, booleans true or false; unknown and repeated keys are
 * errors. All errors of a file are found in one run, up to CONFIG_MAX_ERRORS.
 */
#ifndef CORRAL_CONFIG_LOAD_H
#define CORRAL_CONFIG_LOAD_H

#include "base/buf.h"
#include "config/settings.h"

enum { CONFIG_MAX_BYTES = 8 * 1024 * 1024, CONFIG_MAX_ERRORS = 100 };

struct config_error {
    size_t line; /* 1-based; 0: the file as a whole */
    size_t column;
    char *text; /* owned: key, what is wrong, what would be right */
};

struct config_errors {
    struct config_error at[CONFIG_MAX_ERRORS];
    size_t count;
};

void config_errors_finish(struct config_errors *e);

/**
 * Check a text and fill settings (which hold the defaults where the text is silent).
 *
 * @param out  on CE_OK: caller owns, ends with settings_finish. On CE_CONFIG nothing to free.
 * @return CE_OK or CE_CONFIG with at least one error.
 */
MUST_USE enum corral_err config_parse(struct slice text, struct settings *out,
                                      struct config_errors *out_errors);

/**
 * The text of a file: regular, at most CONFIG_MAX_BYTES. Caller frees *out_text.
 *
 * @return CE_OK or CE_CONFIG with an error of the file as a whole.
 */
MUST_USE enum corral_err config_read_file(const char *path, char **out_text, size_t *out_len,
                                          struct config_errors *out_errors);

/** Append docs/CONFIGURATION.md, made from the schema. */
MUST_USE enum corral_err config_write_reference(struct buf *out);

#endif
