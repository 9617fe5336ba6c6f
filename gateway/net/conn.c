#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls.h"
#include "net/transport.h"

enum { DEFAULT_IN_MAX_BYTES = 16 * 1024 + 1 };

static const uint8_t legal_next[CONN_STATE_COUNT] = {
    [CONN_CONNECTING] = 1u << CONN_HANDSHAKE | 1u << CONN_CLOSED,
    [CONN_HANDSHAKE] = 1u << CONN_OPEN | 1u << CONN_CLOSED,
    [CONN_OPEN] = 1u << CONN_FINISHING | 1u << CONN_CLOSED,
    [CONN_FINISHING] = 1u << CONN_LINGERING | 1u << CONN_CLOSED,
    [CONN_LINGERING] = 1u << CONN_CLOSED,
};

static void set_state(struct conn *c, enum conn_state next)
{
    assert((legal_next[c->state] & 1u << next) != 0);
    c->state = (uint8_t)next;
}

static void on_writable(evutil_socket_t fd, short what, void *arg);

static void destroy_reaped(struct reapable *r)
{
    free(CONTAINER_OF(r, struct conn, reapable));
}

/*
 * The kernel may have no room for one more watch (epoll_ctl: ENOSPC, ENOMEM). A connection that
 * would hear nothing any more is closed by the wheel: whoever arms it cannot take a close just now.
 */
static void watch(struct conn *c, struct event *e)
{
    if (event_add(e, NULL) != 0) {
        c->deaf = true;
        deadline_set(&c->worker->wheel, &c->deadline, c->worker->now_ms, 1);
    }
}

static void arm_read(struct conn *c, bool on)
{
    if (on) {
        watch(c, &c->read_event);
    } else {
        event_del(&c->read_event);
    }
}

/* It is rare, and half of what a connection would weigh. */
static void arm_write(struct conn *c, bool on)
{
    if (on == (c->write_event != NULL)) {
        return;
    }
    if (on) {
        c->write_event = xcalloc(1, sizeof(*c->write_event));
        event_assign(c->write_event, c->worker->base, c->fd, EV_WRITE | EV_PERSIST, on_writable, c);
        watch(c, c->write_event);
    } else {
        event_del(c->write_event);
        free(c->write_event); /* also from its own callback: libevent has copied what it needs */
        c->write_event = NULL;
    }
}

void conn_close(struct conn *c, enum corral_err why)
{
    if (c->state == CONN_CLOSED) {
        return;
    }
    set_state(c, CONN_CLOSED);
    deadline_cancel(&c->deadline);
    event_del(&c->read_event);
    arm_write(c, false);
    list_unlink(&c->dirty_link);
    if (c->again) {
        worker_forget_again(c->worker, c);
    }
    tls_conn_free(c);
    block_release(&c->worker->blocks, &c->in);
    block_release(&c->worker->blocks, &c->out);
    block_release(&c->worker->blocks, &c->wire);
    worker_reap(c->worker, &c->reapable, destroy_reaped);
    if (c->events != NULL) {
        c->events->on_closed(c, why); /* may ask the kernel what became of what was sent */
    }
    close(c->fd);
}

void conn_reset(struct conn *c)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (c->state != CONN_CLOSED) {
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        conn_close(c, CE_OK);
    }
}

void conn_abandon(struct conn *c)
{
    if (c != NULL) {
        c->events = NULL;
        conn_close(c, CE_OK);
    }
}

static void mark_dirty(struct conn *c)
{
    if (list_empty(&c->dirty_link)) {
        list_push_back(&c->worker->dirty, &c->dirty_link);
    }
}

void conn_want_flush(struct conn *c)
{
    if (c->state == CONN_OPEN) {
        mark_dirty(c);
    }
}

enum corral_err conn_write(struct conn *c, struct slice bytes)
{
    if (c->state == CONN_CLOSED) {
        return CE_OK;
    }
    mark_dirty(c);
    return block_append(&c->worker->blocks, &c->out, bytes);
}

void conn_want_drained(struct conn *c)
{
    c->want_drained = true;
    if (c->state == CONN_OPEN) {
        mark_dirty(c);
    }
}

size_t conn_pending(const struct conn *c)
{
    return block_len(c->out) + block_len(c->wire);
}

size_t conn_kept(const struct conn *c)
{
    return block_len(c->in);
}

static void set_linger_deadline(struct conn *c)
{
    uint64_t now_ms = c->worker->now_ms;
    uint64_t left_ms = c->linger_until_ms > now_ms ? c->linger_until_ms - now_ms : 1;

    deadline_set(&c->worker->wheel, &c->deadline, now_ms,
                 left_ms < CONN_LINGER_SILENCE_MS ? left_ms : CONN_LINGER_SILENCE_MS);
}

static void start_linger(struct conn *c)
{
    if (c->transport->goodbye != NULL) {
        c->transport->goodbye(c);
    }
    shutdown(c->fd, SHUT_WR);
    set_state(c, CONN_LINGERING);
    if (c->eof_seen) {
        conn_close(c, CE_OK);
        return;
    }
    c->linger_until_ms = c->worker->now_ms + c->ending.linger_ms;
    set_linger_deadline(c);
    arm_read(c, true);
}

/* Records of the handshake only: what the owner wrote waits, and he hears of none of it. */
static void flush_handshake(struct conn *c)
{
    enum io_result result = c->transport->flush(c);

    if (result == IO_BROKEN) {
        conn_close(c, CE_TLS_HANDSHAKE);
    } else {
        arm_write(c, result == IO_AGAIN);
    }
}

void conn_flush(struct conn *c)
{
    if (c->state == CONN_CONNECTING || c->state >= CONN_LINGERING) {
        return;
    }
    if (c->state == CONN_OPEN && c->events->on_flush != NULL) {
        c->events->on_flush(c);
    }
    list_unlink(&c->dirty_link);
    if (c->state == CONN_HANDSHAKE) {
        flush_handshake(c);
        return;
    }
    enum io_result result = c->transport->flush(c);

    if (result == IO_BROKEN) {
        conn_close(c, CE_CLIENT_GONE);
        return;
    }
    if (result == IO_AGAIN) {
        c->want_drained = true;
        arm_write(c, true);
        if (c->state == CONN_OPEN && c->events->on_blocked != NULL) {
            c->events->on_blocked(c);
        }
        return;
    }
    arm_write(c, false);
    if (c->state == CONN_FINISHING) {
        start_linger(c);
        return;
    }
    if (c->want_drained) {
        c->want_drained = false;
        if (c->events->on_drained != NULL) {
            c->events->on_drained(c);
        }
    }
}

static void set_finish_deadline(struct conn *c)
{
    c->finish_pending = conn_pending(c);
    deadline_set(&c->worker->wheel, &c->deadline, c->worker->now_ms, c->ending.stall_ms);
}

void conn_finish(struct conn *c, const struct conn_ending *ending)
{
    static const struct conn_ending defaults = {CONN_FINISH_STALL_MS, CONN_LINGER_MS,
                                                CONN_LINGER_BYTES};

    if (c->state != CONN_OPEN) {
        if (c->state < CONN_OPEN) {
            conn_close(c, CE_OK);
        }
        return;
    }
    set_state(c, CONN_FINISHING);
    block_release(&c->worker->blocks, &c->in);
    arm_read(c, false);
    c->ending = ending == NULL ? defaults : *ending;
    set_finish_deadline(c);
    mark_dirty(c);
}

/* Keep what the owner left. At the cap reading stops; the owner probes with conn_peer_gone. */
static void keep(struct conn *c, struct slice rest)
{
    if (block_append(&c->worker->blocks, &c->in, rest) != CE_OK) {
        conn_close(c, CE_NO_MEMORY);
        return;
    }
    if (block_len(c->in) >= c->in_max_bytes) {
        arm_read(c, false);
    }
}

static void deliver(struct conn *c, struct slice fresh)
{
    if (c->in != NULL) {
        if (block_append(&c->worker->blocks, &c->in, fresh) != CE_OK) {
            conn_close(c, CE_NO_MEMORY);
            return;
        }
        conn_deliver_kept(c);
        return;
    }
    c->delivering = true;
    size_t used = c->events->on_data(c, fresh);

    c->delivering = false;
    if ((c->state == CONN_OPEN) && used < fresh.len) {
        keep(c, slice_from(fresh, used));
    }
}

static bool wants_bytes(const struct conn *c)
{
    return c->state == CONN_OPEN && c->reading && block_len(c->in) < c->in_max_bytes;
}

/*
 * Bytes that sit inside TLS make no epoll event: read once more in this turn or the next, behind
 * the other connections. Only after a read that brought something, or when reading begins anew:
 * a read that found part of a record waits for the socket like any other.
 */
static void ask_again(struct conn *c)
{
    if (wants_bytes(c) && !c->again && c->transport->has_buffered(c)) {
        c->again = true;
        worker_read_again(c->worker, c);
    }
}

void conn_deliver_kept(struct conn *c)
{
    if (c->in == NULL || c->delivering || c->state != CONN_OPEN) {
        return;
    }
    c->delivering = true;
    size_t used = c->events->on_data(c, block_slice(c->in));

    c->delivering = false;
    if (c->state != CONN_OPEN) {
        return;
    }
    block_consume(&c->worker->blocks, &c->in, used);
    if (c->reading) {
        arm_read(c, block_len(c->in) < c->in_max_bytes);
        ask_again(c);
    }
}

static void on_end(struct conn *c, enum io_result result)
{
    if (result == IO_EOF && !c->eof_seen) {
        c->eof_seen = true;
        arm_read(c, false);
        c->events->on_eof(c);
    } else {
        conn_close(c, CE_CLIENT_GONE);
    }
}

/* TLS has records of its own to send (handshake, KeyUpdate, alerts) that the kernel did not take.
 */
static void arm_for_wire(struct conn *c)
{
    if (c->wire != NULL) {
        arm_write(c, true);
    }
}

/*
 * One read into the worker's scratch: what it brought is flushed before more is taken, so that a
 * slow peer on the other side holds one read's worth. The owner may close or pause us in on_data.
 */
static void read_some(struct conn *c)
{
    size_t len = 0;
    enum io_result result = c->transport->read(c, c->worker->scratch, WORKER_SCRATCH_BYTES, &len);

    arm_for_wire(c);
    if (result == IO_OK) {
        deliver(c, slice_of(c->worker->scratch, len));
        ask_again(c);
    } else if (result != IO_AGAIN) {
        on_end(c, result);
    }
}

static void handshake_step(struct conn *c)
{
    enum io_result result = c->transport->handshake(c);

    arm_for_wire(c);
    if (result == IO_AGAIN) {
        return;
    }
    if (result != IO_OK) {
        conn_close(c, CE_TLS_HANDSHAKE);
        return;
    }
    set_state(c, CONN_OPEN);
    if (!c->deaf) {
        deadline_cancel(&c->deadline);
    }
    if (conn_pending(c) > 0) {
        mark_dirty(c); /* written while the connection was being made */
    }
    if (c->events->on_open != NULL) {
        c->events->on_open(c);
    }
}

static void drop_lingering(struct conn *c)
{
    ssize_t n = recv(c->fd, c->worker->scratch, WORKER_SCRATCH_BYTES, 0);

    if (n > 0 && (size_t)n <= c->ending.linger_bytes) {
        c->ending.linger_bytes -= (uint32_t)n;
        set_linger_deadline(c);
    } else if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_close(c, CE_OK);
    }
}

static void on_connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    arm_write(c, false);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        conn_close(c, CE_UPSTREAM_CONNECT);
        return;
    }
    set_state(c, CONN_HANDSHAKE);
    arm_read(c, true);
    handshake_step(c);
}

static void read_again(struct conn *c)
{
    c->again = false;
    worker_touch(c->worker);
    if (wants_bytes(c)) {
        read_some(c);
    }
}

/* A step with a large RSA key takes milliseconds: one is enough for a turn that is long already. */
static bool may_step(struct worker *w)
{
    bool late = w->now_us - w->turn_began_us >= WORKER_EVENTS_US;

    return w->handshake_steps++ < (late ? 1 : WORKER_HANDSHAKE_STEPS);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    worker_touch(c->worker);
    if (c->state == CONN_HANDSHAKE) {
        if (c->ssl != NULL && !may_step(c->worker)) {
            return; /* the descriptor stays readable: its turn comes, streams go first */
        }
        handshake_step(c);
    }
    if (c->state == CONN_OPEN) {
        read_some(c);
    } else if (c->state == CONN_LINGERING) {
        drop_lingering(c);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    worker_touch(c->worker);
    if (c->state == CONN_CONNECTING) {
        on_connected(c);
        return;
    }
    conn_flush(c);
}

static void on_deadline(struct deadline *d)
{
    struct conn *c = CONTAINER_OF(d, struct conn, deadline);

    if (c->deaf) {
        conn_close(c, c->state == CONN_CONNECTING ? CE_UPSTREAM_CONNECT : CE_IO);
    } else if (c->state == CONN_CONNECTING) {
        conn_close(c, CE_UPSTREAM_CONNECT_TIMEOUT);
    } else if (c->state == CONN_FINISHING &&
               conn_pending(c) + CONN_FINISH_PROGRESS_BYTES <= c->finish_pending) {
        set_finish_deadline(c);
    } else {
        conn_close(c, c->state == CONN_HANDSHAKE ? CE_TLS_TIMEOUT : CE_OK);
    }
}

static void flush_dirty(struct list *link)
{
    conn_flush(CONTAINER_OF(link, struct conn, dirty_link));
}

static const struct worker_conn_ops worker_ops = {flush_dirty, read_again};

static struct conn *make(struct worker *w, int fd, const struct conn_events *events, void *owner)
{
    static const int on = 1;
    struct conn *c = xcalloc(1, sizeof(*c));

    c->worker = w;
    w->conn_ops = &worker_ops;
    c->fd = fd;
    c->events = events;
    c->owner = owner;
    c->reading = true;
    c->in_max_bytes = DEFAULT_IN_MAX_BYTES;
    c->transport = &transport_plain;
    list_init(&c->dirty_link);
    list_init(&c->reapable.link);
    deadline_init(&c->deadline, on_deadline);
    event_assign(&c->read_event, w->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return c;
}

static void set_keepalive(int fd)
{
    static const int on = 1;
    static const int idle_s = 15;
    static const int interval_s = 5;
    static const int probes = 3;
    static const unsigned user_timeout_ms = 30000;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
}

struct conn *conn_accept(struct worker *w, int fd, struct tls_ctx *tls, uint64_t handshake_ms,
                         const struct conn_events *events, void *owner)
{
    static const int notsent_lowat_bytes = 32 * 1024; /* a slow reader shows early */
    struct conn *c = make(w, fd, events, owner);

    set_keepalive(fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent_lowat_bytes,
                     sizeof(notsent_lowat_bytes));
    c->state = CONN_HANDSHAKE;
    if (tls != NULL) {
        tls_conn_start(c, tls);
        deadline_set(&w->wheel, &c->deadline, w->now_ms, handshake_ms);
    } else {
        set_state(c, CONN_OPEN);
    }
    arm_read(c, true);
    return c;
}

struct conn *conn_connect(struct worker *w, const struct net_address *to, struct tls_client *tls,
                          uint64_t timeout_ms, const struct conn_events *events, void *owner)
{
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return NULL;
    }
    if (connect(fd, (const struct sockaddr *)&to->storage, to->len) != 0 && errno != EINPROGRESS) {
        close(fd);
        return NULL;
    }
    struct conn *c = make(w, fd, events, owner);

    set_keepalive(fd);
    c->state = CONN_CONNECTING;
    if (tls != NULL) {
        tls_conn_start_client(c, tls);
    }
    deadline_set(&w->wheel, &c->deadline, w->now_ms, timeout_ms);
    arm_write(c, true);
    return c;
}

void conn_acknowledge_late(struct conn *c)
{
    static const int off = 0;

    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
}

void conn_pause_read(struct conn *c)
{
    if (c->reading && c->state == CONN_OPEN) {
        arm_read(c, false);
    }
    c->reading = false;
}

void conn_resume_read(struct conn *c)
{
    if (c->reading || c->state != CONN_OPEN) {
        return;
    }
    c->reading = true;
    if (block_len(c->in) < c->in_max_bytes && !c->eof_seen) {
        arm_read(c, true);
    }
    ask_again(c);
}

bool conn_peer_gone(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
