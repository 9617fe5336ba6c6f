#include "base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OUT_OF_MEMORY = 70 };

/*
 * By itself glibc stops to do so once a few have been freed, and keeps up to 32 MiB of each size
 * beside others in a thread's arena: bodies then hold half as much again as their limit allows.
 */
void mem_return_large_blocks(void)
{
    enum { LARGE_BYTES = 1024 * 1024 };

    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BYTES);
}

void mem_exhausted(void)
{
    static const char line[] = "{\"level\":\"error\",\"event\":\"memory.exhausted\",\"detail\":"
                               "\"a small allocation failed; giving up\"}\n";

    if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0) {
        _exit(EXIT_OUT_OF_MEMORY);
    }
    _exit(EXIT_OUT_OF_MEMORY);
}

/* glibc's malloc keeps small blocks at hand for each thread; its calloc does not look there. */
void *xcalloc(size_t count, size_t size)
{
    enum { AT_HAND_BYTES = 1024 };
    bool small = count == 1 && size <= AT_HAND_BYTES;
    void *memory = small ? malloc(size) : calloc(count, size);

    if (memory == NULL) {
        mem_exhausted();
    }
    return small ? memset(memory, 0, size) : memory;
}

void *xrealloc(void *old, size_t new_size)
{
    void *memory = realloc(old, new_size);

    if (memory == NULL && new_size > 0) {
        mem_exhausted();
    }
    return memory;
}

char *xstrndup(const char *bytes, size_t len)
{
    char *copy = xcalloc(1, len + 1);

    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

void *xgrow(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity) {
        return items;
    }
    size_t next = *capacity == 0 ? 8 : *capacity * 2;

    if (next > SIZE_MAX / item_size) {
        mem_exhausted();
    }
    *capacity = next;
    return xrealloc(items, next * item_size);
}
