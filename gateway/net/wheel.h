/**
 * Coarse deadlines: a wheel of 100 ms slots, swept by the worker's tick.
 *
 * Pushing a deadline further away only stores a number; the sweep puts it into its new slot when it
 * meets it. So a streamed chunk that moves its silence deadline costs one store. A deadline fires
 * at its time or up to 200 ms later, never earlier; later still when so many are due that one turn
 * of the worker cannot afford them. Everything runs on the owner's worker thread.
 */
#ifndef CORRAL_NET_WHEEL_H
#define CORRAL_NET_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { WHEEL_SLOT_MS = 100, WHEEL_SLOTS = 1024 };

struct deadline {
    struct list link; /* in a wheel slot while armed */
    uint64_t at_ms;   /* monotonic */
    uint64_t slot_ms; /* time of the slot it stands in */
    void (*on_fire)(struct deadline *d);
};

struct wheel {
    struct list slots[WHEEL_SLOTS]; /* deadline.link */
    struct list due;                /* deadline.link: of slots that were swept, not fired yet */
    uint64_t now_ms;                /* time of the last sweep */
};

void wheel_init(struct wheel *w, uint64_t now_ms);

void deadline_init(struct deadline *d, void (*on_fire)(struct deadline *d));

/** Arm or move: fires once when `now + timeout_ms` is reached. */
void deadline_set(struct wheel *w, struct deadline *d, uint64_t now_ms, uint64_t timeout_ms);
void deadline_cancel(struct deadline *d);

/** Collect what may be due by now, for wheel_fire_one. Calls nobody. */
void wheel_sweep(struct wheel *w, uint64_t now_ms);

/**
 * Look at one collected deadline: fire it when it is due, else put it back. Its callback may arm,
 * move and cancel any deadline, its own included.
 *
 * @return false: none is left. The caller decides how many of them one turn can afford.
 */
bool wheel_fire_one(struct wheel *w);

#endif
