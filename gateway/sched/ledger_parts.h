/**
 * What the ledger is made of: shared by its own files only. Everything here is guarded by
 * ledger.lock.
 */
#ifndef CORRAL_SCHED_LEDGER_PARTS_H
#define CORRAL_SCHED_LEDGER_PARTS_H

#include <pthread.h>

#include "base/list.h"
#include "sched/ledger.h"

enum ticket_state { TICKET_FREE, TICKET_WAITING, TICKET_GRANTED, TICKET_TAKEN, TICKET_STRANDED };

struct row {
    uint32_t replica;
    uint32_t slots;
    uint32_t in_flight;
    uint32_t draining;
    bool loaded;
    bool present;  /* the replica lists the model */
    bool departed; /* it did when it was taken out of the configuration; until given up */
};

struct ticket {
    struct list link; /* flow.tickets */
    uint32_t index;
    uint32_t generation;
    uint32_t model;
    uint32_t tenant;
    uint32_t replica;  /* GRANTED, TAKEN */
    struct flow *flow; /* borrowed; flows live as long as the ledger */
    uint32_t input_tokens;
    uint32_t charged_output;
    uint16_t worker;
    uint8_t state;
    uint8_t stranded; /* STRANDED: enum corral_err */
    bool cold;
    bool loading; /* holds its replica's one cold load */
    bool draining;
};

/** The queue of one tenant for one model, and what it has been served there. */
struct flow {
    struct list tickets;   /* ticket.link, oldest first */
    struct list of_tenant; /* tenant.flows */
    uint32_t tenant;
    uint32_t model;
    uint32_t waiting;
    uint64_t virtual_time; /* service units / weight, scaled by VIRTUAL_SCALE; see ledger_queue.c */
    uint64_t key;          /* virtual_time when last looked at: never above it */
    size_t heap_index;     /* FLOW_NOT_IN_HEAP: parked (tenant at max_running) or empty */
};

#define FLOW_NOT_IN_HEAP SIZE_MAX

struct model {
    struct row *rows; /* owned */
    size_t row_count;
    size_t row_capacity;
    struct flow **flows; /* owned; every flow this model ever had, by tenant */
    size_t flow_count;
    size_t flow_capacity;
    struct flow **heap; /* owned vector; a subset of flows, least key first */
    size_t heap_count;
    size_t heap_capacity;
    uint64_t floor; /* key of the flow served last: the lift while nobody waits */
    uint32_t waiting;
    bool given_up; /* without a usable replica for the whole grace */
};

struct tenant {
    struct list flows; /* flow.of_tenant */
    struct ledger_tenant_settings settings;
    uint64_t service; /* units, on all models; never goes down: a counter of the scrape */
    uint64_t refunds; /* units charged too much, not yet taken off `service` */
    uint32_t running;
    uint32_t waiting;
    bool known;
};

enum {
    VIRTUAL_SCALE = 1024,
    TICKETS_PER_SLAB = 256,
    NO_MODEL = 0, /* never has rows: stands for those who wait for any change */
};

struct replica {
    uint32_t in_flight;
    uint32_t loading; /* cold loads under way: at most one */
    bool usable;
    uint64_t lost_ms; /* when it last ceased to be usable */
};

struct ledger {
    pthread_mutex_t lock; /* guards everything below */
    ledger_notify *notify;
    void *arg;
    struct ticket **slabs; /* owned; TICKETS_PER_SLAB each, never move: links point into them */
    size_t slab_count;
    size_t slab_capacity;
    size_t ticket_count;
    uint32_t *free_tickets; /* owned stack of indices */
    size_t free_count;
    size_t free_capacity;
    struct model *models; /* owned, by model number */
    size_t model_count;
    struct tenant **tenants; /* owned, by tenant number */
    size_t tenant_count;
    struct replica *replicas; /* owned, by replica number */
    size_t replica_count;
    uint32_t waiting;
    uint32_t max_waiting;
    uint64_t grace_ms;
    uint32_t turn; /* breaks ties among replicas */
    struct note {
        unsigned worker;
        struct ticket_ref ref;
    } * notes; /* owned; to notify after unlock */
    size_t note_count;
    size_t note_capacity;
};

#endif
