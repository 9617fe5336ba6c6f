/**
 * Inside request.h only: the fields of a body that corral knows, found in one walk of its top
 * level.
 */
#ifndef CORRAL_OLLAMA_REQUEST_PARTS_H
#define CORRAL_OLLAMA_REQUEST_PARTS_H

#include "ollama/request.h"

enum field {
    FIELD_MODEL,
    FIELD_NAME,
    FIELD_SOURCE,
    FIELD_DESTINATION,
    FIELD_STREAM,
    FIELD_STREAM_OPTIONS,
    FIELD_OPTIONS,
    FIELD_KEEP_ALIVE,
    FIELD_SHIFT,
    FIELD_INSECURE,
    FIELD_PROMPT,
    FIELD_MESSAGES,
    FIELD_INPUT,
    FIELD_IMAGES,
    FIELD_MAX_TOKENS,
    FIELD_MAX_COMPLETION_TOKENS,
    FIELD_MAX_OUTPUT_TOKENS,
    FIELD_COUNT,
};

/** One body, and the values of its known fields; FIELD_COUNT is "none of them". */
struct request_parts {
    const struct route *route;
    struct slice body;
    struct scan_notes *notes; /* in the scratch */
    struct scan_value root;
    bool has[FIELD_COUNT]; /* present and not null */
    bool present[FIELD_COUNT];
    bool output_is_plain; /* options.num_predict stands there as output_member would write it */
    struct scan_value at[FIELD_COUNT];
};

const char *field_name(enum field f);

/** Which known field a top-level member is. */
enum field field_of(const struct scan_value *member);

/**
 * @param parts      zeroed but for route, body and root.
 * @param out_field  [out] on failure: the offending field.
 * @return CE_OK, CE_JSON_TYPE, CE_FIELD_REFUSED.
 */
MUST_USE enum corral_err parts_read(struct request_parts *parts, const char **out_field);

/** The field that bounds a route's output at the top level, or FIELD_COUNT. */
enum field parts_output_field(const struct route *route);

/** Whether the route's output bound is options.num_predict. */
bool parts_output_in_options(const struct route *route);

/** Whether the streamed answer of this request has usage only when asked for. */
bool parts_knows_include_usage(const struct route *route);

/** The inside of a string, as spelled. */
struct slice parts_raw_string(struct slice body, const struct scan_value *v);

/** Counts messages, inputs and images into `info`. @return CE_OK, or as request_read. */
MUST_USE enum corral_err parts_measure(const struct request_parts *p,
                                       const struct request_rules *rules,
                                       struct request_info *info);

#endif
