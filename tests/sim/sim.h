/**
 * sim.h: the whole of one ollama-sim, its connections and its jobs. One thread; whoever holds a
 * struct conn may assume it lives until the next tick, because closing only unlinks it.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "conf.h"
#include "fault.h"
#include "list.h"
#include "sbuf.h"
#include "stats.h"
#include "wheel.h"

struct job;
struct model;

/** One request as read from the wire; all text is copied, nothing points into the buffer. */
struct request {
    char method[16];
    char path[512]; /* percent-decoded */
    char query[256];
    char param[256]; /* the :name part of the route's path */
    char host[256];
    char origin[256];
    bool http10;
    bool close; /* asked for, or HTTP/1.0 without keep-alive */
    bool keep10;
    bool expect;
    bool chunked;
    bool has_length;
    uint64_t length;
};

enum conn_state {
    CONN_READING, /* waiting for or reading a request */
    CONN_BUSY,    /* an exchange runs */
    CONN_CLOSING, /* bytes left to send, then close */
    CONN_DEAD     /* unlinked, freed on the next tick; a leaked one keeps its descriptor */
};

struct conn {
    struct sim *sim; /* borrowed */
    int fd;
    enum conn_state state;
    struct event read_event;
    struct event write_event;
    struct list link;   /* sim.conns or sim.reap */
    struct timer timer; /* delays of faults: hang with an end, dribble, idle bytes */
    struct sbuf in;
    struct sbuf out;
    size_t body_at;   /* offset of the body in `in`, 0 while the head is incomplete */
    size_t chunk_at;  /* where the next chunk line starts */
    struct sbuf body; /* decoded chunked body */
    bool rst_on_close;
    bool sent_continue;
    bool feeding; /* httpin_feed() is on the stack */

    /* the exchange */
    struct request req;
    const struct route *route;
    struct job *job; /* owned while an inference runs */
    struct plan plan;
    uint64_t start_ms;
    bool head_sent;
    bool chunked; /* the response is */
    bool streaming;
    bool events; /* an event stream of /v1/responses or /v1/messages was asked for */
    uint64_t chunks;
    uint64_t body_bytes;
    bool cors;         /* an allowed foreign Origin: the response says so */
    bool done;         /* answered; nothing may be sent for this exchange any more */
    struct sbuf batch; /* held back by the faults batch and hang_before_head */
    int64_t batched;
};

struct sched {
    struct list models;  /* model.link */
    struct list pending; /* job.link */
    int64_t pending_count;
    struct job *current; /* the request the pending loop works on */
    struct model *loading;
    struct timer load_timer;
    bool pumping;
    bool pump_again;
};

struct sim {
    struct conf conf;
    struct event_base *base; /* owned */
    int listen_fd;
    int path_fd; /* -1: none */
    struct event accept_event;
    struct event accept_timer;
    struct event path_event;
    struct event tick_event;
    uint64_t tick_us; /* when it comes, if it is pending */
    struct wheel wheel;
    struct list conns;
    struct list reap;      /* conn.link: closed, freed on the next tick */
    struct list dead_jobs; /* job.link: the same */
    struct sched sched;
    struct faults faults;
    struct stats stats;
    struct sbuf wire;    /* what one step of one connection sends, built here */
    struct sbuf payload; /* one chunk before it is framed */
    struct sbuf scratch;
    struct sbuf last[ROUTE_MAX + 1]; /* raw requests by route; the last one: any */
    char *words;                     /* owned; the deterministic text */
    uint64_t ids;
    time_t date_s;
    char date[40];
    char stamp[24]; /* 2026-11-21T15:25:07 of stamp_s */
    time_t stamp_s;
};

/** Milliseconds and microseconds of the monotonic clock. */
uint64_t sim_now_ms(void);
uint64_t sim_now_us(void);

/** Make sure the tick runs soon; called after arming a timer from outside a tick. */
void sim_wake(struct sim *s);

/** RFC 3339 with nanoseconds, as Go prints the current time; and for a time `ahead_ms` from now. */
void sim_print_now(struct sim *s, struct sbuf *out);
void sim_print_time(struct sbuf *out, int64_t ahead_ms);

/** IMF-fixdate for the Date field. */
const char *sim_date(struct sim *s);
uint64_t sim_next_id(struct sim *s);

#endif
