/**
 * `corral check`, and what a start that failed says: all that is wrong with a configuration, its
 * text and what it names on this machine, each with its place in the file.
 */
#ifndef CORRAL_APP_CHECK_H
#define CORRAL_APP_CHECK_H

#include <stdbool.h>

#include "base/attr.h"

struct config_errors;
struct snapshot;

enum check_depth {
    CHECK_TEXT,    /* the text alone */
    CHECK_MACHINE, /* also files, folders and addresses, read as at a start; nothing is made */
};

/**
 * Print what is wrong with a text, in the order of its lines: "FILE:LINE:COLUMN: key: sentence";
 * "warning: " stands before what does not stop a start.
 *
 * @return whether there was no error.
 */
bool check_text(const char *name, const char *text, enum check_depth depth);

/** Print errors as check_text does, and free them. A reader of stderr that stopped ends it. */
void check_print(const char *name, struct config_errors *errors);

/** Of a snapshot: whether somebody could come in, where a network can ask. */
bool check_lets_somebody_in(const struct snapshot *s);

#endif
