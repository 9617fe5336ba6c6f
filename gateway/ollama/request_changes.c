/* See request_changes.h. Called by request_rewrite.c; pure. */
#include "ollama/request_changes.h"

#include <assert.h>

#include "base/decimal.h"

static void put(struct changes *c, struct slice text)
{
    assert(text.len <= sizeof(c->text) - c->len);
    memcpy(c->text + c->len, text.ptr, text.len);
    c->len += text.len;
}

void changes_add(struct changes *c, const char *within, const char *name, const char *what)
{
    if (c->len > 0) {
        put(c, SLICE_LITERAL(", "));
    }
    if (within != NULL) {
        put(c, slice_str(within));
        put(c, SLICE_LITERAL("."));
    }
    put(c, slice_str(name));
    put(c, SLICE_LITERAL(";"));
    put(c, slice_str(what));
}

void changes_add_number(struct changes *c, const char *within, const char *name, const char *what,
                        int64_t value)
{
    char room[DECIMAL_BYTES];

    assert(value >= 0);
    changes_add(c, within, name, what);
    put(c, SLICE_LITERAL("="));
    put(c, slice_of(room, (size_t)(decimal_put(room, (uint64_t)value) - room)));
}
