/**
 * The parts of a running corral, shared by the files of app/.
 */
#ifndef CORRAL_APP_APP_H
#define CORRAL_APP_APP_H

#include "app/sandbox.h"
#include "exchange/exchange.h"
#include "exchange/house.h"
#include "front/control.h"
#include "front/front.h"
#include "upstream/poller.h"

struct crew; /* a worker thread and what runs on it */
struct expiry_watch;
struct reloader;

enum { APP_MAX_TENANTS = 65535 }; /* names of them, in the process's life */

struct app {
    const char *path; /* borrowed; NULL: built-in defaults */
    char *text;       /* owned; the configuration in force, as read */
    struct house house;
    struct logger *logger;
    struct log_source *log; /* of the main thread */
    struct worker *main_worker;
    struct metrics_table *metrics; /* of the main thread */
    struct poller *poller;
    struct crew *crews;               /* owned, house.worker_count of them */
    int *listen_fds;                  /* owned; worker * listener_count + listener */
    struct unix_socket *unix_sockets; /* owned; by listener; zeroed: a port */
    size_t listener_count;
    int health_fd;
    int metrics_fd;
    struct control *health;
    struct control *metrics_port;
    struct event *signals[5];  /* owned */
    struct reloader *reloader; /* owned */
    struct deadline secrets_look;
    struct sandbox sandbox;
    struct limit_state *budgets; /* owned; NULL: budgets are not kept */
    struct expiry_watch *expiry;
    struct deadline drain_delay; /* until it ends new requests are served, though not ready */
    struct deadline drain_limit;
    struct deadline replica_grace;
    size_t drained;
    bool draining;
    bool stuck;      /* the helper waits for a file system: nothing that it may use can be freed */
    atomic_bool cut; /* some answer was broken off; workers set it */
    uint64_t generation;
    uint64_t began_ms;   /* monotonic: when the replicas were asked first */
    uint64_t files_read; /* the states of the files, before the start read them */
};

/* app.c */
void app_drain(struct app *a);
void app_stop_now(struct app *a);

/* replicas.c */
void replicas_init(struct app *a);
/** poller_hooks.on_change. */
void replicas_on_change(void *arg, const struct replica *r, bool gone);
/** poller_hooks.knows. */
bool replicas_know(void *arg, uint32_t replica_id);
/** Refuse those who wait for a replica longer than the grace: now, and from now on in time. */
void replicas_watch_grace(struct app *a);

/* first_start.c */
/** Configuration text for `corral serve` without a file; makes the API key when there is none. */
bool first_start_text(char **out_text);

/* crew.c */
void crew_start_all(struct app *a);
void crew_join_all(struct app *a);

/* ports.c */
bool ports_open(struct app *a, const struct settings *s);
void ports_close(struct app *a);
void ports_serve(struct app *a);

/* budgets.c */
/** Open the state directory, if there is one, before any worker runs. Prints errors. */
bool budgets_open(struct app *a, const struct settings *s);
/** Make a snapshot's limits ready under the seed in force: after budgets_open, and on a reload. */
void budgets_prepare(struct app *a, struct settings *s);
/** Begin to write; the thread is made here. */
void budgets_start(struct app *a);
/** Where it is; NULL: none. */
const char *budgets_directory(const struct settings *s);
/** After a reload that is in force: warn when it brought budgets that are not kept. */
void budgets_reloaded(struct app *a, const struct settings *old, const struct settings *fresh);
/** After the workers have ended. Accepts an app that has none. */
void budgets_close(struct app *a);

/* secrets_watch.c */
/** Of the states of all files that the settings name. From any thread; may take its time. */
uint64_t secrets_digest(const struct settings *s);

#endif
