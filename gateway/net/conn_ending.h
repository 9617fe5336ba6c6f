/**
 * How a connection ends: conn_finish. First its pending bytes are sent: the peer must take
 * CONN_FINISH_PROGRESS_BYTES, or all, in every stall_ms. Then what the peer still sends is read and
 * dropped, since closing over unread bytes makes the kernel send a RST, which takes the answer from
 * the peer (RFC 9112 section 9.6).
 */
#ifndef CORRAL_NET_CONN_ENDING_H
#define CORRAL_NET_CONN_ENDING_H

#include <stdint.h>

enum {
    CONN_LINGER_SILENCE_MS = 5000, /* longest pause in what is read and dropped */
    CONN_FINISH_PROGRESS_BYTES = 16 * 1024,
    /* the defaults: after the end of a request */
    CONN_FINISH_STALL_MS = 8000,
    CONN_LINGER_MS = 800,
    CONN_LINGER_BYTES = 256 * 1024,
};

struct conn_ending {
    uint32_t stall_ms;
    uint32_t linger_ms; /* in all; a pause of CONN_LINGER_SILENCE_MS ends it too */
    uint32_t linger_bytes;
};

#endif
