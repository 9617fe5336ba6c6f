/**
 * One address of a configured replica, asked again and again: what it has on disk, its version,
 * what is loaded, and whether it answers at all. Internal to upstream/: poller.c owns the endpoints
 * and says which there are, endpoint.c asks them.
 */
#ifndef CORRAL_UPSTREAM_ENDPOINT_H
#define CORRAL_UPSTREAM_ENDPOINT_H

#include "upstream/call.h"
#include "upstream/poller.h"

struct endpoint;

/** What a poll asks for, in this order when a replica was found, or found again. */
enum endpoint_question { ASK_TAGS, ASK_VERSION, ASK_PS, ENDPOINT_QUESTIONS };

/** What all endpoints of a poller share; borrowed by each. */
struct endpoint_watch {
    struct worker *worker;
    struct intern *ids;
    struct log_source *log;
    struct pool *pool;
    void *owner; /* the poller */
    /** endpoint.state has changed, and all of it is known. */
    void (*on_change)(struct endpoint *e);
};

struct endpoint {
    struct list of_poller;              /* poller.endpoints */
    const struct endpoint_watch *watch; /* borrowed */
    uint32_t source;                    /* index of the settings line */
    struct replica state;               /* id, slots, address, host, usable, tags, ps, version */
    struct deadline next_poll;
    struct deadline timeout;
    struct call *call; /* of the poll under way */
    enum endpoint_question asked;
    unsigned status;
    struct buf body;
    uint64_t tags_at_ms; /* last good /api/tags; 0: never */
    bool version_due;    /* the models were told, the version was not asked for since */
    uint64_t hash[ENDPOINT_QUESTIONS]; /* of the last answer */
    unsigned failures;
    bool suspected; /* poll again as soon as the one under way is over */
    bool seen;      /* during a reconfiguration */
};

/** Ask for the first time; the endpoint is zeroed but for its watch, source and state. */
void endpoint_start(struct endpoint *e);
/** Ask no more; what is known stays. */
void endpoint_stop(struct endpoint *e);

/** Traffic saw it fail: ask now. `unreachable`: it is not usable until it answers. */
void endpoint_suspect(struct endpoint *e, bool unreachable);

#endif
