/**
 * `corral serve`: start, run, reload, drain, stop. Owns every long-lived part.
 */
#ifndef CORRAL_APP_SERVE_H
#define CORRAL_APP_SERVE_H

#include <stdbool.h>

enum {
    EXIT_USAGE = 2,    /* wrong command line */
    EXIT_FAULT = 1,    /* configuration, files, ports: the message says which */
    EXIT_DRAIN_CUT = 3 /* the drain limit or a second signal cut running answers */
};

/** @param path  configuration file; NULL: loopback defaults (F28). Returns the exit status. */
int serve_run(const char *path);

/** `corral check FILE`; without files: the text alone. */
int serve_check(const char *path, bool with_files);

#endif
