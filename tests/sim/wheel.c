#include "wheel.h"

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < WHEEL_SIZE; i++) {
        list_init(&w->slots[i]);
    }
    w->now_ms = now_ms;
    w->armed = 0;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
    list_init(&t->link);
    t->due_ms = 0;
    t->fn = fn;
}

void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_ms)
{
    wheel_cancel(w, t);
    t->due_ms = due_ms > w->now_ms ? due_ms : w->now_ms + 1;
    list_push(&w->slots[t->due_ms % WHEEL_SIZE], &t->link);
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
        if (t->due_ms > w->now_ms) {
            list_push(slot, &t->link);
        } else {
            w->armed--;
            t->fn(t);
        }
        item = list_pop(&due);
    }
}

void wheel_run(struct wheel *w, uint64_t now_ms)
{
    while (w->now_ms < now_ms) {
        if (w->armed == 0) {
            w->now_ms = now_ms;
            return;
        }
        w->now_ms++;
        run_slot(w, &w->slots[w->now_ms % WHEEL_SIZE]);
    }
}

unsigned wheel_gap(const struct wheel *w, unsigned max_ms)
{
    unsigned gap = 1;

    while (gap < max_ms && list_empty(&w->slots[(w->now_ms + gap) % WHEEL_SIZE])) {
        gap++;
    }
    return gap;
}
