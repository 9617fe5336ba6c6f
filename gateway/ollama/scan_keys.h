/**
 * Inside the checker (scan_check.h) only: the keys of all objects of a text, to find one that comes
 * twice.
 *
 * 64-bit keyed hashes stand for the keys: a collision would refuse a body, never let one pass.
 */
#ifndef CORRAL_OLLAMA_SCAN_KEYS_H
#define CORRAL_OLLAMA_SCAN_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum { SCAN_KEYS_FIRST = 64 };

struct scan_keys {
    uint64_t *slots; /* NULL: `first`; else in the arena. 0 is a free slot */
    size_t capacity; /* a power of two */
    size_t count;
    uint64_t first[SCAN_KEYS_FIRST];
};

void scan_keys_init(struct scan_keys *k);

/** False when it was there. At most 32 bytes of the arena for each key. */
bool scan_keys_add(struct scan_keys *k, uint64_t hash, struct arena *arena);

/** Bytes of the arena in use. */
size_t scan_keys_memory(const struct scan_keys *k);

#endif
