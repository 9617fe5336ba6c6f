/**
 * From YAML nodes to settings, by the schema. Internal to config/.
 */
#ifndef CORRAL_CONFIG_READER_H
#define CORRAL_CONFIG_READER_H

#include <yaml.h>

#include "config/load.h"
#include "config/schema.h"

/** Where a value stands, for its errors. */
struct place {
    const char *key; /* "tenants[0].weight" */
    size_t line;
    size_t column;
};

struct reader {
    yaml_document_t document;
    struct config_errors *errors;
    struct settings *settings;
    struct place *places; /* owned, keys too; every key that the file sets */
    size_t place_count;
    size_t place_capacity;
};

/** After the last key was found: makes reader_place quick. */
void reader_sort_places(struct reader *r);

/** Where `key` was set, or else the nearest block around it, or the top. */
struct place reader_place(const struct reader *r, const char *key_format, ...) PRINTF_LIKE(2, 3);

void reader_error(struct reader *r, struct place at, const char *format, ...) PRINTF_LIKE(3, 4);

/** Fill one scalar or list value; `base` is the struct the spec's offset counts from. */
void reader_scalar(struct reader *r, const struct key_spec *spec, struct place at,
                   struct slice text, void *base);
void reader_items(struct reader *r, const struct key_spec *spec, struct place at,
                  const struct slice *items, size_t count, void *base);

/** Set every value that has a fallback. */
void reader_defaults(struct reader *r, const struct schema *schema, void *base);

/** Rules between keys; each error stands at the key's place as found in the document. */
void reader_cross_check(struct reader *r);

#endif
