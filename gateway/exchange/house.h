/**
 * What all workers share: the few things of CONTRACTS "Threads", each with its own lock inside.
 * Made and freed by the main thread around the workers' lives.
 */
#ifndef CORRAL_EXCHANGE_HOUSE_H
#define CORRAL_EXCHANGE_HOUSE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/intern.h"
#include "config/snapshot.h"
#include "exchange/body_budget.h"
#include "exchange/connection_share.h"
#include "limit/limit.h"
#include "net/source_count.h"
#include "net/worker.h"
#include "obs/log.h"
#include "sched/ledger.h"
#include "upstream/replica.h"

/** Kinds of mail between threads; the numbers in struct mail mean what stands here. */
enum mail_kind {
    MAIL_GRANT,    /* to a worker: index, generation of a ticket */
    MAIL_SNAPSHOT, /* to a worker: take the new snapshot */
    MAIL_RETIRE,   /* to a worker: a drain comes soon, keep no connection after its answer */
    MAIL_DRAIN,    /* to a worker: finish what runs, then stop */
    MAIL_STOP,     /* to a worker: stop now */
    MAIL_SUSPECT,  /* to main: index is a replica that failed; value 1: it cannot be reached */
    MAIL_DRAINED,  /* to main: worker `index` has stopped */
    MAIL_RESOLVED, /* to main: resolver's question `index` */
    MAIL_HELPED,   /* to main: the helper thread has ended a job */
};

struct engine;

struct house {
    struct worker *main_worker; /* owned by main */
    struct worker **workers;    /* owned by main */
    struct engine **engines;    /* owned by main; one per worker */
    size_t worker_count;
    struct ledger *ledger;
    struct replica_board board;
    struct intern *tenants;
    struct intern *models;
    struct intern *replicas;
    struct intern *limits; /* names of limits, for metrics */
    struct limiter *limiter;
    struct source_count *sources;       /* connections without a credential */
    struct source_count *known_sources; /* with one */
    struct connection_share shares;
    struct body_budget bodies;
    struct body_budget answers;
    pthread_mutex_t snapshot_lock; /* guards snapshot */
    struct snapshot *snapshot;     /* counted */
};

/** The current snapshot with a reference of the caller's. */
struct snapshot *house_snapshot(struct house *h);

/** Replace the snapshot (takes over the reference) and tell the workers. */
void house_set_snapshot(struct house *h, struct snapshot *s);

#endif
