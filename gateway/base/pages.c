#include "base/pages.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    FIRST_SLOTS = 64,
    MAX_REGIONS = 20, /* each twice as large as the one before: 67 million slots */
    PAGES_WORTHWHILE = 4,
};

struct region {
    char *memory; /* owned */
    size_t bytes;
};

struct pages {
    size_t slot_bytes;
    size_t page_bytes;
    struct region regions[MAX_REGIONS];
    size_t region_count;
    void **free;       /* owned; a stack: a link inside a slot would touch it */
    size_t free_count; /* used of it */
    size_t slots;      /* room in it: for every slot there is */
};

struct pages *pages_create(size_t slot_bytes)
{
    struct pages *p = xcalloc(1, sizeof(*p));

    p->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    p->slot_bytes = (slot_bytes + p->page_bytes - 1) / p->page_bytes * p->page_bytes;
    return p;
}

void pages_destroy(struct pages *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->region_count; i++) {
        (void)munmap(p->regions[i].memory, p->regions[i].bytes);
    }
    free(p->free);
    free(p);
}

static bool add_region(struct pages *p)
{
    size_t slots = (size_t)FIRST_SLOTS << p->region_count;
    size_t bytes = slots * p->slot_bytes;

    if (p->region_count == MAX_REGIONS || p->slot_bytes / p->page_bytes < PAGES_WORTHWHILE) {
        return false;
    }
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return false;
    }
    /* A huge page would be touched as a whole. A kernel without them refuses: as good. */
    (void)madvise(memory, bytes, MADV_NOHUGEPAGE);
    p->regions[p->region_count++] = (struct region){memory, bytes};
    p->slots += slots;
    p->free = xrealloc(p->free, p->slots * sizeof(*p->free));
    for (size_t i = slots; i-- > 0;) {
        p->free[p->free_count++] = memory + i * p->slot_bytes;
    }
    return true;
}

void *pages_take(struct pages *p)
{
    return p->free_count > 0 || add_region(p) ? p->free[--p->free_count] : NULL;
}

void pages_give(struct pages *p, void *slot)
{
    assert(p->free_count < p->slots && pages_own(p, slot));
    if (madvise(slot, p->slot_bytes, MADV_DONTNEED) != 0) {
        mem_exhausted(); /* the next one would find the last one's bytes */
    }
    p->free[p->free_count++] = slot;
}

bool pages_own(const struct pages *p, const void *memory)
{
    uintptr_t at = (uintptr_t)memory;

    if (at % p->page_bytes != 0) {
        return false; /* most of what is asked about */
    }
    for (size_t i = 0; i < p->region_count; i++) {
        uintptr_t begin = (uintptr_t)p->regions[i].memory;

        if (at >= begin && at < begin + p->regions[i].bytes) {
            return (at - begin) % p->slot_bytes == 0;
        }
    }
    return false;
}
