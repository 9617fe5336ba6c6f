/**
 * Watches the replicas from the main thread: what they have on disk (/api/tags every 10 s), which
 * version they are (/api/version, after it), what is loaded (/api/ps every second), and whether
 * they answer at all.
 *
 * A replica is usable after its first good answers and until POLL_FAILURES_MAX polls in a row
 * failed or its port refused a connection. Names are resolved again every 30 s and after failures;
 * every address of a name is a replica of its own. Changes are published on the board and told to
 * on_change, which runs on the main thread.
 */
#ifndef CORRAL_UPSTREAM_POLLER_H
#define CORRAL_UPSTREAM_POLLER_H

#include "base/intern.h"
#include "obs/log.h"
#include "upstream/replica.h"
#include "upstream/resolve.h"

enum {
    POLL_PS_MS = 1000,
    POLL_LOST_MS = 500, /* of one that does not answer: its return is waited for */
    POLL_TAGS_MS = 10 * 1000,
    POLL_RESOLVE_MS = 30 * 1000,
    POLL_TIMEOUT_MS = 5000,
    POLL_IDLE_MS = 60 * 1000, /* of the polls' own connections */
    POLL_FAILURES_MAX = 3,
};

struct poller;

struct poller_hooks {
    /** A replica's state changed. `gone`: it is no longer configured. */
    void (*on_change)(void *arg, const struct replica *replica, bool gone);
    /** Whether something is still said of a replica that is gone: its number is not given again. */
    bool (*knows)(void *arg, uint32_t replica_id);
    void *arg;
};

/** `ids` interns the replicas' labels ("127.0.0.1:11434"). Borrows everything. */
struct poller *poller_create(struct worker *main_worker, struct replica_board *board,
                             struct intern *ids, struct log_source *log, uint32_t resolve_mail,
                             const struct poller_hooks *hooks);
void poller_destroy(struct poller *p);

/**
 * Set or replace the configured replicas; those that stay keep their state. Copies.
 *
 * @param connect_ms  how long a poll may take to connect; the whole poll has POLL_TIMEOUT_MS.
 */
void poller_configure(struct poller *p, const struct replica_settings *settings, size_t count,
                      uint64_t connect_ms);

/** Which remote models are served has changed: tell on_change again of replicas that have some. */
void poller_tell_remote(struct poller *p);

/** Traffic saw that replica fail: ask it now. `unreachable`: nothing goes there until it answers.
 */
void poller_suspect(struct poller *p, uint32_t replica_id, bool unreachable);

/** The resolver has an answer (mail of `resolve_mail`). */
void poller_on_resolved(struct poller *p, uint32_t question);

/** How many replicas there are, and how many of them are usable. */
struct poller_count {
    size_t usable;
    size_t all;
};

struct poller_count poller_count(const struct poller *p);

#endif
