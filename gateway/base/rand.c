#include "base/rand.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { EXIT_SOFTWARE = 70 };

static uint64_t hash_seed; /* written once under hash_once */
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

void rand_bytes(void *out, size_t len)
{
    char *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0 && errno != EINTR) {
            perror("getrandom");
            exit(EXIT_SOFTWARE);
        }
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

uint64_t rand_u64(void)
{
    uint64_t value;

    rand_bytes(&value, sizeof(value));
    return value;
}

static void draw_seed(void)
{
    hash_seed = rand_u64();
}

uint64_t hash_bytes(struct slice bytes)
{
    pthread_once(&hash_once, draw_seed);
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, hash_seed);
}

uint64_t hash_bytes_salted(struct slice bytes, uint64_t salt)
{
    pthread_once(&hash_once, draw_seed);
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, hash_seed + salt * 0x9e3779b97f4a7c15u);
}

void hash_bytes_wide(struct slice bytes, uint64_t seed, uint64_t out[static 2])
{
    XXH128_hash_t h = XXH3_128bits_withSeed(bytes.ptr, bytes.len, seed);

    out[0] = h.low64;
    out[1] = h.high64;
}
