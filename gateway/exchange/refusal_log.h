/**
 * How many lines the log gets about clients that have no valid credential.
 *
 * Whoever sends requests that are refused costs a line for each. Of one source address the first
 * log.refusals_per_10s of ten seconds are written, the rest is counted; a line "access.sampled" at
 * the end of the ten seconds says how many. One table for each worker; sources share its places.
 */
#ifndef CORRAL_EXCHANGE_REFUSAL_LOG_H
#define CORRAL_EXCHANGE_REFUSAL_LOG_H

#include "net/address.h"
#include "net/worker.h"
#include "obs/log.h"
#include "obs/metrics.h"

enum { REFUSAL_PLACES = 256, REFUSAL_WINDOW_MS = 10 * 1000 };

struct refusal_window {
    struct net_peer peer; /* whom the line names: the first of its source */
    uint64_t source;
    uint64_t since_ms;
    uint32_t count; /* 0: the place is free */
};

struct refusal_log {
    struct worker *worker;         /* borrowed */
    struct log_source *log;        /* borrowed */
    struct metrics_table *metrics; /* borrowed */
    struct deadline deadline;      /* armed while lines were left out */
    uint32_t per_window;           /* log.refusals_per_10s */
    struct refusal_window windows[REFUSAL_PLACES];
};

void refusal_log_init(struct refusal_log *r, struct worker *w, struct log_source *log,
                      struct metrics_table *metrics);
/** Writes what was left out so far. */
void refusal_log_finish(struct refusal_log *r);

/** Whether a line about this peer is written. False: it is counted. */
bool refusal_log_takes(struct refusal_log *r, const struct net_peer *peer);

#endif
