/**
 * Allocation, and the bytes that request bodies may hold in the whole process.
 *
 * Small fixed allocations use the x-functions: a failure ends the process with one line on stderr
 * and exit status 70 (EX_SOFTWARE). Sizes a peer can choose use plain malloc or struct buf, have a
 * limit and return CE_NO_MEMORY.
 */
#ifndef CORRAL_BASE_MEM_H
#define CORRAL_BASE_MEM_H

#include <stddef.h>

#include "base/attr.h"

/** How many ended objects of one kind a thread keeps; a sanitizer shall see each end. */
enum { MEM_SPARES = SANITIZED ? 0 : 32 };

/** Zeroed memory for `count` objects; never NULL. Caller owns, frees with free(). */
void *xcalloc(size_t count, size_t size);

/** As realloc, but never NULL for new_size > 0. */
void *xrealloc(void *old, size_t new_size);

/** A copy of a C string; never NULL. Caller owns. */
char *xstrdup(const char *text);

/** A NUL-terminated copy of `len` bytes; never NULL. Caller owns. */
char *xstrndup(const char *bytes, size_t len);

/** Grow a vector to hold one more item; `*capacity` in items. Returns the (moved) vector. */
void *xgrow(void *items, size_t count, size_t *capacity, size_t item_size);

/**
 * At the start, before other threads: large blocks come from the kernel one by one and go back to
 * it when they are freed.
 */
void mem_return_large_blocks(void);

/** What the x-functions do on failure; for small fixed allocations of libraries. */
NO_RETURN void mem_exhausted(void);

#endif
