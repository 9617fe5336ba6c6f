#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/transport.h"

enum io_result transport_send_block(struct conn *c, struct block **block, size_t *sent)
{
    while (*block != NULL) {
        struct slice rest = block_slice(*block);
        ssize_t n = send(c->fd, rest.ptr, rest.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? IO_AGAIN : IO_BROKEN;
        }
        *sent += (size_t)n;
        block_consume(&c->worker->blocks, block, (size_t)n);
        if ((size_t)n < rest.len) {
            return IO_AGAIN;
        }
    }
    return IO_OK;
}

static enum io_result plain_handshake(struct conn *c)
{
    return IO_OK;
}

static enum io_result plain_read(struct conn *c, char *out, size_t capacity, size_t *out_len)
{
    ssize_t n;

    do {
        n = recv(c->fd, out, capacity, 0); /* read() takes a longer way to the same */
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? IO_AGAIN : IO_BROKEN;
    }
    *out_len = (size_t)n;
    return n == 0 ? IO_EOF : IO_OK;
}

static bool plain_has_buffered(const struct conn *c)
{
    return false;
}

static enum io_result plain_flush(struct conn *c)
{
    size_t sent = 0;
    enum io_result result = transport_send_block(c, &c->out, &sent);

    c->bytes_out += sent;
    return result;
}

const struct transport transport_plain = {
    .handshake = plain_handshake,
    .read = plain_read,
    .has_buffered = plain_has_buffered,
    .flush = plain_flush,
};
