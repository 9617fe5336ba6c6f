/**
 * Replicas: the Ollama servers behind corral, and what is known of them.
 *
 * A view is immutable and counted: the poller (main thread) builds a new one whenever something
 * changed and publishes it; workers hold a reference while they use it. So the lists that clients
 * see and the addresses that requests go to never change under a reader.
 */
#ifndef CORRAL_UPSTREAM_REPLICA_H
#define CORRAL_UPSTREAM_REPLICA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "net/address.h"
#include "net/tls.h"
#include "ollama/catalog.h"
#include "ollama/version.h"

enum { REPLICA_HOST_BYTES = 272 };

/** One line of `replicas:` in the configuration. */
struct replica_settings {
    char *host; /* owned; name or literal, without brackets, or "unix:/path" */
    uint16_t port;
    uint32_t slots; /* parallel requests of one model */
    bool https;
    struct tls_client_settings tls;
    struct tls_client *client; /* counted; made with the snapshot; NULL: plain */
};

/** A catalog that several views share. */
struct replica_catalog {
    atomic_uint refs;
    struct catalog *catalog; /* owned; NULL: not read yet */
};

struct replica_catalog *replica_catalog_create(struct catalog *catalog);
struct replica_catalog *replica_catalog_ref(struct replica_catalog *c);
void replica_catalog_unref(struct replica_catalog *c);

struct replica {
    uint32_t id; /* interned label */
    uint32_t slots;
    struct net_address address;
    struct tls_client *tls;        /* counted; NULL: plain */
    char host[REPLICA_HOST_BYTES]; /* Host field: configured authority; "localhost:…" on loopback */
    bool usable;
    uint64_t lost_ms;             /* monotonic: when it ceased to be usable, or was configured */
    struct replica_catalog *tags; /* counted; may be NULL */
    struct replica_catalog *ps;   /* counted; may be NULL */
    struct version version;       /* text "": it has not told one */
};

struct replica_view {
    atomic_uint refs;
    struct catalog_merged *tags; /* owned; of all usable replicas; made when it is published */
    struct catalog_merged *ps;   /* owned; the same */
    bool any_tags;               /* a usable replica has told its models */
    bool any_ps;
    struct version version;  /* the least of the usable replicas; text "": none has told one */
    uint64_t empty_since_ms; /* monotonic; only of a view without replicas */
    size_t count;
    struct replica replicas[];
};

/** A view with room for `count` zeroed replicas; the caller fills it and owns one reference. */
struct replica_view *replica_view_create(size_t count);
void replica_view_unref(struct replica_view *v);

/** The replica with that id, or NULL. Borrowed from the view. */
const struct replica *replica_view_find(const struct replica_view *v, uint32_t id);

/** Where the current view is published. One writer, many readers. */
struct replica_board {
    pthread_mutex_t lock; /* guards view */
    struct replica_view *view;
    atomic_uint version; /* grows with every publication; read without the lock */
};

void replica_board_init(struct replica_board *b);
void replica_board_finish(struct replica_board *b);

/** Merge the lists of the view, then replace the one before; takes over the caller's reference. */
void replica_board_publish(struct replica_board *b, struct replica_view *view);

/** The current view with a reference of the caller's. */
struct replica_view *replica_board_get(struct replica_board *b);

#endif
