/**
 * Inside request.h only: the fields of a body that corral knows, taken down while the body is
 * checked.
 *
 * request_parts.c: the members of the top level, of `options` and of `stream_options`.
 * request_measure.c: what lies deeper and is counted (messages, images, inputs).
 * request_reader.c: the visitor that hands each value to one of the two.
 */
#ifndef CORRAL_OLLAMA_REQUEST_PARTS_H
#define CORRAL_OLLAMA_REQUEST_PARTS_H

#include "ollama/request.h"
#include "ollama/scan_check.h"

enum field {
    FIELD_MODEL,
    FIELD_NAME,
    FIELD_SOURCE,
    FIELD_DESTINATION, /* up to here: names of models */
    FIELD_MESSAGES,
    FIELD_STREAM,
    FIELD_OPTIONS,
    FIELD_STREAM_OPTIONS,
    FIELD_KEEP_ALIVE,
    FIELD_SHIFT,
    FIELD_INSECURE,
    FIELD_PROMPT,
    FIELD_INPUT,
    FIELD_IMAGES,
    FIELD_TOOLS,
    FIELD_MAX_TOKENS,
    FIELD_MAX_COMPLETION_TOKENS,
    FIELD_MAX_OUTPUT_TOKENS,
    FIELD_COUNT,
};

/** What a value of a body is, for the visitor of the check (scan_check.h). */
enum part_role {
    PART_NONE,
    PART_TOP,            /* around the top-level object */
    PART_ROOT,           /* the top-level object */
    PART_OPTIONS,        /* a member of it, whose members are taken down too */
    PART_STREAM_OPTIONS, /* the same */
    PART_MESSAGES,       /* a member of it, whose elements are messages */
    PART_ITEMS,          /* the same: `input` of /v1/responses */
    PART_INPUTS,         /* a member of it, whose elements are counted */
    PART_IMAGES,         /* an array of images */
    PART_MESSAGE,
    PART_CONTENT, /* an array of parts */
    PART_PART,
    PART_NESTED_CONTENT, /* of a tool result, within a part */
    PART_NESTED_PART,
    PART_IMAGE_URL,             /* an object around a URL */
    PART_SOURCE,                /* an object around base64 */
    PART_TOOLS,                 /* a member of the top level, whose elements are tools */
    PART_TOOL,                  /* what has a name: a tool, ... */
    PART_CALLS,                 /* of a message: an array of calls */
    PART_CALL,                  /* ... a call ... */
    PART_TOOL_FUNCTION,         /* ... and the function inside of either */
    PART_LEAF = SCAN_ROLE_LEAF, /* any other member of the top level, options, stream_options */
    PART_BASE64,                /* a string that is an image */
    PART_URL,                   /* a string that may be a data: URL with an image */
};

/** Members of one object that are taken down so far. */
struct part_list {
    uint32_t holder; /* the object's note */
    uint32_t last;   /* the note taken last; 0: none */
    bool in_run;     /* it stands for a run of members that corral does not know */
};

/** An image that goes by. */
struct part_image {
    enum { IMAGE_BASE64, IMAGE_URL_SCHEME, IMAGE_URL_MEDIA, IMAGE_URL_OTHER } state;
    const char *field; /* what the client calls it */
    size_t scheme_len; /* bytes of "data:" seen */
    size_t text_len;   /* bytes of base64 seen, as spelled */
    size_t letters;
    size_t padding;
    bool broken;
};

/** One body, and the values of its known fields; FIELD_COUNT is "none of them". */
struct request_parts {
    const struct route *route;
    struct slice body;        /* valid from parts_finish on */
    struct scan_notes *notes; /* in the scratch */
    struct part_list members; /* of the top level */
    struct part_list options; /* of `options` or `stream_options`, whichever is open */
    struct part_image image;  /* the one that is open */
    size_t image_text;        /* bytes of body that are images */
    bool model_has_blanks;    /* around it: they are not sent */
    bool has_runner_options;  /* that a rewrite may drop */
    bool inputs_are_tokens;   /* `input` is an array of numbers: one input */
    bool present[FIELD_COUNT], has[FIELD_COUNT]; /* it is there; and is not null */
    bool output_is_plain; /* options.num_predict stands there as output_member would write it */
    uint32_t note[FIELD_COUNT];
    struct scan_value root;
    struct scan_value at[FIELD_COUNT];
    char refused[40]; /* name of a member that is refused, as much as fits */
};

const char *field_name(enum field f);

/** Which known field a top-level member is that was taken down. */
static inline enum field field_noted(const struct scan_value *member)
{
    return member->tag == 0 ? FIELD_COUNT : (enum field)(member->tag - 1);
}

/** The bit of a runner option (enum request_option), or 0; and the name of that bit's option. */
unsigned parts_runner_option(const struct scan_value *member);
const char *parts_option_name(unsigned bit);

/** Visitor: the top-level object. */
void parts_begin_root(struct request_parts *p, const struct scan_value *v);
/** Visitor: a member of the top level. CE_JSON_TYPE, CE_FIELD_REFUSED: with *out_field. */
MUST_USE enum corral_err parts_begin_member(struct request_parts *p, const struct scan_value *v,
                                            uint8_t *out_role, const char **out_field);
/** Visitor: a member of `options` or `stream_options`. */
void parts_begin_option(struct request_parts *p, uint8_t around, const struct scan_value *v,
                        uint8_t *out_role);
/** Visitor: the top level, a member of it, or an option ends. */
void parts_end(struct request_parts *p, size_t depth, size_t end);

/** The check is over: at[] and root can be used. */
void parts_finish(struct request_parts *p, struct slice body);

/** The field that bounds a route's output at the top level, or FIELD_COUNT. */
enum field parts_output_field(const struct route *route);

/** Whether the route's output bound is options.num_predict. */
bool parts_output_in_options(const struct route *route);

/** Whether streamed answers of the route have usage only when asked for. */
bool parts_knows_include_usage(const struct route *route);

/** Visitor: a value inside messages, inputs or images. Counts into `info`, names faults there. */
MUST_USE enum corral_err measure_begin(struct request_parts *p, const struct request_rules *rules,
                                       uint8_t around, const struct scan_value *v,
                                       struct request_info *info, uint8_t *out_role);
/** Visitor: bytes of an image. */
MUST_USE enum corral_err measure_text(struct request_parts *p, const struct request_rules *rules,
                                      struct slice piece, struct request_info *info);
/** Visitor: an image ends. */
MUST_USE enum corral_err measure_image_end(struct request_parts *p,
                                           const struct request_rules *rules,
                                           struct request_info *info);

#endif
