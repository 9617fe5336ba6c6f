#include "base/intern.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"

struct intern {
    pthread_mutex_t lock; /* guards all below */
    struct slice *names;  /* owned, texts owned too; never moves */
    uint32_t *slots;      /* owned; hash table of numbers, INTERN_NONE: empty */
    uint32_t slot_count;
    uint32_t count;
    uint32_t capacity;
};

static uint32_t *find_slot(struct intern *t, struct slice name)
{
    uint32_t i = (uint32_t)hash_bytes(name) & (t->slot_count - 1);

    while (t->slots[i] != INTERN_NONE && !slice_eq(t->names[t->slots[i]], name)) {
        i = (i + 1) & (t->slot_count - 1);
    }
    return &t->slots[i];
}

static uint32_t insert(struct intern *t, struct slice name, uint32_t *slot)
{
    t->names[t->count] = slice_of(xstrndup(name.ptr, name.len), name.len);
    *slot = t->count++;
    return *slot;
}

struct intern *intern_create(uint32_t capacity)
{
    struct intern *t = xcalloc(1, sizeof(*t));

    pthread_mutex_init(&t->lock, NULL);
    t->capacity = capacity + 1;
    t->slot_count = 16;
    while (t->slot_count < 2 * t->capacity) {
        t->slot_count *= 2;
    }
    t->names = xcalloc(t->capacity, sizeof(*t->names));
    t->slots = xcalloc(t->slot_count, sizeof(*t->slots));
    memset(t->slots, 0xff, t->slot_count * sizeof(*t->slots));
    insert(t, SLICE_LITERAL("other"), find_slot(t, SLICE_LITERAL("other")));
    return t;
}

void intern_destroy(struct intern *t)
{
    if (t == NULL) {
        return;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        free((char *)(uintptr_t)t->names[i].ptr);
    }
    pthread_mutex_destroy(&t->lock);
    free(t->names);
    free(t->slots);
    free(t);
}

uint32_t intern_add(struct intern *t, struct slice name)
{
    pthread_mutex_lock(&t->lock);
    uint32_t *slot = find_slot(t, name);
    uint32_t id = *slot;

    if (id == INTERN_NONE) {
        id = t->count < t->capacity ? insert(t, name, slot) : (uint32_t)INTERN_OTHER;
    }
    pthread_mutex_unlock(&t->lock);
    return id;
}

uint32_t intern_find(struct intern *t, struct slice name)
{
    pthread_mutex_lock(&t->lock);
    uint32_t id = *find_slot(t, name);

    pthread_mutex_unlock(&t->lock);
    return id;
}

struct slice intern_name(struct intern *t, uint32_t id)
{
    pthread_mutex_lock(&t->lock);
    struct slice name = t->names[id < t->count ? id : INTERN_OTHER];

    pthread_mutex_unlock(&t->lock);
    return name;
}

uint32_t intern_count(struct intern *t)
{
    pthread_mutex_lock(&t->lock);
    uint32_t count = t->count;

    pthread_mutex_unlock(&t->lock);
    return count;
}
