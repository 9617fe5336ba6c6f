/**
 * HTTP/2 in the front: h2_server.c is the connection (deadlines, flushes, its end), h2_request.c a
 * stream of it, between the session and its exchange.
 */
#ifndef CORRAL_FRONT_H2_SERVER_H
#define CORRAL_FRONT_H2_SERVER_H

#include "front/server.h"
#include "http/h2.h"

/** What the deadline is set for. */
enum h2_alarm { ALARM_NONE, ALARM_TICK, ALARM_IDLE };

struct h2_server {
    struct reapable reapable;
    struct server *server;      /* borrowed; ends with us */
    struct front *front;        /* borrowed */
    struct conn *conn;          /* borrowed: the server's */
    struct h2_session *session; /* owned */
    struct list requests;       /* h2_request.of_server */
    struct list waiting;        /* h2_request.of_waiting: bytes of answers that no frame took yet */
    struct list drained;        /* h2_request.of_waiting: was blocked, all is taken */
    struct list lingering;      /* h2_request.of_waiting: answered, the request still comes */
    struct deadline deadline;
    enum h2_alarm alarm;
    struct stall stall;
    uint64_t began_ms;
    uint64_t head_since_ms; /* 0: no head is on its way */
    int32_t head_stream;    /* whose head that is */
    uint64_t refuse_at_ms;  /* 0: not draining */
    enum corral_err fault;  /* why it ends; told already */
    size_t out_bytes;       /* sum of h2_request.out */
    bool told_worn_out;
    bool write_failed;
};

struct h2_request {
    struct h2_stream stream; /* first: the session's view of us */
    struct reapable reapable;
    struct h2_server *server;
    struct exchange *exchange; /* borrowed; NULL: none any more */
    struct list of_server;
    struct list of_waiting;
    struct block *out;         /* owned; body bytes for frames to come */
    struct shared_rest shared; /* the same, instead of `out` */
    uint64_t taken_bytes;
    struct stall stall;
    uint64_t linger_until_ms; /* answered; the rest of the request is dropped until then */
    uint64_t dropped_ms;      /* when some of it came last, or the answer ended */
    uint64_t dropped_bytes;
    bool wants_body;
    bool expect_continue;
    bool is_head;
    bool timed_out; /* answered 408: there is no use in waiting for the rest */
    bool ended;     /* finish was called: what is in `out` is the last */
    bool cut;       /* reset when `out` is empty */
    bool blocked;   /* the exchange was told to wait */
};

extern const struct h2_events h2_request_events;

/** Its upstream work ends at once, whatever the connection still has to say. */
void h2_request_leave(struct h2_request *r, enum corral_err why);
/** Leave, and free after the turn. */
void h2_request_end(struct h2_request *r, enum corral_err why);
/** The rest of a request that was answered already comes too slowly, or is too long. */
void h2_request_end_lingering(struct h2_request *r);

#endif
