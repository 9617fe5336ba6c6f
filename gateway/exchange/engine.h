/**
 * A worker's upper parts: pools, token cache, counters, the exchanges it runs.
 */
#ifndef CORRAL_EXCHANGE_ENGINE_H
#define CORRAL_EXCHANGE_ENGINE_H

#include "auth/auth.h"
#include "exchange/house.h"
#include "exchange/refusal_log.h"
#include "obs/metrics.h"
#include "upstream/call.h"

struct answer_cache;
struct exchange;

enum {
    ENGINE_SOURCE_SLOTS = 256,
    ENGINE_SCRATCH_BYTES = 8 * 1024,
};

/** Failed credentials of the sources seen last: a small table, newest wins. */
struct failure_window {
    uint64_t source;
    uint64_t since_ms;
    uint32_t count;
};

struct engine {
    struct house *house;       /* borrowed */
    struct worker *worker;     /* borrowed */
    struct snapshot *snapshot; /* counted */
    struct pool *pool;
    struct auth_cache *tokens;
    struct metrics_table *metrics;
    struct log_source *log;
    struct replica_view *view; /* counted; refreshed when the board's version moved */
    unsigned view_version;
    struct list exchanges; /* exchange.of_engine */
    size_t exchange_count;
    struct list readers;         /* body_tenant.of_engine: large bodies that are being read */
    struct list spares;          /* exchange.of_engine of ended ones */
    size_t spare_room;           /* how many more of them are kept */
    struct exchange **by_ticket; /* owned vector, by ticket index; NULL: none */
    size_t by_ticket_count;
    struct ticket_ref *granted; /* owned; grants of this turn to this very worker */
    size_t granted_at;          /* the first that was not delivered */
    size_t granted_count;
    size_t granted_capacity;
    uint64_t id_seed;
    uint64_t id_count;
    struct failure_window failures[ENGINE_SOURCE_SLOTS];
    struct refusal_log refusals;
    struct answer_cache *answers; /* owned */
    void *scratch; /* owned; ENGINE_SCRATCH_BYTES for what is needed while a body is read */
    bool draining;
};

struct engine *engine_create(struct house *h, struct worker *w, struct log_source *log);
/** No exchange may be left. */
void engine_destroy(struct engine *e);

/** The current replica view, borrowed until the next call. */
const struct replica_view *engine_view(struct engine *e);

/** Whether a newer one has been published since. */
bool engine_view_is_old(const struct engine *e);

/** Mail of the kinds this layer knows (MAIL_GRANT, MAIL_SNAPSHOT). */
void engine_on_mail(struct engine *e, const struct mail *mail);

/**
 * End of a loop turn: grants that this worker caused for itself. Returns whether the time of this
 * turn did not suffice.
 */
bool engine_on_turn(struct engine *e);

/** ledger_notify for house.ledger; arg is the house. */
void engine_notify(void *arg, unsigned worker, struct ticket_ref ref);

/** Remember which exchange a ticket belongs to; NULL forgets. */
void engine_map_ticket(struct engine *e, struct ticket_ref ref, struct exchange *ex);

/** A fresh request id: "req_" and 24 hex digits, into `out`. */
enum { REQUEST_ID_BYTES = 28 };
void engine_request_id(struct engine *e, char out[static REQUEST_ID_BYTES]);

/** Count a wrong credential of a source; whether it had too many of late. */
bool engine_failed_too_often(struct engine *e, uint64_t source, bool trusted);
void engine_count_failure(struct engine *e, uint64_t source);

#endif
