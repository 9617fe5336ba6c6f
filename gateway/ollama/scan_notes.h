/**
 * Inside scan.c only: writing down where the values of the first levels stand, while they are
 * checked.
 */
#ifndef CORRAL_OLLAMA_SCAN_NOTES_H
#define CORRAL_OLLAMA_SCAN_NOTES_H

#include "ollama/scan.h"

enum {
    NOTE_LEVELS = 3, /* members, elements of those, members of those */
    NOTES_KEPT = 20, /* for the first level, whatever stands deeper */
};

/** What is being noted, by depth. Zero everywhere: no notes are taken. */
struct noting {
    struct scan_notes *notes;         /* borrowed */
    uint32_t holder[NOTE_LEVELS + 2]; /* the container around: its note, or 0 */
    uint32_t last[NOTE_LEVELS + 2];   /* what stands in it last so far */
    bool whole[NOTE_LEVELS + 2];      /* and all of it is noted */
};

/** A value begins: its note's number, or 0. The caller tells the note its key, kind and offset. */
uint32_t note_value(struct noting *n, size_t depth);

/** A container was opened, and is `depth` deep inside. */
void note_open(struct noting *n, size_t depth, uint32_t number);

/** A value ends before `end`. Number 0: nothing. */
void note_end(struct noting *n, uint32_t number, size_t end);

/** The container that is `depth` deep inside ends before `end`. */
void note_close(struct noting *n, size_t depth, size_t end);

#endif
