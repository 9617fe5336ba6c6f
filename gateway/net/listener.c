#include "net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static int open_socket(const struct net_address *a, bool reuse_port)
{
    static const int on = 1;
    int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->storage.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (reuse_port) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    }
    if (bind(fd, (const struct sockaddr *)&a->storage, a->len) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

enum corral_err listener_probe(const struct net_address *address)
{
    int fd = open_socket(address, false);

    if (fd < 0) {
        return CE_ADDRESS;
    }
    /* SO_REUSEADDR lets a bind pass beside a listener only until listen is tried. */
    int listening = listen(fd, 1);
    int error = errno;

    close(fd);
    errno = error;
    return listening == 0 ? CE_OK : CE_ADDRESS;
}

enum corral_err listener_find_address(const struct net_address *address)
{
    struct net_address any_port = *address;

    if (any_port.storage.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)&any_port.storage)->sin6_port = 0;
    } else {
        ((struct sockaddr_in *)(void *)&any_port.storage)->sin_port = 0;
    }
    int fd = open_socket(&any_port, false);

    if (fd < 0) {
        return CE_ADDRESS;
    }
    close(fd);
    return CE_OK;
}

enum corral_err listener_open(const struct net_address *address, int *out_fd)
{
    int fd = open_socket(address, true);

    if (fd < 0) {
        return CE_ADDRESS;
    }
    if (listen(fd, LISTEN_BACKLOG) != 0) {
        close(fd);
        return CE_ADDRESS;
    }
    *out_fd = fd;
    return CE_OK;
}

void listener_local_address(int fd, struct net_address *out)
{
    *out = (struct net_address){.len = sizeof(out->storage)};
    (void)getsockname(fd, (struct sockaddr *)&out->storage, &out->len);
}

/* EMFILE and its like: the backlog stays readable, so accepting must rest or the loop spins. */
static void rest(struct listener *l)
{
    event_del(&l->event);
    deadline_set(&l->worker->wheel, &l->pause, l->worker->now_ms, ACCEPT_PAUSE_MS);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* True when one was accepted or may be accepted next. */
static bool accept_one(struct listener *l)
{
    struct net_address peer = {.len = sizeof(peer.storage)};
    int fd =
        accept4(l->fd, (struct sockaddr *)&peer.storage, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        l->on_accept(l, fd, &peer);
        return true;
    }
    if (is_shortage(errno)) {
        rest(l);
        return false;
    }
    return errno != EAGAIN && errno != EWOULDBLOCK && errno != EBADF && errno != EINVAL;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    worker_touch(l->worker);
    uint32_t most = l->accepts_per_turn == 0 ? ACCEPTS_PER_TURN : l->accepts_per_turn;

    for (uint32_t i = 0; i < most && l->open; i++) {
        if (!accept_one(l)) {
            return;
        }
    }
}

static void on_rested(struct deadline *d)
{
    struct listener *l = CONTAINER_OF(d, struct listener, pause);

    if (l->open && event_add(&l->event, NULL) != 0) {
        rest(l);
    }
}

void listener_start(struct listener *l)
{
    l->open = true;
    deadline_init(&l->pause, on_rested);
    event_assign(&l->event, l->worker->base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
    if (event_add(&l->event, NULL) != 0) {
        rest(l);
    }
}

void listener_stop(struct listener *l)
{
    if (!l->open) {
        return;
    }
    while (accept_one(l)) {
        ;
    }
    l->open = false;
    event_del(&l->event);
    deadline_cancel(&l->pause);
    /* Whoever connects from now on is refused at once instead of waiting in our queue. */
    (void)shutdown(l->fd, SHUT_RDWR);
}
