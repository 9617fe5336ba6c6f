#include "http/h2_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

/*
 * A frame of the greatest size that every peer takes, its head and a byte of padding. nghttp2 1.52
 * asks for 16,394 with realloc(NULL), and for nothing else of about that size; if another version
 * asks for less or more than this, it gets malloc's.
 */
enum { FRAME_MIN_BYTES = 16384, SLOT_BYTES = 20480 };

struct pages *h2_memory_create(void)
{
    return pages_create(SLOT_BYTES);
}

static void *on_malloc(size_t size, void *pool)
{
    return malloc(size);
}

static void *on_calloc(size_t count, size_t size, void *pool)
{
    return calloc(count, size);
}

static void on_free(void *memory, void *pool)
{
    if (memory != NULL && pages_own(pool, memory)) {
        pages_give(pool, memory);
    } else {
        free(memory);
    }
}

static void *take_block(struct pages *pool, size_t size)
{
    void *slot = size > FRAME_MIN_BYTES && size <= SLOT_BYTES ? pages_take(pool) : NULL;

    return slot != NULL ? slot : malloc(size);
}

static void *on_realloc(void *old, size_t size, void *pool)
{
    if (old == NULL) {
        return take_block(pool, size);
    }
    if (!pages_own(pool, old)) {
        return realloc(old, size);
    }
    if (size <= SLOT_BYTES) {
        return old;
    }
    void *grown = malloc(size);

    if (grown != NULL) {
        memcpy(grown, old, SLOT_BYTES);
        pages_give(pool, old);
    }
    return grown;
}

nghttp2_mem h2_memory_of(struct pages *pool)
{
    return (nghttp2_mem){pool, on_malloc, on_free, on_calloc, on_realloc};
}
