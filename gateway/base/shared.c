/* Counted bytes, see shared.h. Called by exchange/ and front/. */
#include "base/shared.h"

#include <stdlib.h>

#include "base/mem.h"

struct shared_bytes *shared_bytes_take(struct buf *b)
{
    struct shared_bytes *s = xcalloc(1, sizeof(*s));

    s->bytes = *b;
    s->refs = 1;
    *b = buf_make(b->max_bytes);
    return s;
}

struct shared_bytes *shared_bytes_ref(struct shared_bytes *s)
{
    s->refs++;
    return s;
}

void shared_bytes_unref(struct shared_bytes *s)
{
    if (s == NULL || --s->refs > 0) {
        return;
    }
    if (s->on_free != NULL) {
        s->on_free(s);
    }
    buf_finish(&s->bytes);
    free(s);
}

void shared_rest_begin(struct shared_rest *r, struct shared_bytes *s)
{
    *r = (struct shared_rest){.bytes = shared_bytes_ref(s)};
}

struct slice shared_rest_slice(const struct shared_rest *r)
{
    return slice_from(shared_bytes_slice(r->bytes), r->at);
}

void shared_rest_take(struct shared_rest *r, size_t count)
{
    r->at += count;
    if (r->at >= shared_bytes_slice(r->bytes).len) {
        shared_rest_drop(r);
    }
}

void shared_rest_drop(struct shared_rest *r)
{
    shared_bytes_unref(r->bytes);
    *r = (struct shared_rest){0};
}
