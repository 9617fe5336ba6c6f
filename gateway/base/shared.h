/**
 * Bytes that several holders read and nobody changes: an answer that many clients get.
 *
 * Counted, not atomically: all holders are of one thread. The last one to let go frees them.
 */
#ifndef CORRAL_BASE_SHARED_H
#define CORRAL_BASE_SHARED_H

#include <stdint.h>

#include "base/buf.h"

struct shared_bytes {
    struct buf bytes; /* owned */
    uint32_t refs;
    void (*on_free)(struct shared_bytes *s); /* before they are freed; may be NULL */
    void *arg;                               /* for on_free */
    uint32_t number;                         /* for on_free */
};

/** Takes over what `b` owns; `b` is empty afterwards. The caller holds one reference. */
struct shared_bytes *shared_bytes_take(struct buf *b);
struct shared_bytes *shared_bytes_ref(struct shared_bytes *s);
/** NULL is harmless. */
void shared_bytes_unref(struct shared_bytes *s);

/** Shared bytes of which a holder has used the front part; zeroed: none. */
struct shared_rest {
    struct shared_bytes *bytes; /* counted; NULL: nothing is left */
    size_t at;
};

/** Begin with all of them; the holder gets a reference of its own. Nothing may be left before. */
void shared_rest_begin(struct shared_rest *r, struct shared_bytes *s);
struct slice shared_rest_slice(const struct shared_rest *r);
/** The next `count` bytes are used; behind the last ones the reference goes. */
void shared_rest_take(struct shared_rest *r, size_t count);
void shared_rest_drop(struct shared_rest *r);

static inline struct slice shared_bytes_slice(const struct shared_bytes *s)
{
    return s == NULL ? slice_of(NULL, 0) : buf_slice(&s->bytes);
}

#endif
