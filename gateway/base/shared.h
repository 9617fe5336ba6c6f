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

static inline struct slice shared_bytes_slice(const struct shared_bytes *s)
{
    return s == NULL ? slice_of(NULL, 0) : buf_slice(&s->bytes);
}

#endif
