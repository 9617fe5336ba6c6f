/*
 * Tickets and the notes about them. Called by the other files of the ledger, under its lock; the
 * slab that tickets live in belongs to the ledger and never moves.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "sched/ledger_impl.h"

static struct ticket *ticket_at(struct ledger *l, uint32_t index)
{
    return &l->slabs[index / TICKETS_PER_SLAB][index % TICKETS_PER_SLAB];
}

struct ticket *ledger_find_ticket(struct ledger *l, struct ticket_ref ref)
{
    if (ref.generation == 0 || ref.index >= l->ticket_count) {
        return NULL;
    }
    struct ticket *k = ticket_at(l, ref.index);

    return k->generation == ref.generation && k->state != TICKET_FREE ? k : NULL;
}

struct ticket *ledger_new_ticket(struct ledger *l)
{
    uint32_t index;

    if (l->free_count > 0) {
        index = l->free_tickets[--l->free_count];
    } else {
        index = (uint32_t)l->ticket_count++;
        if (index % TICKETS_PER_SLAB == 0) {
            l->slabs = xgrow(l->slabs, l->slab_count, &l->slab_capacity, sizeof(struct ticket *));
            l->slabs[l->slab_count++] = xcalloc(TICKETS_PER_SLAB, sizeof(struct ticket));
        }
    }
    struct ticket *k = ticket_at(l, index);
    uint32_t generation = k->generation + 1;

    *k = (struct ticket){.index = index, .generation = generation == 0 ? 1 : generation};
    list_init(&k->link);
    return k;
}

void ledger_free_ticket(struct ledger *l, struct ticket *k)
{
    k->state = TICKET_FREE;
    l->free_tickets =
        xgrow(l->free_tickets, l->free_count, &l->free_capacity, sizeof(*l->free_tickets));
    l->free_tickets[l->free_count++] = k->index;
}

void ledger_unlock_and_notify(struct ledger *l)
{
    struct note *notes = l->notes;
    size_t count = l->note_count;

    l->notes = NULL;
    l->note_count = 0;
    l->note_capacity = 0;
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++) {
        l->notify(l->arg, notes[i].worker, notes[i].ref);
    }
    free(notes);
}

void ledger_note(struct ledger *l, const struct ticket *k)
{
    l->notes = xgrow(l->notes, l->note_count, &l->note_capacity, sizeof(*l->notes));
    l->notes[l->note_count++] = (struct note){k->worker, {k->index, k->generation}};
}

void ledger_forget_note(struct ledger *l, struct ticket_ref ref)
{
    for (size_t i = 0; i < l->note_count; i++) {
        if (l->notes[i].ref.index == ref.index && l->notes[i].ref.generation == ref.generation) {
            l->notes[i] = l->notes[--l->note_count];
            return;
        }
    }
}
