/**
 * Names that keep one small number for the life of the process: tenants, models, replicas.
 *
 * Shared by all threads behind one mutex (never held over I/O). Counters, queues and limits are
 * keyed by the numbers, so they survive a reload. Bounded: past the capacity a new name gets the
 * number of one that nobody uses any more (intern_add_or_reuse), or INTERN_OTHER, whose text is
 * "other".
 */
#ifndef CORRAL_BASE_INTERN_H
#define CORRAL_BASE_INTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { INTERN_OTHER = 0, INTERN_NONE = UINT32_MAX };

struct intern;

/** Room for `capacity` names beside "other". Never NULL. */
struct intern *intern_create(uint32_t capacity);
void intern_destroy(struct intern *t);

/** The number of a name, given now if it had none. */
uint32_t intern_add(struct intern *t, struct slice name);

/**
 * The same; when the table is full, a number that `is_free` gives up becomes the new name's.
 * `is_free` is called without the mutex, and for no name that is asked for meanwhile: one thread
 * alone adds names to such a table.
 */
uint32_t intern_add_or_reuse(struct intern *t, struct slice name,
                             bool (*is_free)(void *arg, uint32_t id), void *arg);

/** The number of a name, or INTERN_NONE. */
uint32_t intern_find(struct intern *t, struct slice name);

/** The name of a number; valid until its second successor has the number, or as long as the table.
 * An unknown number gives "other". */
struct slice intern_name(struct intern *t, uint32_t id);

/** Numbers given so far; all are below this. */
uint32_t intern_count(struct intern *t);

#endif
