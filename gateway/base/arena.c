#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include "base/mem.h"

struct arena_block {
    struct arena_block *next; /* owned */
    size_t capacity;
    alignas(max_align_t) char bytes[];
};

static size_t aligned(size_t size)
{
    return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = aligned(size);
    if (a->blocks == NULL || a->blocks->capacity - a->used < size) {
        size_t room = ARENA_BLOCK_BYTES - sizeof(struct arena_block);
        size_t capacity = size > room ? size : room;
        struct arena_block *block = xcalloc(1, sizeof(*block) + capacity);

        block->capacity = capacity;
        block->next = a->blocks;
        a->blocks = block;
        a->used = 0;
    }
    void *memory = a->blocks->bytes + a->used;

    a->used += size;
    return memory;
}

struct slice arena_copy(struct arena *a, struct slice bytes)
{
    if (bytes.len == 0) {
        return slice_of(NULL, 0);
    }
    char *copy = arena_alloc(a, bytes.len);

    memcpy(copy, bytes.ptr, bytes.len);
    return slice_of(copy, bytes.len);
}

void arena_finish(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;

        free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}
