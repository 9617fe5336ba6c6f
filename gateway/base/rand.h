/**
 * Random bytes from the kernel, and keyed hashes for tables.
 */
#ifndef CORRAL_BASE_RAND_H
#define CORRAL_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/** Fill with getrandom(2). Ends the process (exit 70) when the kernel cannot: nothing is safe then.
 */
void rand_bytes(void *out, size_t len);

uint64_t rand_u64(void);

/**
 * XXH3-64 under a seed that is drawn once per process: peers cannot choose colliding keys.
 * Not a secret-keeping hash.
 */
uint64_t hash_bytes(struct slice bytes);

/** The same, but equal bytes under different salts have different hashes. */
uint64_t hash_bytes_salted(struct slice bytes, uint64_t salt);

/** XXH3-128 under a seed of the caller's: wide enough to stand for the bytes themselves. */
void hash_bytes_wide(struct slice bytes, uint64_t seed, uint64_t out[static 2]);

#endif
