/**
 * gojson.h: JSON read the way Go's encoding/json reads a request body in gin: the first value
 * counts and what follows it is ignored, names match without regard to case, the last of two equal
 * names wins, and errors carry Go's own text.
 */
#ifndef SIM_GOJSON_H
#define SIM_GOJSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct gojson_field {
    const char *name;
    const char *type; /* Go's name of the type, for the error text */
    char kind; /* s string, b bool, n number, i whole number, a array, o object, x anything */
};

/**
 * Parse the first value of `text`.
 *
 * @param error  [out] filled when NULL is returned: Go's text, "EOF" for no value at all.
 * @return owned by the caller (cJSON_Delete), or NULL.
 */
cJSON *gojson_parse(const char *text, size_t len, char *error, size_t error_size);

/** The last member of this name, or NULL when there is none or it is null. */
const cJSON *gojson_get(const cJSON *object, const char *name);

/** String value of a member, "" when absent. Borrowed. */
const char *gojson_str(const cJSON *object, const char *name);
double gojson_num(const cJSON *object, const char *name, double fallback);
bool gojson_bool(const cJSON *object, const char *name, bool fallback);

/** Check the types of known members; false with Go's text in `error`. */
bool gojson_check(const cJSON *value, const char *struct_name, const char *package,
                  const struct gojson_field *fields, char *error);

#define GOJSON_ERROR_SIZE 256

#endif
