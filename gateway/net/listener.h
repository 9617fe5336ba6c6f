/**
 * Listening sockets: opened in main, one descriptor per worker (SO_REUSEPORT), for the life of the
 * process; each is accepted from by one worker.
 */
#ifndef CORRAL_NET_LISTENER_H
#define CORRAL_NET_LISTENER_H

#include "net/address.h"
#include "net/worker.h"

enum { LISTEN_BACKLOG = 1024, ACCEPTS_PER_TURN = 64, ACCEPT_PAUSE_MS = 200 };

/**
 * Whether nobody listens there: binds once without SO_REUSEPORT, so that a second corral fails
 * loudly instead of taking half of the connections.
 *
 * @return CE_OK; CE_ADDRESS with errno set.
 */
MUST_USE enum corral_err listener_probe(const struct net_address *address);

/** Whether this machine has the address, whoever listens on its port. CE_ADDRESS: errno tells. */
MUST_USE enum corral_err listener_find_address(const struct net_address *address);

/** Bind and listen. Port 0 picks one: see net_address of the descriptor. CE_ADDRESS: errno tells.
 */
MUST_USE enum corral_err listener_open(const struct net_address *address, int *out_fd);

/** A socket in the file system that we have made. */
struct unix_socket {
    struct net_address address;
    dev_t device;
    ino_t inode;
    bool made;
};

/**
 * Bind and listen on a path, mode 0660. A socket that nobody listens on any more is replaced;
 * anything else there stays. SO_REUSEPORT means nothing here: workers share one listening socket,
 * each with a descriptor of its own.
 *
 * @return CE_OK; CE_ADDRESS with errno set (EADDRINUSE: somebody listens; EEXIST: no socket).
 */
MUST_USE enum corral_err listener_open_unix(const struct net_address *address,
                                            struct unix_socket *out, int *out_fd);

/** Remove the socket unless another has taken its place. Zeroed: nothing. */
void listener_remove_unix(struct unix_socket *s);

/** The bound address of a descriptor. */
void listener_local_address(int fd, struct net_address *out);

struct listener {
    struct worker *worker; /* borrowed */
    int fd;                /* borrowed; main owns it */
    struct event event;
    struct deadline pause; /* armed while accept is off for want of descriptors */
    void *owner;
    /** A fresh non-blocking descriptor; the callee owns it. */
    void (*on_accept)(struct listener *l, int fd, const struct net_address *peer);
    uint32_t accepts_per_turn; /* 0: ACCEPTS_PER_TURN */
    bool open;
};

void listener_start(struct listener *l);

/** Accept what the kernel has queued, then refuse connections for good. */
void listener_stop(struct listener *l);

#endif
