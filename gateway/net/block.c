#include "net/block.h"

#include <assert.h>
#include <stdlib.h>

/*
 * The first holds a line or two of an answer until the turn ends, for each stream of HTTP/2; the
 * third what one read gives, framed again; the last what a TLS flush leaves.
 */
static const size_t class_bytes[BLOCK_CLASSES] = {512, 2048, 18 * 1024, 72 * 1024};

static size_t class_of(size_t need)
{
    size_t i = 0;

    while (i < BLOCK_CLASSES && class_bytes[i] < need) {
        i++;
    }
    return i;
}

static struct block *take(struct block_pool *pool, size_t need)
{
    size_t class = class_of(need);

    if (class < BLOCK_CLASSES && pool->free[class] != NULL) {
        struct block *block = pool->free[class];

        pool->free[class] = block->next;
        pool->free_count[class]--;
        return block;
    }
    size_t capacity = class < BLOCK_CLASSES ? class_bytes[class] : need;
    struct block *block = malloc(sizeof(*block) + capacity);

    if (block != NULL) {
        *block = (struct block){.capacity = capacity};
    }
    return block;
}

static void give_back(struct block_pool *pool, struct block *block)
{
    size_t class = class_of(block->capacity);

    if (class == BLOCK_CLASSES || pool->free_count[class] >= BLOCK_KEEP) {
        free(block);
        return;
    }
    block->start = 0;
    block->len = 0;
    block->next = pool->free[class];
    pool->free[class] = block;
    pool->free_count[class]++;
}

void block_pool_finish(struct block_pool *pool)
{
    for (size_t i = 0; i < BLOCK_CLASSES; i++) {
        while (pool->free[i] != NULL) {
            struct block *next = pool->free[i]->next;

            free(pool->free[i]);
            pool->free[i] = next;
        }
        pool->free_count[i] = 0;
    }
}

/* Make room for `extra` bytes behind the end of *block. */
static bool make_room(struct block_pool *pool, struct block **block, size_t extra)
{
    struct block *old = *block;

    if (old != NULL && old->capacity - old->start - old->len >= extra) {
        return true;
    }
    if (old != NULL && old->capacity - old->len >= extra) {
        memmove(old->data, old->data + old->start, old->len);
        old->start = 0;
        return true;
    }
    size_t need = block_len(old) + extra;
    struct block *next = take(pool, old == NULL ? need : need + need / 2);

    if (next == NULL) {
        return false;
    }
    if (old != NULL) {
        memcpy(next->data, old->data + old->start, old->len);
        next->len = old->len;
        give_back(pool, old);
    }
    *block = next;
    return true;
}

enum corral_err block_append(struct block_pool *pool, struct block **block, struct slice bytes)
{
    if (bytes.len == 0) {
        return CE_OK;
    }
    if (!make_room(pool, block, bytes.len)) {
        return CE_NO_MEMORY;
    }
    struct block *b = *block;

    memcpy(b->data + b->start + b->len, bytes.ptr, bytes.len);
    b->len += bytes.len;
    return CE_OK;
}

void block_consume(struct block_pool *pool, struct block **block, size_t count)
{
    assert(count <= block_len(*block));
    if (count == 0) {
        return;
    }
    (*block)->start += count;
    (*block)->len -= count;
    if ((*block)->len == 0) {
        block_release(pool, block);
    }
}

void block_release(struct block_pool *pool, struct block **block)
{
    if (*block != NULL) {
        give_back(pool, *block);
        *block = NULL;
    }
}
