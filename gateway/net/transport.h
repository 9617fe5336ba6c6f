/**
 * The small table of functions behind which a connection is plain or TLS. Internal to net/.
 */
#ifndef CORRAL_NET_TRANSPORT_H
#define CORRAL_NET_TRANSPORT_H

#include "net/conn.h"

enum io_result { IO_OK, IO_AGAIN, IO_EOF, IO_BROKEN };

struct transport {
    /** One step of the handshake. IO_OK: done. IO_AGAIN: wait for bytes. */
    enum io_result (*handshake)(struct conn *c);
    /** Read up to `capacity` bytes. */
    enum io_result (*read)(struct conn *c, char *out, size_t capacity, size_t *out_len);
    /** Whether bytes wait inside the transport, invisible to epoll. */
    bool (*has_buffered)(const struct conn *c);
    /** Send c->out as far as the kernel takes it. IO_AGAIN: some is left. */
    enum io_result (*flush)(struct conn *c);
    /** Say goodbye (close_notify) into the output. May be NULL. */
    void (*goodbye)(struct conn *c);
};

extern const struct transport transport_plain;
extern const struct transport transport_tls;

/** Send from a block until it is empty or the kernel refuses. Adds to *sent. */
enum io_result transport_send_block(struct conn *c, struct block **block, size_t *sent);

#endif
