/**
 * JSON of an answer, watched as it passes: a few values are reported, nothing is kept.
 *
 * Push mode: bytes come split anywhere. Memory is flat: a key and a value are held up to a bound, a
 * longer string is only counted. What stands inside a string never counts as structure.
 * Not a validator: it follows brackets, strings and commas, and says `broken` when it cannot.
 */
#ifndef CORRAL_OLLAMA_WATCH_H
#define CORRAL_OLLAMA_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "ollama/scan.h"

enum {
    WATCH_PATHS_MAX = 32,
    WATCH_LEVELS = 8, /* deepest path */
    WATCH_DEPTH_MAX = 128,
    WATCH_KEY_BYTES = 32,
    WATCH_TEXT_BYTES = 128,
    WATCH_FIRSTS = 32,
};

/** Keys from the top on, "[]" for every element: {"choices", "[]", "delta", "content"}. */
struct watch_path {
    const char *parts[WATCH_LEVELS + 1]; /* static; NULL behind the last */
};

/** Per level: by the low five bits of a part's first byte the paths that may go on with it. */
struct watch_index {
    uint32_t paths[WATCH_LEVELS][WATCH_FIRSTS];
    uint8_t lengths[WATCH_LEVELS][WATCH_PATHS_MAX]; /* of their parts */
    uint32_t ends[WATCH_LEVELS + 1];                /* the paths with so many parts */
};

struct watch_table {
    const struct watch_path *paths;  /* static */
    size_t count;                    /* <= WATCH_PATHS_MAX */
    const struct watch_index *index; /* static; built before the first watch */
};

/** Fill the index of a table, once. */
void watch_index_build(const struct watch_table *table, struct watch_index *out);

struct watch_event {
    size_t path;         /* index into the table */
    enum scan_kind kind; /* OBJECT and ARRAY are reported where they begin, without text */
    struct slice text;   /* decoded string or literal, up to WATCH_TEXT_BYTES; valid in the call */
    size_t len;          /* decoded bytes of the whole string */
};

struct watch {
    const struct watch_table *table;
    void (*on_value)(void *arg, const struct watch_event *event);
    void *arg;

    bool broken; /* not JSON; nothing more is read or reported */
    bool ended;  /* a whole top-level value has been seen since watch_reset */

    /* private */
    uint8_t state;
    uint8_t depth;
    uint64_t objects[WATCH_DEPTH_MAX / 64]; /* bit per level: object, else array */
    uint32_t live[WATCH_LEVELS + 1];        /* paths that match so far, per level */
    uint32_t matched;                       /* paths that match the value now read */
    bool string_is_key;
    uint8_t escape_digits;
    uint16_t escape_value;
    uint16_t high_surrogate;
    size_t text_len; /* decoded or literal bytes so far */
    char text[WATCH_TEXT_BYTES];
};

/** `table` is borrowed for the watch's life. */
void watch_init(struct watch *w, const struct watch_table *table,
                void (*on_value)(void *arg, const struct watch_event *event), void *arg);

/** Ready for the next top-level value. */
void watch_reset(struct watch *w);

/**
 * Read on. Stops behind the last byte of a top-level value (`ended` is set), or at once when
 * broken. Calls on_value, which must not feed or reset this watch.
 * @return bytes read.
 */
size_t watch_feed(struct watch *w, struct slice bytes);

/** Whether a value has begun and not ended. */
bool watch_inside(const struct watch *w);

#endif
