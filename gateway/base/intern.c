#include "base/intern.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"

struct intern {
    pthread_mutex_t lock; /* guards all below */
    struct slice *names;  /* owned, texts owned too; never moves */
    char **former;        /* owned; the text that a number had before, for who still reads it */
    uint32_t next_reused; /* where the search for one that is free goes on */
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
    t->former = xcalloc(t->capacity, sizeof(*t->former));
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
        free(t->former[i]);
    }
    free(t->former);
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

/* What stands behind a slot in open addressing moves up to where it would be found without it. */
static void take_out(struct intern *t, uint32_t slot)
{
    uint32_t mask = t->slot_count - 1;
    uint32_t hole = slot;

    for (uint32_t i = (slot + 1) & mask; t->slots[i] != INTERN_NONE; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)hash_bytes(t->names[t->slots[i]]) & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = INTERN_NONE;
}

static void rename_number(struct intern *t, uint32_t id, struct slice name)
{
    pthread_mutex_lock(&t->lock);
    take_out(t, (uint32_t)(find_slot(t, t->names[id]) - t->slots));
    free(t->former[id]);
    t->former[id] = (char *)(uintptr_t)t->names[id].ptr;
    t->names[id] = slice_of(xstrndup(name.ptr, name.len), name.len);
    *find_slot(t, name) = id;
    pthread_mutex_unlock(&t->lock);
}

uint32_t intern_add_or_reuse(struct intern *t, struct slice name,
                             bool (*is_free)(void *arg, uint32_t id), void *arg)
{
    uint32_t id = intern_add(t, name);

    if (id != INTERN_OTHER || slice_eq_str(name, "other")) {
        return id;
    }
    for (uint32_t tried = 1; tried < t->capacity; tried++) {
        t->next_reused = t->next_reused + 1 < t->capacity ? t->next_reused + 1 : 1;
        if (is_free(arg, t->next_reused)) {
            rename_number(t, t->next_reused, name);
            return t->next_reused;
        }
    }
    return INTERN_OTHER;
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
