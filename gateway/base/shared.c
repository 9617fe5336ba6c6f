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
