/**
 * Inside request.h only: the reader's memory, for request.c and request_reader.c.
 */
#ifndef CORRAL_OLLAMA_REQUEST_READER_H
#define CORRAL_OLLAMA_REQUEST_READER_H

#include "ollama/request_parts.h"

struct request_reader {
    struct request_rules rules;
    struct request_info info; /* what was counted so far */
    struct request_parts parts;
    struct scan_check check;
    struct scan_notes notes;
};

/** The body was read to its end: where its fields stand, and what it weighs. */
void request_reader_measure(struct request_reader *r, struct slice body);

#endif
