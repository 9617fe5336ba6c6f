/**
 * One request to one replica over HTTP/1.1, on a pooled connection.
 *
 * The caller writes the head and body, then gets the response head, pieces of the decoded body, and
 * exactly one of on_end and on_fail. A response is complete when its framing says so; a connection
 * that ends before is CE_UPSTREAM_CUT. Interim responses (1xx) are skipped, at most
 * CALL_MAX_INTERIM of them; redirects, upgrades and coded bodies are failures: a replica may be
 * hostile. The connection goes back to the pool only after a clean exchange.
 *
 * Everything happens on the pool's worker. Callbacks come from the loop, never from inside
 * call_start.
 */
#ifndef CORRAL_UPSTREAM_CALL_H
#define CORRAL_UPSTREAM_CALL_H

#include "http/h1_chunked.h"
#include "http/h1_head.h"
#include "net/conn.h"
#include "upstream/replica.h"

enum { CALL_MAX_INTERIM = 8, POOL_MAX_IDLE = 64 };

struct call;

struct call_events {
    /** The connection is there. Not for one that was open before call_start. May be NULL. */
    void (*on_open)(struct call *c);
    void (*on_head)(struct call *c, const struct http_response_head *head);
    void (*on_body)(struct call *c, struct slice bytes);
    /** The call is freed after this. */
    void (*on_end)(struct call *c);
    /** The call is freed after this. */
    void (*on_fail)(struct call *c, enum corral_err why);
    /** What was written is gone to the kernel; more may be written. May be NULL. */
    void (*on_drained)(struct call *c);
    /** The last byte of a read was delivered: everything that came together has been seen. May be
     * NULL. */
    void (*on_read_done)(struct call *c);
};

struct pool;

struct pool_times {
    uint64_t connect_ms;
    uint64_t idle_ms; /* how long a connection is kept without a call; 0: it is not */
};

/** Idle connections of one worker to all replicas. */
struct pool *pool_create(struct worker *w, struct pool_times times);
void pool_destroy(struct pool *p);
/** For connections that are opened or become idle from now on. */
void pool_set_times(struct pool *p, struct pool_times times);

enum call_origin {
    CALL_KEPT,  /* on a connection that was kept, if there is one */
    CALL_FRESH, /* on a new one */
};

/**
 * Begin a call. NULL when no connection could be begun (descriptors, unreachable at once).
 * `owner` is what call_owner gives back.
 */
struct call *call_start(struct pool *p, const struct replica *r, enum call_origin origin,
                        const struct call_events *events, void *owner);
void *call_owner(const struct call *c);

/** Whether the request can go now, on a connection of the pool. Else on_open or on_fail follows;
 * what is written before waits for it. */
bool call_is_open(const struct call *c);

/** What the Host field says of the replica; lives as long as the call. */
struct slice call_host(const struct call *c);

/** Bytes of the request. CE_NO_MEMORY: drop the call. */
MUST_USE enum corral_err call_write(struct call *c, struct slice bytes);

/** Send what was written now, not at the end of the turn. May end the call. */
void call_flush(struct call *c);

/** The request is complete; a response that comes earlier closes the connection afterwards. */
void call_request_done(struct call *c);

/** on_drained will come when what is written now has gone, however quickly that is. */
void call_want_drained(struct call *c);

/** Bytes written that the kernel has not taken. */
size_t call_pending(const struct call *c);

/** What was wrong with its TLS, for the log: static text; NULL: nothing was. Also in on_fail. */
const char *call_fault(const struct call *c);

/** Whether any byte of the request may have reached the replica. */
bool call_sent_anything(const struct call *c);

/**
 * In on_fail: the connection was kept from an earlier call and closed before any byte of an answer.
 * CALL_STALE: and nothing of the request was received, it may be sent again (upstream/receipt.h).
 */
enum call_staleness { CALL_NOT_STALE, CALL_MAYBE_STALE, CALL_STALE };
enum call_staleness call_staleness(const struct call *c);

void call_pause(struct call *c);
void call_resume(struct call *c);

/** Give the call up and close its connection now. No callback follows. */
void call_drop(struct call *c);

#endif
