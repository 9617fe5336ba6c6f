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

struct place; /* reader.h */

enum { CONFIG_MAX_BYTES = 8 * 1024 * 1024, CONFIG_MAX_ERRORS = 100 };

struct config_error {
    size_t line; /* 1-based; 0: the file as a whole */
    size_t column;
    char *text;   /* owned: key, what is wrong, what would be right */
    bool warning; /* it can be used all the same */
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

/** Where the keys of a text stand. */
struct config_places {
    struct place *at; /* owned, keys too; sorted by key */
    size_t count;
};

/**
 * The same for a check: what could be read is kept beside the errors.
 *
 * @param out         in every case: caller owns, ends with settings_finish.
 * @param out_places  in every case: ends with config_places_finish.
 */
MUST_USE enum corral_err config_parse_all(struct slice text, struct settings *out,
                                          struct config_places *out_places,
                                          struct config_errors *out_errors);
void config_places_finish(struct config_places *p);

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

/** Add what was found about a key ("tls.certificates[0].chain") after the text was read. */
void config_report(struct config_errors *errors, const struct config_places *places,
                   enum config_severity severity, const char *key, const char *sentence);

/**
 * The text of a file: regular, at most CONFIG_MAX_BYTES. Caller frees *out_text.
 *
 * @return CE_OK or CE_CONFIG with an error of the file as a whole.
 */
MUST_USE enum corral_err config_read_file(const char *path, char **out_text, size_t *out_len,
                                          struct config_errors *out_errors);

/**
 * Append the keys that differ and that a reload does not take, as the reference says: "workers,
 * listeners[0].tls". CE_OK, or what the buffer says.
 */
MUST_USE enum corral_err config_changed_for_restart(const struct settings *old,
                                                    const struct settings *fresh, struct buf *out);

/** Append docs/CONFIGURATION.md, made from the schema. */
MUST_USE enum corral_err config_write_reference(struct buf *out);

#endif
