#include "wheel.h"

void wheel_init(struct wheel *w, uint64_t now_us)
{
    for (unsigned i = 0; i < WHEEL_SIZE; i++) {
        list_init(&w->slots[i]);
    }
    w->now = now_us / WHEEL_TICK_US;
    w->armed = 0;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
    list_init(&t->link);
    t->due = 0;
    t->fn = fn;
}

void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_us)
{
    uint64_t due = (due_us + WHEEL_TICK_US - 1) / WHEEL_TICK_US;

    wheel_cancel(w, t);
    t->due = due > w->now ? due : w->now + 1;
    list_push(&w->slots[t->due % WHEEL_SIZE], &t->link);
    w->armed++;
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
    if (!list_empty(&t->link)) {
        list_remove(&t->link);
        w->armed--;
    }
}

static void run_slot(struct wheel *w, struct list *slot)
{
    struct list due;

    if (list_empty(slot)) {
        return;
    }
    /* Move the whole slot aside: callbacks may arm into the same slot for a later turn. */
    list_push(slot, &due);
    list_remove(slot);
    struct list *item = list_pop(&due);
    while (item != NULL) {
        struct timer *t = LIST_ENTRY(item, struct timer, link);
        if (t->due > w->now) {
            list_push(slot, &t->link);
        } else {
            w->armed--;
            t->fn(t);
        }
        item = list_pop(&due);
    }
}

void wheel_run(struct wheel *w, uint64_t now_us)
{
    uint64_t now = now_us / WHEEL_TICK_US;

    while (w->now < now) {
        if (w->armed == 0) {
            w->now = now;
            return;
        }
        w->now++;
        run_slot(w, &w->slots[w->now % WHEEL_SIZE]);
    }
}

unsigned wheel_gap(const struct wheel *w, unsigned max_us)
{
    unsigned gap = 1;

    while (gap < max_us / WHEEL_TICK_US && list_empty(&w->slots[(w->now + gap) % WHEEL_SIZE])) {
        gap++;
    }
    return gap * WHEEL_TICK_US;
}
