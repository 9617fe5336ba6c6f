#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exchange.h"
#include "httpin.h"

#define BACKLOG_BYTES 65536u
#define HELD_BYTES 65536u

static void destroy(struct conn *c)
{
    list_remove(&c->link);
    sbuf_finish(&c->in);
    sbuf_finish(&c->out);
    sbuf_finish(&c->body);
    sbuf_finish(&c->batch);
    plan_finish(&c->plan);
    free(c);
}

void conn_reap(struct sim *s)
{
    struct list *item = list_pop(&s->reap);
    while (item != NULL) {
        destroy(LIST_ENTRY(item, struct conn, link));
        item = list_pop(&s->reap);
    }
}

static void unhook(struct conn *c)
{
    event_del(&c->read_event);
    event_del(&c->write_event);
    wheel_cancel(&c->sim->wheel, &c->timer);
    c->state = CONN_DEAD;
    list_remove(&c->link);
    list_push(&c->sim->reap, &c->link);
    sim_wake(c->sim);
}

static void close_now(struct conn *c)
{
    if (c->state == CONN_DEAD) {
        return;
    }
    unhook(c);
    c->sim->stats.conns_open--;
    if (c->rst_on_close) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    } else {
        shutdown(c->fd, SHUT_WR);
    }
    close(c->fd);
}

void conn_leak(struct conn *c)
{
    unhook(c);
    c->sim->stats.conns_open--;
    c->sim->stats.leaked++;
}

void conn_close(struct conn *c, bool rst)
{
    if (c->state == CONN_DEAD) {
        return;
    }
    c->rst_on_close = rst;
    if (c->out.len == 0) {
        close_now(c);
        return;
    }
    c->state = CONN_CLOSING;
    event_del(&c->read_event);
}

bool conn_backlogged(const struct conn *c)
{
    return c->out.len > BACKLOG_BYTES;
}

/* The peer broke the connection while we were sending: same as seeing it leave. */
static void on_send_failed(struct conn *c)
{
    sbuf_finish(&c->out);
    if (c->state == CONN_BUSY) {
        exchange_client_gone(c);
    }
    close_now(c);
}

static void on_dribble_timer(struct timer *t);

void conn_flush(struct conn *c)
{
    const struct fault *dribble = plan_get(&c->plan, FAULT_DRIBBLE);

    while (c->out.len > 0) {
        size_t want = dribble != NULL ? 1 : c->out.len;
        ssize_t n = send(c->fd, c->out.ptr, want, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(&c->write_event, NULL);
            return;
        }
        if (n < 0) {
            on_send_failed(c);
            return;
        }
        c->sim->stats.bytes_sent += (uint64_t)n;
        sbuf_consume(&c->out, (size_t)n);
        if (dribble != NULL && dribble->ms > 0 && c->out.len > 0) {
            c->timer.fn = on_dribble_timer;
            wheel_arm(&c->sim->wheel, &c->timer, sim_now_us() + (uint64_t)dribble->ms * 1000);
            sim_wake(c->sim);
            return;
        }
    }
    if (c->state == CONN_CLOSING) {
        close_now(c);
    }
}

static void on_dribble_timer(struct timer *t)
{
    struct conn *c = LIST_ENTRY(t, struct conn, timer);

    if (c->state != CONN_DEAD) {
        conn_flush(c);
    }
}

void conn_send(struct conn *c, const void *ptr, size_t len)
{
    if (c->state == CONN_DEAD || len == 0) {
        return;
    }
    ssize_t n = 0;
    if (c->out.len == 0 && plan_get(&c->plan, FAULT_DRIBBLE) == NULL) {
        n = send(c->fd, ptr, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            on_send_failed(c);
            return;
        }
        n = n < 0 ? 0 : n;
        c->sim->stats.bytes_sent += (uint64_t)n;
    }
    if ((size_t)n < len) {
        bool idle = c->out.len == 0;
        sbuf_add(&c->out, (const char *)ptr + n, len - (size_t)n);
        if (idle) {
            conn_flush(c);
        }
    }
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    (void)fd;
    (void)what;

    conn_flush(c);
}

static void on_eof(struct conn *c)
{
    if (c->state == CONN_BUSY && exchange_client_gone(c)) {
        conn_leak(c);
        return;
    }
    sbuf_finish(&c->out);
    close_now(c);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    static char piece[65536]; /* one thread; kept off the stack */
    (void)what;

    if (c->state == CONN_BUSY && c->in.len > HELD_BYTES) {
        event_del(&c->read_event); /* pipelined bytes wait; taken up again after the exchange */
        return;
    }
    ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        on_eof(c);
        return;
    }
    c->sim->stats.bytes_received += (uint64_t)n;
    sbuf_add(&c->in, piece, (size_t)n);
    if (c->state == CONN_READING) {
        httpin_feed(c);
    }
}

void conn_exchange_done(struct conn *c)
{
    if (c->state != CONN_BUSY) {
        return;
    }
    c->state = CONN_READING;
    event_add(&c->read_event, NULL);
    if (c->in.len > 0) {
        httpin_feed(c);
    }
}

static void create(struct sim *s, int fd)
{
    struct conn *c = sim_calloc(1, sizeof(*c));
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->sim = s;
    c->fd = fd;
    c->state = CONN_READING;
    timer_init(&c->timer, on_dribble_timer);
    event_assign(&c->read_event, s->base, fd, EV_READ | EV_PERSIST, on_read, c);
    event_assign(&c->write_event, s->base, fd, EV_WRITE, on_write, c);
    event_add(&c->read_event, NULL);
    list_push(&s->conns, &c->link);
    s->stats.conns_open++;
    s->stats.conns_total++;
}

static void on_accept_delay_over(evutil_socket_t fd, short what, void *arg)
{
    struct sim *s = arg;
    (void)fd;
    (void)what;

    int conn_fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (conn_fd >= 0) {
        create(s, conn_fd);
    }
    event_add(&s->accept_event, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct sim *s = arg;
    (void)what;

    if (s->conf.accept_delay_ms > 0 && fd == s->listen_fd) {
        struct timeval delay = {.tv_sec = (time_t)(s->conf.accept_delay_ms / 1000),
                                .tv_usec = (suseconds_t)(s->conf.accept_delay_ms % 1000 * 1000)};
        event_del(&s->accept_event);
        event_add(&s->accept_timer, &delay);
        return;
    }
    for (int i = 0; i < 256; i++) {
        int conn_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn_fd < 0) {
            return;
        }
        create(s, conn_fd);
    }
}

void conn_accept_start(struct sim *s)
{
    event_assign(&s->accept_event, s->base, s->listen_fd, EV_READ | EV_PERSIST, on_accept, s);
    evtimer_assign(&s->accept_timer, s->base, on_accept_delay_over, s);
    event_add(&s->accept_event, NULL);
    if (s->path_fd >= 0) {
        event_assign(&s->path_event, s->base, s->path_fd, EV_READ | EV_PERSIST, on_accept, s);
        event_add(&s->path_event, NULL);
    }
}
