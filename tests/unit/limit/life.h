/**
 * Lives of a process that keeps its budgets in a folder of the test's own.
 */
#ifndef CORRAL_UNIT_LIMIT_LIFE_H
#define CORRAL_UNIT_LIMIT_LIFE_H

#include "base/arena.h"
#include "base/intern.h"
#include "limit/impl.h"
#include "limit/state.h"
#include "unit.h"

/* One life: its limiter, its tenants, its state. */
struct life {
    struct limiter *limiter;
    struct intern *tenants;
    struct limit_state *state;
    struct arena arena;
};

enum { DAILY, MONTHLY, MINUTELY, RULES };

extern char folder[];
extern char file[]; /* limits.db in it */
extern struct limit_state_fault fault;

/** Fixture of a TCase: the folder, empty. */
void set_up(void);
void tear_down(void);

/** Ends the test, also in a child process, where check's own assertions would garble its report. */
void must(bool ok);

struct life prepare(uint32_t counters);
uint32_t add_tenant(struct life *l, const char *name);
enum corral_err try_open(struct life *l);

/** 100,000 counters, tenant "acme", its state restored. */
struct life begin(void);
void end(struct life *l);

/** Reserve for all rules: daily (per user), monthly (1000) and minute. */
struct limit_grant *ask(struct life *l, const char *tenant, const char *user, uint64_t tokens);

/** Reserve, meter, settle. */
void use(struct life *l, const char *tenant, const char *user, uint64_t tokens);
struct limit_usage look(struct life *l, const char *tenant, const char *user, int rule);

/** Start, let it write all, stop. */
void write_now(struct life *l);

/** At most ten seconds. */
void wait_until(bool (*done)(void *arg), void *arg);

#endif
