/**
 * Prometheus counters and histograms, one table per thread that counts.
 *
 * A series is (family, up to three label numbers); numbers are interned names or small enums, so no
 * label text ever comes from a client. A table has one writer and a fixed number of places; when it
 * is full, new series of a family are counted under label numbers 0 ("other"). The scrape sums the
 * tables. Gauges are not kept here: the scrape asks whoever knows.
 */
#ifndef CORRAL_OBS_METRICS_H
#define CORRAL_OBS_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum metric {
    M_REQUESTS,
    M_AUTH_FAILURES,
    M_LIMITED,
    M_SHADOW_LIMITED,
    M_QUEUE_WAIT,
    M_LOAD_WAIT,
    M_TTFT,
    M_INTER_TOKEN,
    M_TOKENS,
    M_CANCELS,
    M_UPSTREAM_FAILURES,
    M_TRUNCATED,
    M_OVERHEAD,
    M_WORKER_TURN,
    M_RELOADS,
    M_CONNECTIONS,
    M_CONNECTIONS_REFUSED,
    M_H2_CONNECTIONS,
    M_H2_ENDED,
    M_H2_MALFORMED,
    M_LOG_SAMPLED,
    M_RETRIES,
    M_COUNT
};

/** What a label's number means; the scrape's resolver turns it into text. */
enum metric_label {
    ML_NONE,
    ML_TENANT,
    ML_MODEL,
    ML_REPLICA,
    ML_ROUTE,
    ML_STATUS,
    ML_REASON, /* enum corral_err */
    ML_DIRECTION,
    ML_PHASE,
    ML_DIALECT,
    ML_RESULT,
    ML_LIMIT,
};

enum { METRICS_PLACES = 8192, METRICS_LABELS = 3, METRICS_BUCKETS = 16 };

struct metrics_table;

struct metrics_table *metrics_table_create(void);
void metrics_table_destroy(struct metrics_table *t);

/** Count. Only from the table's own thread; NULL table: nothing. Labels the family has not: 0. */
void metrics_add(struct metrics_table *t, enum metric m, uint32_t a, uint32_t b, uint32_t c,
                 uint64_t value);

/** Observe a duration in microseconds into a histogram family (which has no labels). */
void metrics_observe(struct metrics_table *t, enum metric m, uint64_t us);

/** Sum of one series over the tables; for tests and the shutdown line. */
uint64_t metrics_sum(struct metrics_table *const *tables, size_t count, enum metric m, uint32_t a,
                     uint32_t b, uint32_t c);

/** Turns a label number into text; must not keep the table locked. */
typedef struct slice metrics_resolve(void *arg, enum metric_label label, uint32_t number);

/** Append all families in Prometheus text format 0.0.4. */
MUST_USE enum corral_err metrics_write(struct metrics_table *const *tables, size_t count,
                                       metrics_resolve *resolve, void *arg, struct buf *out);

#endif
