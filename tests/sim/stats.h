/**
 * stats.h: what GET /sim/stats tells.
 */
#ifndef SIM_STATS_H
#define SIM_STATS_H

#include <stdint.h>

#include "sbuf.h"

#define ROUTE_MAX 40u
#define ABORT_MAX 64u

struct sim;

struct abort_note {
    uint64_t after_ms; /* since the request was complete */
    const char *phase; /* static */
    const char *route; /* static */
};

struct stats {
    uint64_t conns_open;
    uint64_t conns_total;
    uint64_t requests[ROUTE_MAX];
    uint64_t requests_other;
    uint64_t in_flight;
    uint64_t max_in_flight;
    uint64_t served;
    uint64_t aborted;
    struct abort_note aborts[ABORT_MAX]; /* a ring */
    uint64_t loads;
    uint64_t reloads;
    uint64_t unloads;
    uint64_t loads_aborted;
    uint64_t loading_now;
    uint64_t max_loading;
    uint64_t busy;
    uint64_t tokens_sent;
    uint64_t chunks_sent;
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t leaked;
    uint64_t wedged;
    uint64_t runner_deaths;
    uint64_t max_late_ms;
};

void stats_print(struct sim *s, struct sbuf *out);
void stats_reset(struct sim *s);

#endif
