/**
 * wheel.h: timers on one wheel of ticks, so that 9,000 paced streams need one tick and not 9,000
 * kernel or heap timers. A tick is short enough that streams which began apart stay apart: in steps
 * of a millisecond they would come in bursts. A timer further away than one turn is put back.
 */
#ifndef SIM_WHEEL_H
#define SIM_WHEEL_H

#include <stdint.h>

#include "list.h"

#define WHEEL_SIZE 32768u
#define WHEEL_TICK_US 100u

struct timer {
    struct list link; /* wheel.slots */
    uint64_t due;     /* in ticks */
    void (*fn)(struct timer *t);
};

struct wheel {
    struct list slots[WHEEL_SIZE]; /* timer.link */
    uint64_t now;                  /* in ticks; everything due up to here has run */
    unsigned armed;
};

void wheel_init(struct wheel *w, uint64_t now_us);
void timer_init(struct timer *t, void (*fn)(struct timer *t));

/** Arm or move; a due time that has passed runs on the next tick. */
void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_us);
void wheel_cancel(struct wheel *w, struct timer *t);

/** Run what is due. Callbacks may arm and cancel any timer. */
void wheel_run(struct wheel *w, uint64_t now_us);

/** Microseconds until the next slot that holds something, at most `max_us`. */
unsigned wheel_gap(const struct wheel *w, unsigned max_us);

#endif
