/*
 * relay.c: the floor of ./dev bench: passes bytes between clients and one upstream and understands
 * none of them.
 *
 * One thread, level-triggered epoll, one upstream connection for each client, one read and one send
 * a piece. No gateway can do less, so the distance to it is what a gateway costs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 1024 };

struct end {
    int fd;
    struct end *other; /* NULL: the listener */
};

static struct sockaddr_in loopback(const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};

    addr.sin_port = htons((uint16_t)strtol(port, NULL, 10));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return addr;
}

static void watch(int epoll_fd, struct end *end)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = end};

    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, end->fd, &ev);
}

static void pair_up(int epoll_fd, int client, const struct sockaddr_in *upstream)
{
    int one = 1;
    struct end *ends = calloc(2, sizeof(*ends));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (ends == NULL || fd < 0 ||
        connect(fd, (const struct sockaddr *)upstream, sizeof(*upstream)) != 0) {
        perror("relay: upstream");
        exit(1);
    }
    ends[0] = (struct end){.fd = client, .other = &ends[1]};
    ends[1] = (struct end){.fd = fd, .other = &ends[0]};
    for (int i = 0; i < 2; i++) {
        setsockopt(ends[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(epoll_fd, &ends[i]);
    }
}

/* An ended pair is shut, and forgotten by epoll with its descriptors; the few bytes of its struct
 * stay. */
static void pass(struct end *from)
{
    static char data[65536];
    ssize_t n = recv(from->fd, data, sizeof(data), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0 || send(from->other->fd, data, (size_t)n, MSG_NOSIGNAL) != n) {
        close(from->other->fd);
        close(from->fd);
        from->fd = from->other->fd = -1;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: bench-relay LISTEN-PORT UPSTREAM-PORT\n", stderr);
        return 2;
    }
    struct sockaddr_in own = loopback(argv[1]);
    struct sockaddr_in upstream = loopback(argv[2]);
    struct rlimit limit;
    int one = 1;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct end listener = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener.fd, (struct sockaddr *)&own, sizeof(own)) != 0 ||
        listen(listener.fd, BACKLOG) != 0) {
        perror("relay: listen");
        return 1;
    }
    watch(epoll_fd, &listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct end *end = events[i].data.ptr;
            if (end->other == NULL) {
                pair_up(epoll_fd, accept4(end->fd, NULL, NULL, SOCK_CLOEXEC), &upstream);
            } else if (end->fd >= 0) {
                pass(end);
            }
        }
    }
}
