/**
 * The commands that need no server: keys and tokens. Called by main.c, argv[0] is the command word.
 *
 * What was asked for goes to stdout, everything else to stderr as sentences that say what to do.
 * Exit status: 0 done, 1 failed, 2 wrong command line.
 */
#ifndef CORRAL_APP_CLI_H
#define CORRAL_APP_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/slice.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_key(int argc, char **argv);
int cli_keygen(int argc, char **argv);
int cli_token(int argc, char **argv);

/** One `--name VALUE`, or a bare `--name`. */
struct cli_option {
    const char *name;   /* without dashes */
    const char **value; /* where its value goes; NULL for a flag */
    bool *flag;         /* where a flag goes */
    bool required;
};

struct cli_command {
    const char *name; /* "corral key create" */
    const char *help; /* the whole text of --help */
    const struct cli_option *options;
    size_t option_count;
    const char **positional; /* where the one other argument goes; NULL: there is none */
};

enum cli_next { CLI_GO, CLI_SHOWN, CLI_WRONG };

/** Read argv[1..]. CLI_SHOWN: help was printed. CLI_WRONG: the reason was printed. */
MUST_USE enum cli_next cli_read(const struct cli_command *c, int argc, char **argv);

/** "corral key create: sentence" to stderr; gives CLI_FAILED. */
int cli_fail(const struct cli_command *c, const char *format, ...) PRINTF_LIKE(2, 3);

/**
 * Text of others to stdout, on a terminal perhaps: what would steer it, or is not to be seen, is
 * written as \uXXXX. Line ends and tabs stay, so that JSON stays JSON.
 */
void cli_print_visible(struct slice text);

/** One of several commands below a word ("key"): runs it, or says which there are. */
struct cli_choice {
    const char *name;
    int (*run)(int argc, char **argv);
};
int cli_choose(const char *help, const struct cli_choice *choices, int argc, char **argv);

#endif
