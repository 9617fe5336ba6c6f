/**
 * The check of scan.h as bytes arrive: it stops where the text ends so far, and goes on there.
 *
 * A visitor may watch the values go by, so that whoever wants to know something of a text need not
 * walk it again. It gives each value a role, a number of its own; of what lies inside a value
 * without a role (0) it is told nothing, so that a text costs what its interesting part costs.
 */
#ifndef CORRAL_OLLAMA_SCAN_CHECK_H
#define CORRAL_OLLAMA_SCAN_CHECK_H

#include "ollama/scan.h"
#include "ollama/scan_keys.h"
#include "ollama/scan_token.h"

enum {
    /** Roles from here on: the visitor is told of the value's end, but of nothing inside. */
    SCAN_ROLE_LEAF = 0x80,
    /** Added to a role, also to 0. An object: Go decodes it into a struct, so that keys that differ
     * in case only are one. In any other they are two. */
    SCAN_ROLE_STRUCT = 0x40,
    /** The same: a string that must be Unicode and have no NUL. Keys must always. */
    SCAN_ROLE_STRICT = 0x20,
    SCAN_ROLE_FLAGS = SCAN_ROLE_STRUCT | SCAN_ROLE_STRICT,
};

/** `depth`: of the container around, 0 for the top-level value. Errors end the check. */
struct scan_visitor {
    /**
     * A value begins; `v` lacks its length, and its key lives during the call. A literal is
     * checked already. *out_role: its role; 0 when nothing is written.
     */
    enum corral_err (*on_begin)(void *arg, size_t depth, uint8_t around, const struct scan_value *v,
                                uint8_t *out_role);
    /** Bytes inside a string with a role, as spelled, in order; escapes are whole. */
    enum corral_err (*on_text)(void *arg, uint8_t role, struct slice piece);
    /** A value with a role ends before `end`. */
    enum corral_err (*on_end)(void *arg, size_t depth, uint8_t role, size_t end);
};

enum scan_expect {
    SCAN_EXPECT_TOP,
    SCAN_EXPECT_VALUE,
    SCAN_EXPECT_FIRST_VALUE,
    SCAN_EXPECT_KEY,
    SCAN_EXPECT_FIRST_KEY,
    SCAN_EXPECT_COLON,
    SCAN_EXPECT_NEXT,
    SCAN_EXPECT_END,
    SCAN_EXPECT_STRING, /* the rest of a value that is a string */
    SCAN_EXPECT_KEY_STRING,
};

struct scan_check {
    struct scan_text t;
    const struct scan_visitor *visitor; /* NULL: nobody watches */
    void *arg;
    struct arena *arena; /* borrowed, for keys */
    size_t keys_max;
    size_t depth;
    size_t string_from; /* the first byte of the current string that the visitor does not know */
    size_t key_offset;  /* of the member to come: its key's first quote */
    size_t key_len;
    uint32_t objects;
    enum scan_expect expect;
    uint8_t string_role;
    bool key_folded;
    bool in_object[SCAN_DEPTH_MAX + 1];
    bool in_struct[SCAN_DEPTH_MAX + 1];
    uint8_t role[SCAN_DEPTH_MAX + 1]; /* of the container that is so deep */
    uint32_t object_id[SCAN_DEPTH_MAX + 1];
    struct scan_keys keys;
};

/** Begin. Without a visitor every object is as a struct, and every string strict. `arena` outlives
 * the check and holds at most 32 bytes for each key. */
void scan_check_init(struct scan_check *c, size_t keys_max, struct arena *arena,
                     const struct scan_visitor *visitor, void *arg);

/**
 * Check on, up to the end of `text`.
 *
 * @param text   the whole text so far, from its first byte; it may lie elsewhere than before.
 * @param whole  nothing comes behind it.
 * @return CE_MORE: good so far (not when `whole`). Else as scan_check of scan.h, or an error of the
 *         visitor's; both are final.
 */
MUST_USE enum corral_err scan_check_feed(struct scan_check *c, struct slice text, bool whole);

#endif
