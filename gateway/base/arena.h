/**
 * Memory that is freed all at once: one arena per exchange.
 *
 * Blocks of ARENA_BLOCK_BYTES, larger wishes get a block of their own. Nothing is freed singly.
 * Only for sizes that a limit bounds already (a head, a name); bodies live in struct buf.
 */
#ifndef CORRAL_BASE_ARENA_H
#define CORRAL_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

enum { ARENA_BLOCK_BYTES = 1024 };

struct arena_block;

struct arena {
    struct arena_block *blocks; /* owned but for `given`; newest first */
    struct arena_block *given;  /* borrowed: of arena_begin; NULL: none */
    size_t used;                /* of the newest block */
};

/**
 * Begin an arena in memory of the caller's: aligned for any object, there as long as the arena.
 * Without this call a zeroed struct is an empty arena.
 */
void arena_begin(struct arena *a, void *memory, size_t size);

/** Zeroed, aligned for any object; never NULL. Valid until arena_finish. */
void *arena_alloc(struct arena *a, size_t size);

/** The same, not zeroed: for what is large and filled as far as it is read. */
void *arena_alloc_raw(struct arena *a, size_t size);

/** A copy in the arena. */
struct slice arena_copy(struct arena *a, struct slice bytes);

/** Frees everything; the arena is empty and usable again. */
void arena_finish(struct arena *a);

#endif
