#include "net/wheel.h"

#include <stddef.h>

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    list_init(&w->due);
    w->now_ms = now_ms;
}

void deadline_init(struct deadline *d, void (*on_fire)(struct deadline *d))
{
    list_init(&d->link);
    d->at_ms = 0;
    d->slot_ms = 0;
    d->on_fire = on_fire;
}

/* The slot after the deadline's own, so that it is never swept early; far ones wait a round. */
static void place(struct wheel *w, struct deadline *d)
{
    uint64_t horizon = w->now_ms + (uint64_t)(WHEEL_SLOTS - 2) * WHEEL_SLOT_MS;
    uint64_t at = d->at_ms > horizon ? horizon : d->at_ms;

    if (at < w->now_ms) {
        at = w->now_ms;
    }
    d->slot_ms = (at / WHEEL_SLOT_MS + 1) * WHEEL_SLOT_MS;
    list_unlink(&d->link);
    list_push_back(&w->slots[d->slot_ms / WHEEL_SLOT_MS % WHEEL_SLOTS], &d->link);
}

void deadline_set(struct wheel *w, struct deadline *d, uint64_t now_ms, uint64_t timeout_ms)
{
    bool armed = !list_empty(&d->link);

    d->at_ms = now_ms + timeout_ms;
    if (!armed || d->slot_ms > d->at_ms + WHEEL_SLOT_MS) {
        place(w, d);
    }
}

void deadline_cancel(struct deadline *d)
{
    list_unlink(&d->link);
}

void wheel_sweep(struct wheel *w, uint64_t now_ms)
{
    uint64_t from = w->now_ms / WHEEL_SLOT_MS;
    uint64_t to = now_ms / WHEEL_SLOT_MS;

    if (to - from > WHEEL_SLOTS) {
        from = to - WHEEL_SLOTS;
    }
    w->now_ms = now_ms;
    for (uint64_t slot = from + 1; slot <= to; slot++) {
        list_splice_back(&w->due, &w->slots[slot % WHEEL_SLOTS]);
    }
}

bool wheel_fire_one(struct wheel *w)
{
    struct list *link = list_pop_front(&w->due);

    if (link == NULL) {
        return false;
    }
    struct deadline *d = CONTAINER_OF(link, struct deadline, link);

    if (d->at_ms > w->now_ms) {
        place(w, d);
    } else {
        d->on_fire(d);
    }
    return true;
}
