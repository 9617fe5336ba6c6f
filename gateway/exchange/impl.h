/**
 * The exchange's inside: shared by the files of exchange/ only.
 *
 * exchange.c: states, timeouts, the ways in and out. body.c: the request body. steps.c: from the
 * head to a slot. admit.c: the slot. dispatch.c: the request to the replica. relay.c: its answer to
 * the client. limits.c: how much. answer.c: what corral says itself. fail.c: the table of errors.
 * account.c: the access line and the counters.
 */
#ifndef CORRAL_EXCHANGE_IMPL_H
#define CORRAL_EXCHANGE_IMPL_H

#include <stdalign.h>

#include "exchange/exchange.h"
#include "exchange/fail.h"
#include "limit/limit.h"
#include "ollama/request.h"
#include "ollama/stream.h"

enum { EX_ROOM_BYTES = 448 }; /* what most exchanges keep until their end */
enum ex_state {
    EX_START,    /* within exchange_begin */
    EX_BODY,     /* the request body comes in */
    EX_QUEUED,   /* waits for a slot */
    EX_SENT,     /* the request is on its way; waits for the response head */
    EX_RELAY,    /* the answer passes through */
    EX_ANSWERED, /* corral's own answer is written */
    EX_DRAINING, /* the client is gone, the upstream request runs out its grace */
    EX_DONE,
    EX_STATE_COUNT
};

struct exchange {
    struct reapable reapable;
    struct list of_engine; /* engine.exchanges */
    struct engine *engine; /* borrowed */
    struct client_info client;
    bool has_client; /* finish or cut not called yet */
    struct arena arena;
    struct snapshot *snapshot; /* counted */
    struct deadline deadline;  /* of the state */
    enum ex_state state;
    char request_id[REQUEST_ID_BYTES];

    /* the request, copied into the arena where it outlives the head */
    const struct route *route; /* static */
    struct slice route_param;
    struct slice method;
    struct slice path;      /* for the log */
    struct slice client_id; /* the client's own X-Request-Id, only logged */
    struct slice user_agent;
    struct slice field; /* of the head, that it is refused for; or empty */
    struct slice traceparent;
    struct slice tracestate;
    bool expects_body;
    bool by_certificate; /* the principal is known by nothing else */
    struct principal principal;
    struct buf body;
    struct arena parsing;         /* what reading the body left: goes with the body */
    size_t body_counted;          /* bytes of it in house.bodies, for the principal's tenant */
    struct body_reading *reading; /* owned; NULL: the body is small, or was read */
    struct request_info info;
    struct slice changed; /* in the request, for people; empty: nothing */
    bool may_leave;       /* the model may be one that runs elsewhere */
    uint32_t model;       /* interned; INTERN_NONE: no model */

    /* how much; both in the arena; NULL: the tenant has no limits */
    struct limit_verdict *verdict;
    struct limit_grant *grant; /* until it is settled */

    /* the queue and the upstream */
    struct ticket_ref ticket;
    bool has_slot;
    bool cold;
    uint8_t put_back; /* times that nothing of it was sent */
    bool sent_again;  /* a kept connection was closed before it arrived */
    uint32_t replica; /* interned; INTERN_NONE: none chosen */
    struct call *call;
    struct splice_pos sent;
    bool body_sent;

    /* the answer */
    struct stream stream;
    bool stream_ready;
    bool write_failed;  /* the client's bytes could not be kept: its framing is broken */
    bool held;          /* waits for its client, counted in house.answers */
    bool passing_error; /* the upstream's own error answer is relayed */
    unsigned status;
    bool responded;
    uint64_t bytes_out;
    uint64_t charged_chunks; /* of stream.chunks, given to the ledger */
    enum corral_err reason;  /* CE_OK, or why it ended otherwise */

    /* monotonic microseconds; 0: not reached */
    uint64_t began_us;
    uint64_t queued_us;
    uint64_t granted_us;
    uint64_t sent_us;
    uint64_t first_byte_us;
    uint64_t last_chunk_us;
    alignas(16) char room[EX_ROOM_BYTES]; /* the arena begins here */
};

/* exchange.c */
void exchange_set_state(struct exchange *ex, enum ex_state next, uint64_t timeout_ms);
/** The answer is complete: tell the client's codec, account, free. */
void exchange_finish(struct exchange *ex);
/** Break the answer off (after its head) and end. */
void exchange_cut(struct exchange *ex, enum corral_err why);
/** End in whatever state: gives everything back, logs, frees. No client is told. */
void exchange_end(struct exchange *ex);
/** Give back the slot; UINT32_MAX: counts are not known. */
void exchange_release_slot(struct exchange *ex);

/* steps.c */
void exchange_route(struct exchange *ex, const struct http_request *request);
/** A small body is whole: read it and go on. */
void exchange_body_ready(struct exchange *ex);

/* dispatch.c */
void exchange_dispatch(struct exchange *ex, const struct replica *replica);
extern const struct call_events exchange_call_events;
/** The call has ended badly (and is gone): count it, retry or tell the client. */
void exchange_upstream_failed(struct exchange *ex, enum corral_err why, bool reached);

/* relay.c */
void exchange_on_head(struct call *c, const struct http_response_head *head);
void exchange_on_body(struct call *c, struct slice bytes);
void exchange_on_read_done(struct call *c);
void exchange_on_end(struct call *c);
/** The upstream broke after its head. */
void exchange_upstream_cut(struct exchange *ex, enum corral_err why);
void exchange_charge(struct exchange *ex, bool all);

/* answer.c */
void exchange_answer_json(struct exchange *ex, unsigned status, struct slice body,
                          const struct answer_field *fields, size_t field_count, bool close);
void exchange_answer_local(struct exchange *ex);
void exchange_answer_merged(struct exchange *ex);
/** JSON of this caller's own and of any size. Takes `body` over. */
void exchange_answer_private(struct exchange *ex, struct buf *body,
                             const struct answer_field *fields, size_t field_count);

/* account.c */
void exchange_account(struct exchange *ex);
void exchange_count_cancel(struct exchange *ex, enum ex_state state);

#endif
