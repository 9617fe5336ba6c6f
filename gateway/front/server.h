/**
 * A client's connection, whichever protocol it speaks: whose it is, what it is counted under, how
 * long it may idle. Inside front/ only. server.c serves it until the protocol is known, then
 * h1_server.c or h2_server.c do.
 */
#ifndef CORRAL_FRONT_SERVER_H
#define CORRAL_FRONT_SERVER_H

#include "front/impl.h"
#include "http/h1_chunked.h"
#include "http/h1_head.h"

/** As stall.since_ms: too many answers wait, this one is cut at the next look. */
#define STALL_EVICTED UINT64_MAX

/** Who takes too little: a connection, or a stream of one. */
struct stall {
    uint64_t since_ms; /* 0: takes all there is; STALL_EVICTED */
    uint64_t bytes;    /* taken when the clock was set */
};

enum h1_state {
    H1_IDLE,    /* between requests */
    H1_HEAD,    /* a head has begun */
    H1_BODY,    /* its body goes to the exchange */
    H1_BUSY,    /* the request is whole, the answer is on its way */
    H1_CLOSING, /* the last answer was given */
};

/** HTTP/1.1 of a connection. */
struct h1_server {
    struct exchange *exchange; /* borrowed; NULL: none */
    uint64_t body_left;
    struct shared_rest shared; /* of the answer, not written yet */
    struct stall stall;
    union {
        struct h1_scan scan;       /* until a head is whole: H1_IDLE, H1_HEAD */
        struct h1_chunked chunked; /* of its body: H1_BODY */
    };
    enum h1_state state : 8;
    enum http_framing request_framing : 8;
    bool served; /* has had a request already */
    bool ended;  /* finish or cut was called during exchange_begin */
    bool keep_alive;
    bool is_http_1_0;
    bool is_head;
    bool expect_continue;
    bool answer_chunked;
    bool unread; /* the rest of the request may still come when its answer ends */
};

struct server {
    struct reapable reapable;
    struct list of_front; /* front.strangers until it has shown a credential, then front.servers */
    struct front *front;  /* borrowed */
    struct conn *conn;    /* owned until on_closed */
    struct deadline deadline; /* until the protocol is known; then HTTP/1.1's */
    struct net_peer peer;
    struct tls_names *certificate; /* owned; NULL: the client showed none */
    /* The front retires or drains: its flags say which. NULL: the protocol is not known yet. */
    void (*leave)(void *codec);
    void *codec;         /* borrowed: h1 below, or an h2_server */
    struct h1_server h1; /* within, since most connections are of it */
    uint32_t began_ms;   /* modulo 2^32 */
    uint32_t tenant;     /* whose share of connections it takes; INTERN_NONE: it is a stranger */
    bool tls;
    bool trusted; /* comes from a trusted source */
};

static inline bool server_is_stranger(const struct server *s)
{
    return s->tenant == INTERN_NONE;
}

/** Take over a fresh descriptor; it is counted in house.sources. `tls` NULL: plain. */
void server_start(struct front_listener *fl, int fd, const struct net_address *peer,
                  struct tls_ctx *tls, bool trusted);
/** From now on the connection's events are the codec's, and conn.owner is the codec. */
void server_take_over(struct server *s, const struct conn_events *events,
                      void (*leave)(void *codec), void *codec);
/** The codec's on_closed: counts, logs, frees. */
void server_end(struct server *s, enum corral_err why);
void server_on_eof(struct conn *c);
/** It has shown a credential of that tenant. As client_ops.known. */
MUST_USE enum corral_err server_known(struct server *s, uint32_t tenant);
/** How long it may wait for its next request: a stranger as long as for its first. */
uint64_t server_idle_ms(const struct server *s);
/** Close the stranger that has been here longest, to make room. False: none for a second yet. */
bool server_close_stranger(struct front *f);
/** Set the clock of who takes nothing at the moment, unless it runs. */
void server_stall(struct server *s, struct stall *stall, uint64_t bytes);
/**
 * CE_CLIENT_STALLED when less than 16 KiB were taken in timeouts.write_stall_s, CE_ANSWER_MEMORY
 * for STALL_EVICTED, else CE_OK. Sets the clock anew if more was taken.
 */
MUST_USE enum corral_err server_has_stalled(struct server *s, struct stall *stall, uint64_t bytes);
/**
 * Whether its certificate does not hold under the authorities and lists that are in force now:
 * looked at once after each change of them.
 */
bool server_is_stale(struct server *s);
/**
 * End the connection as its settings say (timeouts.write_stall_s). `unread`: the answer came before
 * the end of its request, the rest of which is read and dropped (timeouts.linger_s,
 * limits.linger_bytes).
 */
void server_finish(struct server *s, bool unread);
/** What a connection that closed for `why` means to its exchanges. */
static inline enum corral_err server_left_why(enum corral_err why)
{
    return why == CE_CLIENT_STALLED || why == CE_ANSWER_MEMORY ? why : CE_CLIENT_GONE;
}

struct client_info server_client(struct server *s, const struct client_ops *ops, void *client);
/** Whoever is idle in HTTP/2 is asked to open no more streams; the others are with their answers.
 */
void server_retire_all(struct front *f);
/** Idle ones close; the others end with their answers. */
void server_drain_all(struct front *f);
void server_close_all(struct front *f);

/** Serve HTTP/1.1, or HTTP/2, on a connection that is open. */
void h1_server_start(struct server *s);
void h2_server_start(struct server *s);

#endif
