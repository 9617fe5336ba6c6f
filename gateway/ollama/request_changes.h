/**
 * Inside request.h only: what is said about a body that does not go on as it came.
 *
 * A list of RFC 9651 (structured fields): "options.num_ctx;clamped=32768, keep_alive;dropped". It
 * goes into a header field and into the access line, so only names of ours and numbers stand in it.
 */
#ifndef CORRAL_OLLAMA_REQUEST_CHANGES_H
#define CORRAL_OLLAMA_REQUEST_CHANGES_H

#include <stdint.h>

#include "base/slice.h"

enum { CHANGES_BYTES = 512 }; /* room for all members that corral can change */

struct changes {
    size_t len;
    char text[CHANGES_BYTES];
};

/** One member: `within` (or NULL) and `name` as Ollama spells them, what was done to it. */
void changes_add(struct changes *c, const char *within, const char *name, const char *what);

/** The same, and the number it has now. */
void changes_add_number(struct changes *c, const char *within, const char *name, const char *what,
                        int64_t value);

static inline struct slice changes_text(const struct changes *c)
{
    return slice_of(c->text, c->len);
}

#endif
