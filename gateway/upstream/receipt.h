/**
 * Whether a replica may have received a request, by what TCP knows of the connection.
 *
 * For a kept connection that closes before any byte of an answer came: the replica, or something
 * before it, may have closed it before the request arrived. Only then may the request be sent once
 * more. All the evidence is of this side's kernel; when in doubt it was received.
 */
#ifndef CORRAL_UPSTREAM_RECEIPT_H
#define CORRAL_UPSTREAM_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What a connection had carried before the request, as the kernel counts. */
struct receipt_mark {
    uint64_t acknowledged; /* by the peer; the SYN counts as one byte */
    uint64_t received;     /* from the peer; its FIN will count as one byte */
};

/** Ask the kernel. Where it cannot tell, nothing will be taken for not received. */
struct receipt_mark receipt_mark_now(int fd);

/* A TLS record that holds an alert, with any cipher of ours; no answer is so short. */
enum { RECEIPT_PLAIN_FAREWELL_BYTES = 0, RECEIPT_TLS_FAREWELL_BYTES = 31 };

/**
 * After the peer has closed, while the descriptor is still open.
 *
 * @param since_us  time since some moment before the request was sent.
 * @param farewell  bytes that the peer may have sent before its FIN without answering.
 * @return true: no byte of the request was received.
 */
bool receipt_is_none(int fd, struct receipt_mark before, uint64_t since_us, size_t farewell);

#endif
