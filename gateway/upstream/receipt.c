/*
 * What TCP_INFO says of a connection to a replica. Called by call.c, on a worker, only when a kept
 * connection closes with a request under way (and, for TLS, before a request is sent on one).
 *
 * A FIN carries an acknowledgement of all that its sender's kernel had received, and the kernel
 * counts it: no byte of the request acknowledged then means that none had arrived when the peer
 * closed. A RST brings no news: the kernel does not count what it acknowledges, and the peer may
 * have delayed its acknowledgements by 40 ms, so a request that was read might look unreceived.
 * Only a RST that comes sooner than the least round trip ever measured was sent before the request
 * could have arrived.
 */
#include "upstream/receipt.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* False: no TCP (a replica by a path), or a kernel that does not know. */
static bool read_info(int fd, struct tcp_info *out)
{
    socklen_t len = sizeof(*out);

    memset(out, 0, sizeof(*out));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &len) == 0 &&
           len >= offsetof(struct tcp_info, tcpi_min_rtt) + sizeof(out->tcpi_min_rtt);
}

struct receipt_mark receipt_mark_now(int fd)
{
    struct tcp_info info;

    if (!read_info(fd, &info)) {
        return (struct receipt_mark){0};
    }
    return (struct receipt_mark){info.tcpi_bytes_acked, info.tcpi_bytes_received};
}

bool receipt_is_none(int fd, struct receipt_mark before, uint64_t since_us, size_t farewell)
{
    struct tcp_info info;

    if (!read_info(fd, &info) || info.tcpi_bytes_acked > before.acknowledged ||
        info.tcpi_bytes_received > before.received + farewell + 1) {
        return false;
    }
    bool said_farewell = info.tcpi_bytes_received > before.received;

    return said_farewell || since_us < info.tcpi_min_rtt;
}
