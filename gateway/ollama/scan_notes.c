#include "ollama/scan_notes.h"

/* What a container holds is noted whole or not at all: a walk must not miss anything. */
static void nothing_inside(struct noting *n, size_t depth)
{
    n->whole[depth] = false;
    n->notes->at[n->holder[depth]].first = 0;
}

uint32_t note_value(struct noting *n, size_t depth)
{
    if (n->notes == NULL || depth > NOTE_LEVELS || (depth > 0 && !n->whole[depth])) {
        return 0;
    }
    if (n->notes->count >= (depth <= 1 ? SCAN_NOTES_MAX : SCAN_NOTES_MAX - NOTES_KEPT)) {
        nothing_inside(n, depth);
        return 0;
    }
    uint32_t number = ++n->notes->count;
    struct scan_note *note = &n->notes->at[number];

    note->len = 0;
    note->first = 0;
    note->next = 0;
    if (depth > 0 && n->last[depth] == 0) {
        n->notes->at[n->holder[depth]].first = number;
    } else if (depth > 0) {
        n->notes->at[n->last[depth]].next = number;
    }
    n->last[depth] = number;
    return number;
}

void note_open(struct noting *n, size_t depth, uint32_t number)
{
    if (depth < ARRAY_LEN(n->holder)) {
        n->holder[depth] = number;
        n->last[depth] = 0;
        n->whole[depth] = number != 0;
    }
}

void note_end(struct noting *n, uint32_t number, size_t end)
{
    if (number != 0) {
        struct scan_note *note = &n->notes->at[number];

        note->len = (uint32_t)(end - note->offset);
    }
}

void note_close(struct noting *n, size_t depth, size_t end)
{
    if (depth < ARRAY_LEN(n->holder)) {
        note_end(n, n->holder[depth], end);
    }
}
