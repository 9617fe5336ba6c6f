/**
 * JSON (RFC 8259) as strictly as no two readers can differ about it.
 *
 * scan_check passes once over a whole text and refuses everything that Go's encoding/json and other
 * parsers read differently: duplicate keys (also in other letter case, also escaped), NUL, lone
 * surrogates, invalid UTF-8, a BOM, numbers beyond a double, bytes after the document.
 * scan_check.h does the same for a text that arrives in pieces; its visitor says where less will
 * do. A checked text is then walked with cursors, which yield extents into it; nothing is copied.
 * Cursors are safe on unchecked text too (they stop), but mean something on checked text only.
 * No recursion; memory only from the arena, for the set of keys (at most 32 bytes per key).
 * A walk costs what the text costs; where somebody has noted where values stand (struct
 * scan_notes), it goes from note to note instead.
 */
#ifndef CORRAL_OLLAMA_SCAN_H
#define CORRAL_OLLAMA_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum {
    SCAN_DEPTH_MAX = 32,
    SCAN_KEYS_MAX = 10000,
    SCAN_KEY_BYTES_MAX = 1024,    /* of one key, as spelled; a longer one is CE_JSON_KEYS */
    SCAN_NUMBER_BYTES_MAX = 1024, /* of one number; a longer one is CE_JSON_SYNTAX */
    SCAN_NOTES_MAX = 64,
};

enum scan_kind {
    SCAN_NULL,
    SCAN_FALSE,
    SCAN_TRUE,
    SCAN_NUMBER,
    SCAN_STRING,
    SCAN_ARRAY,
    SCAN_OBJECT,
};

/** Where one value of a checked text stands. */
struct scan_note {
    uint32_t key_offset; /* of the key's first quote; of the value when it has no key */
    uint32_t key_len;    /* without quotes */
    uint32_t offset;
    uint32_t len;
    uint32_t next;  /* in the container around; 0: last */
    uint32_t first; /* inside; 0: nothing, or it is not noted */
    uint8_t kind;   /* enum scan_kind */
    bool key_folded;
    uint8_t tag; /* of who filled it */
};

/** Of some values of one text; number 0 is no note. Filled by request_parts.c. */
struct scan_notes {
    uint32_t count;
    struct scan_note at[SCAN_NOTES_MAX + 1];
};

/** One member of an object, or one element of an array (key.len == 0, key_offset == offset). */
struct scan_value {
    enum scan_kind kind;
    bool key_folded;   /* known: the key is what scan_key_fold makes of it */
    uint8_t tag;       /* of the note */
    uint32_t first;    /* of the notes: what a container begins with; 0: its text is walked */
    size_t key_offset; /* of the key's first quote */
    struct slice key;  /* raw, without quotes; into the text */
    size_t offset;     /* of the value's first byte (quote, bracket, digit) */
    size_t len;        /* up to and with its last byte */
    const struct scan_notes *notes;
};

struct scan_cursor {
    struct slice text;
    size_t at;
    bool in_object;
    bool started;
    uint32_t note;                  /* the next one, with notes */
    const struct scan_notes *notes; /* NULL: walks over the text */
};

/**
 * Check a whole text whose top level must be an object.
 *
 * @param keys_max  keys in all objects together.
 * @param out_at    [out, may be NULL] on failure: the offset of the offending byte.
 * @return CE_OK, CE_JSON_SYNTAX, CE_JSON_UTF8, CE_JSON_BOM, CE_JSON_DUPLICATE, CE_JSON_DEPTH,
 *         CE_JSON_NUL, CE_JSON_KEYS, CE_JSON_TYPE (top level is no object).
 */
MUST_USE enum corral_err scan_check(struct slice text, size_t keys_max, struct arena *arena,
                                    size_t *out_at);

/** The top-level value of a checked text, surrounding white space left out. */
struct scan_value scan_root(struct slice text);
/** Walk the members or elements of a value of kind OBJECT or ARRAY; any other kind has none. */
struct scan_cursor scan_open(struct slice text, const struct scan_value *container);

/** The next member or element. False at the end. */
bool scan_next(struct scan_cursor *c, struct scan_value *out);

/** Whether a member's key is `name` (ASCII, lower case) the way Go matches fields: folded. */
bool scan_key_folds_to(const struct scan_value *v, struct slice name);

/** Most keys are what folding makes of them, and of another length. */
static inline bool scan_key_is(const struct scan_value *v, struct slice name)
{
    return v->key_folded ? slice_eq(v->key, name) : scan_key_folds_to(v, name);
}

/**
 * A key decoded and folded (ASCII lower case, KELVIN SIGN -> k, LONG S -> s) into `out`.
 * @return bytes written; a key that does not fit is cut.
 */
size_t scan_key_fold(struct slice key, char *out, size_t room);
/* The same, but not folded: as Go reads a key of a map. */
size_t scan_key_decode(struct slice key, char *out, size_t room);

/** Whether a member's key, decoded, is `name`, letter for letter. */
bool scan_key_decodes_to(const struct scan_value *v, struct slice name);
static inline bool scan_key_equals(const struct scan_value *v, struct slice name)
{
    return v->key_folded ? slice_eq(v->key, name) : scan_key_decodes_to(v, name);
}

/** Find a member by folded key; by its key, letter for letter. */
bool scan_find(struct slice text, const struct scan_value *object, struct slice name,
               struct scan_value *out);
bool scan_find_exact(struct slice text, const struct scan_value *object, struct slice name,
                     struct scan_value *out);

/** What a note tells. */
struct scan_value scan_noted(struct slice text, const struct scan_notes *notes, uint32_t number);

/** Of a value that begins with this byte. */
enum scan_kind scan_kind_of(char first);

/** The raw bytes of a value, as they stand. */
static inline struct slice scan_raw(struct slice text, const struct scan_value *v)
{
    return slice_of(text.ptr + v->offset, v->len);
}

/** The decoded text of a STRING: into the text when it has no escapes, else in the arena. */
struct slice scan_string(struct slice text, const struct scan_value *v, struct arena *arena);

/** Truncated towards zero, clamped to int64. Any spelling: 100, 1e2, 100.0. For kind NUMBER. */
int64_t scan_integer(struct slice text, const struct scan_value *v);

#endif
