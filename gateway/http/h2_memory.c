#include "http/h2_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/pages.h"

/*
 * nghttp2 1.52 begins with 2.9 kB for itself and asks for 16,394 bytes for frames, with
 * realloc(NULL): a frame of the greatest size that every peer takes, its head and a byte of
 * padding. It asks for nothing else of about that size. What another version asks for is as right
 * here, or is malloc's.
 */
enum {
    SLOT_BYTES = 20480,
    EARLY_BYTES = 3072, /* the rest of the page, 1 KiB, is what frames touch */
    FRAME_MIN_BYTES = 16384,
    ALIGNMENT = 16,
};

struct pages *h2_memory_pool(void)
{
    return pages_create(SLOT_BYTES);
}

void h2_memory_init(struct h2_memory *m, struct pages *pool)
{
    *m = (struct h2_memory){.pool = pool, .slot = pages_take(pool)};
}

void h2_memory_finish(struct h2_memory *m)
{
    if (m->slot != NULL) {
        pages_give(m->pool, m->slot);
        m->slot = NULL;
    }
}

static bool is_in_slot(const struct h2_memory *m, const void *memory)
{
    return m->slot != NULL && (uintptr_t)memory - (uintptr_t)m->slot < SLOT_BYTES;
}

/* Zeroed, or NULL: no room. Never reused: what comes here lives as long as the session. */
static void *take_early(struct h2_memory *m, size_t size)
{
    size_t padded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    if (m->slot == NULL || m->frames_taken || size > EARLY_BYTES ||
        padded > EARLY_BYTES - m->used) {
        return NULL;
    }
    m->used += padded;
    return m->slot + m->used - padded;
}

static void *on_malloc(size_t size, void *arg)
{
    void *early = take_early(arg, size);

    return early != NULL ? early : malloc(size);
}

static void *on_calloc(size_t count, size_t size, void *arg)
{
    void *early = count == 1 ? take_early(arg, size) : NULL;

    return early != NULL ? early : calloc(count, size);
}

static void on_free(void *memory, void *arg)
{
    if (!is_in_slot(arg, memory)) {
        free(memory);
    }
}

static void *take_frames(struct h2_memory *m, size_t size)
{
    if (m->slot == NULL || m->frames_taken || size <= FRAME_MIN_BYTES ||
        size > SLOT_BYTES - EARLY_BYTES) {
        return malloc(size);
    }
    m->frames_taken = true;
    return m->slot + EARLY_BYTES;
}

/* How much of a block of the slot is its own is not kept: what follows it does no harm. */
static void *move_out(const struct h2_memory *m, const char *old, size_t size)
{
    size_t behind = (size_t)(m->slot + SLOT_BYTES - old);
    void *moved = malloc(size);

    if (moved != NULL) {
        memcpy(moved, old, size < behind ? size : behind);
    }
    return moved;
}

static void *on_realloc(void *old, size_t size, void *arg)
{
    if (old == NULL) {
        return take_frames(arg, size);
    }
    return is_in_slot(arg, old) ? move_out(arg, old, size) : realloc(old, size);
}

nghttp2_mem h2_memory_hooks(struct h2_memory *m)
{
    return (nghttp2_mem){m, on_malloc, on_free, on_calloc, on_realloc};
}
