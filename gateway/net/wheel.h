/**
 * Coarse deadlines: a wheel of 100 ms slots, swept by the worker's tick.
 *
 * Pushing a deadline further away only stores a number; the sweep puts it into its new slot when it
 * meets it. So a streamed chunk that moves its silence deadline costs one store. A deadline fires
 * at its time or up to 200 ms later, never earlier. Everything runs on the owner's worker thread.
 */
#ifndef CORRAL_NET_WHEEL_H
#define CORRAL_NET_WHEEL_H

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
    uint64_t now_ms;                /* time of the last sweep */
};

void wheel_init(struct wheel *w, uint64_t now_ms);

void deadline_init(struct deadline *d, void (*on_fire)(struct deadline *d));

/** Arm or move: fires once when `now + timeout_ms` is reached. */
void deadline_set(struct wheel *w, struct deadline *d, uint64_t now_ms, uint64_t timeout_ms);
void deadline_cancel(struct deadline *d);

/** Fire everything due. Callbacks may arm, move and cancel any deadline, their own included. */
void wheel_sweep(struct wheel *w, uint64_t now_ms);

#endif
