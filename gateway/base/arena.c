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

static void add_block(struct arena *a, struct arena_block *block, size_t capacity)
{
    block->capacity = capacity;
    block->next = a->blocks;
    a->blocks = block;
    a->used = 0;
}

void arena_begin(struct arena *a, void *memory, size_t size)
{
    *a = (struct arena){.given = memory};
    add_block(a, a->given, size - sizeof(*a->given));
}

static bool has_room(const struct arena *a, size_t size)
{
    return a->blocks != NULL && a->blocks->capacity - a->used >= size;
}

void *arena_alloc_raw(struct arena *a, size_t size)
{
    size = aligned(size);
    if (!has_room(a, size)) {
        size_t room = ARENA_BLOCK_BYTES - sizeof(struct arena_block);
        size_t capacity = size > room ? size : room;

        add_block(a, xrealloc(NULL, sizeof(struct arena_block) + capacity), capacity);
    }
    void *memory = a->blocks->bytes + a->used;

    a->used += size;
    return memory;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return memset(arena_alloc_raw(a, size), 0, size);
}

struct slice arena_copy(struct arena *a, struct slice bytes)
{
    if (bytes.len == 0) {
        return slice_of(NULL, 0);
    }
    char *copy = arena_alloc_raw(a, bytes.len);

    memcpy(copy, bytes.ptr, bytes.len);
    return slice_of(copy, bytes.len);
}

void arena_finish(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;

        if (a->blocks != a->given) {
            free(a->blocks);
        }
        a->blocks = next;
    }
    *a = (struct arena){0};
}
