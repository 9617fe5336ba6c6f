/**
 * Slots of untouched pages, for blocks of which mostly only the beginning is written: a page that
 * nobody has touched costs no memory. One thread's; all slots of a pool have one size.
 */
#ifndef CORRAL_BASE_PAGES_H
#define CORRAL_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

struct pages;

/** A pool without any slot yet; `slot_bytes` is rounded up to whole pages. */
struct pages *pages_create(size_t slot_bytes);

/** Every slot ends with it. NULL is harmless. */
void pages_destroy(struct pages *p);

/**
 * A slot, zeroed and at the beginning of a page; back with pages_give. NULL: the system has no room
 * to give, or its pages are so large that malloc is the better place.
 */
void *pages_take(struct pages *p);

/** `slot` is one of pages_take. Its memory goes back to the system. */
void pages_give(struct pages *p, void *slot);

/** Whether an address, of whatever origin, is that of a slot of this pool. */
bool pages_own(const struct pages *p, const void *memory);

#endif
