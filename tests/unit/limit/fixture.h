/**
 * A limiter with one tenant, and the usual questions to it.
 */
#ifndef CORRAL_UNIT_LIMIT_FIXTURE_H
#define CORRAL_UNIT_LIMIT_FIXTURE_H

#include "limit/limit.h"
#include "unit.h"

enum { TENANT = 3, MINUTE_MS = 60000 };

#define T0 UINT64_C(1795267347349)       /* 2026-11-21 13:22:27.349 */
#define MIDNIGHT UINT64_C(1795305600000) /* that ends the day */
#define UNTOLD ((struct limit_counts){-1, -1})

extern struct limiter *limiter; /* of 1000 counters */
extern struct arena arena;

/** Fixture of a TCase; the end wants all grants settled. */
void set_up(void);
void tear_down(void);

/** Rules of 60 s. */
struct limit_rule tokens(const char *name, uint64_t limit);
struct limit_rule requests(const char *name, uint64_t limit);

/** Ann asks at T0 with 100 tokens of prompt for 50 of output. */
struct limit_request ask_of(const struct limit_rule *rules, size_t count);

/** limit_reserve; *g is NULL on a refusal. */
enum corral_err reserve(const struct limit_request *request, struct limit_verdict *v,
                        struct limit_grant **g);

/** Ann's counter. */
struct limit_usage look(const struct limit_rule *rule, uint64_t now_ms);
void check(const struct limit_rule *rule, uint64_t now_ms, uint64_t used, uint64_t reserved,
           uint64_t debt);

#endif
