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
struct secrets_watch;

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
    struct event *signals[5]; /* owned */
    struct secrets_watch *secrets;
    struct sandbox sandbox;
    struct limit_state *budgets; /* owned; NULL: budgets are not kept */
    struct expiry_watch *expiry;
    struct deadline drain_limit;
    struct deadline replica_grace;
    size_t drained;
    bool draining;
    atomic_bool cut; /* some answer was broken off; workers set it */
    uint64_t generation;
};

/* reload.c */
/** Read `path` into *out_text. Prints errors. */
bool reload_read(const char *path, char **out_text);
/** Check a text; prints errors as FILE:LINE:COLUMN: message. */
bool reload_parse(const char *name, const char *text, struct settings *out);
/** Build and publish a snapshot; NULL *out_fault text on success. */
bool reload_publish(struct app *a, struct settings *settings, struct auth_fault *out_fault);
/** SIGHUP: the file again. */
void reload_file(struct app *a);
/** Certificates or key files changed: the same text, fresh files. */
void reload_secrets(struct app *a);

/* app.c */
void app_drain(struct app *a);
void app_stop_now(struct app *a);

/* replicas.c */
void replicas_init(struct app *a);
/** poller_hooks.on_change. */
void replicas_on_change(void *arg, const struct replica *r, bool gone);
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
/** After a reload that may have made accounts, before its snapshot is in use. */
void budgets_restore(struct app *a);
/** After the workers have ended. Accepts an app that has none. */
void budgets_close(struct app *a);

/* secrets_watch.c */
/** Look at certificates and key files every SECRETS_WATCH_MS; a change calls reload_secrets. */
enum { SECRETS_WATCH_MS = 2000 };
struct secrets_watch *secrets_watch_create(struct app *a);
void secrets_watch_destroy(struct secrets_watch *w);
/** Take what the files are now for known (after every reload). */
void secrets_watch_note(struct secrets_watch *w);

#endif
