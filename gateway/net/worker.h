/**
 * A thread with its own event loop: the loop, its mailbox, its deadlines, its buffers.
 *
 * The loop runs in turns. A turn handles events for about WORKER_EVENTS_US, then some deadlines,
 * mail and connections whose TLS still holds whole records, each for a bounded time; then it sends
 * what was written, runs the turn hook, sends again and frees what was closed. What a turn does not
 * reach comes first in the next one. So no client makes another wait for more than one turn.
 * Everything that belongs to a worker is touched by its thread alone; other threads only call
 * worker_mail.
 */
#ifndef CORRAL_NET_WORKER_H
#define CORRAL_NET_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/block.h"
#include "net/wheel.h"

enum {
    WORKER_SCRATCH_BYTES = 16 * 1024, /* one read takes at most this much */
    WORKER_CIPHER_BYTES = 20 * 1024,  /* first room for what TLS writes in one flush */
    WORKER_HANDSHAKE_STEPS = 4,       /* of TLS in one turn, about a millisecond; the rest wait */
    WORKER_EVENTS_US = 1500,          /* after so long no further event is handled in this turn */
    WORKER_SHARE_US = 500,            /* the same for deadlines, for mail, for TLS, for the hook */
};

/** What another thread sends. Names a thing by numbers, never by pointer. */
struct mail {
    uint32_t kind; /* enum of the receiving upper layer */
    uint32_t index;
    uint64_t generation;
    uint64_t value;
};

/** Something to free after the turn, when no callback can be running on it any more. */
struct reapable {
    struct list link;
    void (*destroy)(struct reapable *r);
};

struct conn;

/** What a turn asks of connections. */
struct worker_conn_ops {
    void (*flush)(struct list *dirty_link); /* of worker.dirty */
    void (*read_again)(struct conn *c);     /* of worker.again */
};

struct worker {
    unsigned index;
    struct event_base *base; /* owned */
    uint64_t now_us;         /* monotonic, of the event that is being handled */
    uint64_t now_ms;         /* the same */
    struct wheel wheel;
    struct block_pool blocks;
    const struct worker_conn_ops *conn_ops; /* static; set with the first connection */
    struct list dirty;                      /* conn.dirty_link */
    struct conn **again; /* owned; their TLS may hold whole records; NULL: it has closed */
    size_t again_count;
    size_t again_capacity;
    struct list reap; /* reapable.link */
    char *scratch;    /* owned; WORKER_SCRATCH_BYTES */
    char *cipher;     /* owned; what TLS wrote in the current flush */
    size_t cipher_len;
    size_t cipher_capacity;
    uint32_t handshake_steps; /* in this turn */
    uint64_t turn_began_us;   /* 0: no event was handled in this turn yet */
    uint64_t share_until_us;  /* when the current part of the turn has had its time; 0: not asked */
    uint64_t last_turn_us;    /* how long the turn before took, from its first event */
    pthread_t thread;         /* set before worker_run; for "is it me?" */
    void *upper;              /* borrowed; what app/ hangs on it */
    void (*on_mail)(struct worker *w, const struct mail *mail);
    /** The end of a turn; may be NULL. True: it has more to do, the next turn comes at once. */
    bool (*on_turn)(struct worker *w);
    bool stop;
    bool hook_has_more; /* on_turn said so */

    pthread_mutex_t mail_lock; /* guards the next three */
    struct mail *inbox;        /* owned */
    size_t inbox_len;
    size_t inbox_capacity;
    struct mail *reading; /* owned; the batch being delivered, this thread only */
    size_t reading_at;    /* the first that was not delivered */
    size_t reading_len;
    size_t reading_capacity;
    int mail_fd; /* eventfd */
    struct event mail_event;
    struct event tick_event;
    uint64_t date_second;
    char date[30]; /* IMF-fixdate of date_second */
};

/** Ends the process when the kernel gives no epoll or eventfd (start-up only). */
struct worker *worker_create(unsigned index);
void worker_destroy(struct worker *w);

/** Run until worker_stop. */
void worker_run(struct worker *w);

/** Leave worker_run after the current turn. Only from the worker's own thread. */
void worker_stop(struct worker *w);

/** From any thread: deliver to on_mail in a later turn, in the order sent. */
void worker_mail(struct worker *w, const struct mail *mail);

/** Refresh now_us and now_ms. Every event callback does it first: it also ends long turns. */
void worker_touch(struct worker *w);

/** Whether the current part of the turn (deadlines, mail, TLS, hook) has had its time. */
bool worker_share_is_spent(struct worker *w);

/** One read of `c` behind the other connections, in this turn or the next; conn.again is set. */
void worker_read_again(struct worker *w, struct conn *c);
void worker_forget_again(struct worker *w, const struct conn *c);

/** Free after this turn. */
void worker_reap(struct worker *w, struct reapable *r, void (*destroy)(struct reapable *r));

/** Free what was handed to worker_reap; for when the loop runs no more. */
void worker_reap_all(struct worker *w);

/** "Sat, 21 Nov 2026 13:22:27 GMT" of now (RFC 9110 section 5.6.7), valid until the next call. */
struct slice worker_date(struct worker *w);

#endif
