/* A set of hashes with open addressing, at most half full. Called by scan_check.c alone; pure. */
#include "ollama/scan_keys.h"

#include <string.h>

void scan_keys_init(struct scan_keys *k)
{
    k->slots = NULL;
    k->capacity = SCAN_KEYS_FIRST;
    k->count = 0;
    memset(k->first, 0, sizeof(k->first));
}

static uint64_t *slots_of(struct scan_keys *k)
{
    return k->slots == NULL ? k->first : k->slots;
}

static void place(uint64_t *slots, size_t capacity, uint64_t hash)
{
    size_t i = hash & (capacity - 1);

    while (slots[i] != 0) {
        i = (i + 1) & (capacity - 1);
    }
    slots[i] = hash;
}

static void grow(struct scan_keys *k, struct arena *arena)
{
    const uint64_t *old = slots_of(k);
    size_t capacity = k->capacity * 2;
    uint64_t *slots = arena_alloc(arena, capacity * sizeof(*slots));

    for (size_t i = 0; i < k->capacity; i++) {
        if (old[i] != 0) {
            place(slots, capacity, old[i]);
        }
    }
    k->slots = slots;
    k->capacity = capacity;
}

bool scan_keys_add(struct scan_keys *k, uint64_t hash, struct arena *arena)
{
    hash = hash == 0 ? 1 : hash;
    if (k->count * 2 >= k->capacity) {
        grow(k, arena);
    }
    uint64_t *slots = slots_of(k);
    size_t i = hash & (k->capacity - 1);
    while (slots[i] != 0) {
        if (slots[i] == hash) {
            return false;
        }
        i = (i + 1) & (k->capacity - 1);
    }
    slots[i] = hash;
    k->count++;
    return true;
}

/* Smaller tables that were outgrown stay in the arena: together they are less than the last. */
size_t scan_keys_memory(const struct scan_keys *k)
{
    return k->slots == NULL ? 0 : 2 * k->capacity * sizeof(*k->slots);
}
