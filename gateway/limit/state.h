/**
 * Budgets over a restart: what calendar rules counted, in a file.
 *
 * Model: `limits.db` in the state directory is an SQLite database of (tenant, counter key, end of
 * the window, used, debt) and of the seed that makes the keys. A helper thread wakes once a second,
 * copies the counters that changed out of the accounts, a few at a time, and then writes them in
 * one transaction. So a crash loses the last second at most, and nobody waits for a disk: no
 * account's mutex is held over I/O or an allocation. Reservations are not kept: they end with the
 * process. Rules of seconds are not kept either.
 *
 * Called by app/, from the main thread, or from its helper while main waits for that. The file is
 * locked as long as it is open.
 */
#ifndef CORRAL_LIMIT_STATE_H
#define CORRAL_LIMIT_STATE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct intern;
struct limiter;
struct limit_state;
struct log_source;

enum { LIMIT_STATE_PERIOD_MS = 1000, LIMIT_STATE_FAULT_BYTES = 1024 };

/** A sentence for the operator: which file, what is wrong, what to do. */
struct limit_state_fault {
    char text[LIMIT_STATE_FAULT_BYTES];
};

/**
 * Open or make the file, check it, take the seed over and restore the counters of all tenants that
 * have an account. Before the first limit_reserve. Blocks.
 *
 * @param directory  exists; corral may write in it.
 * @param l          borrowed until limit_state_close; its budgets are kept from now on.
 * @param tenants    borrowed as long; tenants have the same numbers there as in `l`.
 * @param out_fault  [out] on an error.
 * @return CE_OK; CE_IO: the file cannot be made, opened or locked (another corral has it), is
 *         damaged, or is not corral's. Then it was not changed.
 */
MUST_USE enum corral_err limit_state_open(const char *directory, struct limiter *l,
                                          struct intern *tenants,
                                          struct limit_state_fault *out_fault,
                                          struct limit_state **out);

/**
 * After limiter_add_tenant on a reload, before the snapshot is in use: restore the counters of
 * tenants whose account is new. May wait for a write that is under way.
 *
 * @return CE_OK; CE_IO: some could not be read; their counters begin at zero.
 */
MUST_USE enum corral_err limit_state_restore(struct limit_state *s,
                                             struct limit_state_fault *out_fault);

/** Start the thread. @param log  a source of its own, until limit_state_stop; may be NULL. */
void limit_state_start(struct limit_state *s, struct log_source *log);

/** Write what changed, end the thread. No limit_meter or limit_settle after it is kept. */
void limit_state_stop(struct limit_state *s);

/** Give the file back. Stops first, if need be. */
void limit_state_close(struct limit_state *s);

/** For the scrape and for tests; from any thread. */
struct limit_state_counts {
    uint64_t rows_written;
    uint64_t writes_failed; /* transactions; their rows are tried again after a second */
    uint64_t rows_restored;
    uint64_t rows_dropped; /* not restored: the account has no room */
};
struct limit_state_counts limit_state_counts(struct limit_state *s);

#endif
