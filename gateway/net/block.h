/**
 * Buffers that connections borrow while bytes wait: an idle connection owns none.
 *
 * Four size classes with a freelist each, per worker; what is larger is allocated and freed
 * singly. Not shared between threads.
 */
#ifndef CORRAL_NET_BLOCK_H
#define CORRAL_NET_BLOCK_H

#include <stddef.h>

#include "base/slice.h"

enum { BLOCK_CLASSES = 4, BLOCK_KEEP = 256 };

struct block {
    struct block *next; /* in a freelist */
    size_t capacity;
    size_t start;
    size_t len;
    char data[];
};

struct block_pool {
    struct block *free[BLOCK_CLASSES]; /* owned */
    size_t free_count[BLOCK_CLASSES];
};

void block_pool_finish(struct block_pool *pool);

/**
 * Append to *block, which is taken from the pool or replaced by a larger one as needed.
 *
 * @return CE_OK, or CE_NO_MEMORY with *block as it was.
 */
MUST_USE enum corral_err block_append(struct block_pool *pool, struct block **block,
                                      struct slice bytes);

/** Drop `count` bytes from the front; an empty block goes back to the pool and *block to NULL. */
void block_consume(struct block_pool *pool, struct block **block, size_t count);
void block_release(struct block_pool *pool, struct block **block);

static inline struct slice block_slice(const struct block *block)
{
    return block == NULL ? slice_of(NULL, 0) : slice_of(block->data + block->start, block->len);
}

static inline size_t block_len(const struct block *block)
{
    return block == NULL ? 0 : block->len;
}

#endif
