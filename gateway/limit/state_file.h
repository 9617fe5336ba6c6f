/**
 * The file behind state.c: limits.db, an SQLite database.
 *
 * One connection, locked against others, used by one thread at a time (state.c has the mutex). All
 * calls block on the disk.
 */
#ifndef CORRAL_LIMIT_STATE_FILE_H
#define CORRAL_LIMIT_STATE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "limit/account.h"
#include "limit/state.h"

struct state_file;

struct state_row {
    struct counter_key key;
    uint64_t ends_ms;
    uint64_t used;
    uint64_t debt;
    uint32_t tenant;
};

/** As limit_state_open says. */
MUST_USE enum corral_err state_file_open(const char *directory, struct limit_state_fault *out_fault,
                                         struct state_file **out);
void state_file_close(struct state_file *f);

/** Of the counter keys; drawn when the file was made. */
uint64_t state_file_seed(const struct state_file *f);

/** What went wrong last. */
const char *state_file_error(const struct state_file *f);

/** All rows of one tenant, one by one. The row's tenant is not set. CE_IO. */
MUST_USE enum corral_err state_file_read(struct state_file *f, struct slice tenant,
                                         void (*on_row)(void *arg, const struct state_row *row),
                                         void *arg);

/**
 * Begin a transaction, add rows to it, delete what is long over, end it. Between begin and end
 * errors are kept; end tells them, and nothing was written then: CE_IO.
 */
void state_file_begin(struct state_file *f);
void state_file_put(struct state_file *f, struct slice tenant, const struct state_row *row);
void state_file_prune(struct state_file *f, uint64_t now_ms);
MUST_USE enum corral_err state_file_end(struct state_file *f);

#endif
