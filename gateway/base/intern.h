/**
 * Names that keep one small number for the life of the process: tenants, models, replicas.
 *
 * Append-only, shared by all threads behind one mutex (never held over I/O). Counters, queues and
 * limits are keyed by the numbers, so they survive a reload. Bounded: past the capacity every new
 * name gets INTERN_OTHER, whose text is "other".
 */
#ifndef CORRAL_BASE_INTERN_H
#define CORRAL_BASE_INTERN_H

#include <stdint.h>

#include "base/slice.h"

enum { INTERN_OTHER = 0, INTERN_NONE = UINT32_MAX };

struct intern;

/** Room for `capacity` names beside "other". Never NULL. */
struct intern *intern_create(uint32_t capacity);
void intern_destroy(struct intern *t);

/** The number of a name, given now if it had none. */
uint32_t intern_add(struct intern *t, struct slice name);

/** The number of a name, or INTERN_NONE. */
uint32_t intern_find(struct intern *t, struct slice name);

/** The name of a number; valid as long as the table. An unknown number gives "other". */
struct slice intern_name(struct intern *t, uint32_t id);

/** Numbers given so far; all are below this. */
uint32_t intern_count(struct intern *t);

#endif
