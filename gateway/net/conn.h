/**
 * One transport connection: plain TCP or TLS, to a client or to an upstream.
 *
 * Bytes come in through on_data, straight from the worker's read buffer; what the owner does not
 * consume is kept (up to in_max_bytes) and shown again in front of the next bytes. Bytes go out
 * through conn_write: they are collected and sent once per loop turn. The owner stops producing
 * while conn_pending is not 0 and goes on at on_drained.
 *
 * A connection is closed by its owner (conn_close, conn_finish) or by the peer; then on_closed is
 * called once, and the memory is freed after the turn. No callback comes after on_closed, and none
 * before the call that made the connection has returned.
 */
#ifndef CORRAL_NET_CONN_H
#define CORRAL_NET_CONN_H

#include "net/address.h"
#include "net/conn_ending.h"
#include "net/worker.h"

struct conn;
struct ssl_st;
struct tls_client;
struct tls_ctx;

/** In the order in which they happen. `owner` is conn.owner. */
struct conn_events {
    /** Connected, TLS handshake done. May be NULL. */
    void (*on_open)(struct conn *c);
    /** Returns how many bytes were consumed (0 to bytes.len). */
    size_t (*on_data)(struct conn *c, struct slice bytes);
    /** The peer will send nothing more. The owner closes (there is no half-close, CONTRACTS). */
    void (*on_eof)(struct conn *c);
    /** A flush begins: the last moment to write for it. Must not close. May be NULL. */
    void (*on_flush)(struct conn *c);
    /** A flush came back short: the peer takes nothing at the moment. Each time. May be NULL. */
    void (*on_blocked)(struct conn *c);
    /** All pending output went to the kernel after a short send. May be NULL. */
    void (*on_drained)(struct conn *c);
    /** Gone. CE_OK: closed by the owner or after conn_finish. The owner drops its pointer. */
    void (*on_closed)(struct conn *c, enum corral_err why);
};

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_OPEN,
    CONN_FINISHING, /* sends what is pending, then shuts down its write side */
    CONN_LINGERING, /* reads and drops until the peer closes, so that no RST eats our answer */
    CONN_CLOSED,
    CONN_STATE_COUNT
};

struct conn {
    struct reapable reapable;
    struct worker *worker;            /* borrowed */
    const struct conn_events *events; /* static */
    void *owner;                      /* borrowed */
    const struct transport *transport;
    struct ssl_st *ssl;            /* owned; NULL: plain */
    struct tls_ctx *tls;           /* counted; a server's side */
    struct tls_client *tls_client; /* counted; a client's side */
    const char *fault;             /* static text: why the handshake failed, for the log */
    struct event read_event;
    struct event *write_event; /* owned; NULL: nobody waits for the peer to take bytes */
    struct list dirty_link;    /* worker.dirty */
    struct block *in;          /* owned; not consumed yet */
    struct block *out;         /* owned; plaintext to send */
    struct block *wire;        /* owned; TLS records the kernel did not take */
    struct deadline deadline;
    uint64_t bytes_out; /* plaintext bytes the kernel (or TLS) has taken */
    union {
        size_t finish_pending;    /* CONN_FINISHING: conn_pending when the deadline was set */
        uint64_t linger_until_ms; /* CONN_LINGERING */
    };
    struct conn_ending ending; /* from conn_finish on */
    uint64_t key_updates_since_ms;
    uint32_t key_updates; /* that the peer sent since then */
    int fd;
    uint32_t in_max_bytes;
    uint8_t state;
    bool offers_h1; /* by ALPN; a server's side */
    bool offers_h2;
    bool reading;        /* the owner wants bytes */
    bool deaf;           /* the kernel refused to watch it: it will be closed */
    bool delivering : 1; /* on_data is running */
    bool again : 1;      /* in worker.again */
    bool want_drained;   /* a send came back short: tell when all is gone */
    bool eof_seen;
};

/** Take over an accepted descriptor. `tls` NULL: plain. Handshake limited to handshake_ms. */
struct conn *conn_accept(struct worker *w, int fd, struct tls_ctx *tls, uint64_t handshake_ms,
                         const struct conn_events *events, void *owner);

/**
 * Connect to an upstream; on_open or on_closed (CE_UPSTREAM_CONNECT, CE_UPSTREAM_CONNECT_TIMEOUT,
 * CE_TLS_HANDSHAKE) follows in a later turn. `tls` NULL: plain; else there is no way back to plain.
 * timeout_ms bounds both connecting and the handshake, together.
 *
 * @return NULL when no descriptor could be had or the kernel refuses at once.
 */
struct conn *conn_connect(struct worker *w, const struct net_address *to, struct tls_client *tls,
                          uint64_t timeout_ms, const struct conn_events *events, void *owner);

/** Collect bytes for the flush at the end of the turn. CE_NO_MEMORY: close the connection. */
MUST_USE enum corral_err conn_write(struct conn *c, struct slice bytes);

/** A flush shall come at the end of the turn, though nothing is written yet: see on_flush. */
void conn_want_flush(struct conn *c);

/** Call on_drained when what is pending now has gone, also when no send comes back short. */
void conn_want_drained(struct conn *c);

size_t conn_pending(const struct conn *c); /* bytes not yet taken by the kernel */

/** Send what is pending now. The worker calls it at the end of the turn. May close. */
void conn_flush(struct conn *c);

/**
 * The peer streams: let the kernel acknowledge several segments at once (TCP_QUICKACK, tcp(7)).
 * Each as it is read costs a third of a chunk. It forgets that: ask again now and then.
 */
void conn_acknowledge_late(struct conn *c);

/** Stop and start reading. Bytes already read stay kept. */
void conn_pause_read(struct conn *c);
void conn_resume_read(struct conn *c);

/** Show the kept bytes to on_data again (after the owner became ready for them). */
void conn_deliver_kept(struct conn *c);

/** Bytes kept because the owner has not consumed them. */
size_t conn_kept(const struct conn *c);

/** Send what is pending, close the write side, drop what comes, close. NULL: the defaults. */
void conn_finish(struct conn *c, const struct conn_ending *ending);

/** Close now. Pending bytes are dropped. on_closed comes before this returns. */
void conn_close(struct conn *c, enum corral_err why);

/** Close so that the peer sees a reset: for answers whose framing cannot show a cut. */
void conn_reset(struct conn *c);

/** Detach: no callbacks any more, then close. For owners that are going away. */
void conn_abandon(struct conn *c);

/** Whether the peer has closed, without consuming bytes (poll POLLRDHUP). For paused readers. */
bool conn_peer_gone(const struct conn *c);

#endif
