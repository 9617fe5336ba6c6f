/*
 * load.c: the load that ./dev bench puts on a gateway. One thread, raw epoll, clear or TLS 1.3;
 * HTTP/1.1, or with --h2-streams (streams and hold) HTTP/2.
 *
 * paced: requests by a Poisson schedule over N connections (open loop): each is due whether or not
 * earlier ones came back, and its latency counts from when it was due
 *
 * streams: one endless answer on each of N connections (HTTP/2: on each stream of each): its lines,
 * and the delay from the stamp in each
 *
 * hold: N connections at rest, after one whole answer or (--streaming) in the middle of one; until
 * stdin ends
 *
 * handshakes: full TLS handshakes one after another, each closed in order
 *
 * Prints "begin" and "end" around what is to be measured, so that what sets it up is left out, then
 * one JSON object.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { HEAD_MAX = 4096, HOLD_AHEAD = 100 };

enum step { STEP_REST, STEP_HEAD, STEP_BODY, STEP_STREAM };

struct conn {
    int fd;
    SSL *ssl; /* NULL: clear */
    enum step step;
    uint64_t due_ns;
    uint64_t left; /* of a counted body */
    char last;     /* of the bytes read before */
    size_t head_len;
    char head[HEAD_MAX + 1];
};

static void conn_open(struct load *l, struct conn *c)
{
    c->fd = load_connect(l, &c->ssl);
    c->step = STEP_REST;
}

static void conn_close(struct conn *c)
{
    char rest[256];

    if (c->ssl != NULL) {
        SSL_shutdown(c->ssl);
    }
    shutdown(c->fd, SHUT_WR);
    while (read(c->fd, rest, sizeof(rest)) > 0) {
    }
    SSL_free(c->ssl);
    close(c->fd);
    c->ssl = NULL;
}

static void conn_ask(struct load *l, struct conn *c)
{
    ssize_t n = c->ssl != NULL ? SSL_write(c->ssl, l->request, (int)l->request_len)
                               : send(c->fd, l->request, l->request_len, MSG_NOSIGNAL);

    if (n != (ssize_t)l->request_len) {
        load_fail("send");
    }
    c->step = STEP_HEAD;
    c->head_len = 0;
    c->last = 0;
}

/* Returns the bytes behind the head. */
static size_t take_head(struct load *l, struct conn *c, const char *data, size_t len)
{
    size_t room = HEAD_MAX - c->head_len;
    size_t take = len < room ? len : room;

    memcpy(c->head + c->head_len, data, take);
    c->head[c->head_len + take] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        c->head_len += take;
        return 0;
    }
    size_t used = (size_t)(end + 4 - c->head) - c->head_len;
    if (strncmp(c->head, "HTTP/1.1 200 ", 13) != 0) {
        fprintf(stderr, "load: answered %s\n", c->head);
        exit(1);
    }
    *end = 0;
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    if ((length == NULL) != l->streaming) {
        load_fail("an answer is framed otherwise than expected");
    }
    c->left = length != NULL ? strtoull(length + 17, NULL, 10) : 0;
    c->step = l->streaming ? STEP_STREAM : STEP_BODY;
    return len - used;
}

static void take(struct load *l, struct conn *c, const char *data, size_t len)
{
    if (c->step == STEP_HEAD) {
        size_t rest = take_head(l, c, data, len);
        data += len - rest;
        len = rest;
    }
    if (c->step == STEP_STREAM && len > 0) {
        load_take_lines(l, &c->last, data, len);
    } else if (c->step == STEP_BODY) {
        if (len > c->left) {
            load_fail("more came than was promised");
        }
        c->left -= len;
        if (c->left == 0) {
            c->step = STEP_REST;
            if (c->due_ns != 0) {
                load_note(l, load_now_ns(CLOCK_MONOTONIC) - c->due_ns);
            }
        }
    }
}

/* Reads what is there; with `blocking` sockets at least one piece. */
static void conn_read(struct load *l, struct conn *c)
{
    static char data[65536];

    if (c->ssl == NULL) {
        ssize_t n = recv(c->fd, data, sizeof(data), 0);
        if (n > 0) {
            take(l, c, data, (size_t)n);
        } else if (n == 0 || errno != EAGAIN) {
            load_fail("a connection ended");
        }
        return;
    }
    do {
        int n = SSL_read(c->ssl, data, sizeof(data));
        if (n <= 0) {
            if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ) {
                load_fail("a connection ended");
            }
            return;
        }
        take(l, c, data, (size_t)n);
    } while (SSL_has_pending(c->ssl));
}

static void open_all(struct load *l)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < l->count; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &l->conns[i]};

        conn_open(l, &l->conns[i]);
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->conns[i].fd, &ev);
    }
}

static void wait_until(struct load *l, uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    int n = load_wait(l, until_ns, events);

    for (int i = 0; i < n; i++) {
        conn_read(l, events[i].data.ptr);
    }
}

static void dispatch(struct load *l)
{
    for (unsigned i = 0; i < l->count && l->due_out < l->due_in; i++) {
        struct conn *c = &l->conns[i];

        if (c->step == STEP_REST) {
            c->due_ns = l->due[l->due_out++ % SAMPLES_MAX];
            conn_ask(l, c);
        }
    }
}

static void paced(struct load *l)
{
    open_all(l);
    uint64_t start = load_now_ns(CLOCK_MONOTONIC);
    uint64_t measure = start + (uint64_t)(l->ramp * 1e9);
    uint64_t end = measure + (uint64_t)(l->seconds * 1e9);
    double next = (double)start;

    for (uint64_t now = start; now < end; now = load_now_ns(CLOCK_MONOTONIC)) {
        if (!l->measuring && now >= measure) {
            load_begin(l);
        }
        while (next <= (double)now) {
            l->due[l->due_in++ % SAMPLES_MAX] = (uint64_t)next;
            next += -log(1 - drand48()) / l->rate * 1e9;
        }
        dispatch(l);
        wait_until(l, (uint64_t)next);
    }
    load_mark("end");
}

static void streams(struct load *l)
{
    open_all(l);
    uint64_t start = load_now_ns(CLOCK_MONOTONIC);
    uint64_t ramp = (uint64_t)(l->ramp * 1e9);
    uint64_t end = start + ramp + 200000000u;

    for (unsigned next = 0; load_now_ns(CLOCK_MONOTONIC) < end;) {
        uint64_t due = start + ramp * next / l->count;

        if (next < l->count && load_now_ns(CLOCK_MONOTONIC) >= due) {
            conn_ask(l, &l->conns[next++]);
            continue;
        }
        wait_until(l, next < l->count ? due : end);
    }
    load_begin(l);
    end = load_now_ns(CLOCK_MONOTONIC) + (uint64_t)(l->seconds * 1e9);
    while (load_now_ns(CLOCK_MONOTONIC) < end) {
        wait_until(l, end);
    }
    load_mark("end");
}

static void hold(struct load *l)
{
    unsigned opened = 0;
    unsigned ahead = l->streaming ? HOLD_AHEAD : 1; /* a first token takes its time */

    for (unsigned i = 0; i < l->count; i++) {
        for (; opened < l->count && opened < i + ahead; opened++) {
            conn_open(l, &l->conns[opened]);
            conn_ask(l, &l->conns[opened]);
        }
        while (l->conns[i].step != STEP_REST && l->conns[i].step != STEP_STREAM) {
            conn_read(l, &l->conns[i]);
        }
    }
    load_mark("begin");
    while (getchar() != EOF) {
    }
    load_mark("end");
}

static void handshakes(struct load *l)
{
    uint64_t start = load_now_ns(CLOCK_MONOTONIC);
    uint64_t end = start + (uint64_t)(l->seconds * 1e9);

    load_begin(l);
    for (uint64_t now = start; now < end;) {
        conn_open(l, &l->conns[0]);
        conn_close(&l->conns[0]);
        uint64_t then = now;
        now = load_now_ns(CLOCK_MONOTONIC);
        load_note(l, now - then);
    }
    load_mark("end");
}

static bool set_option(struct load *l, const char *name, const char *value)
{
    if (strcmp(name, "--port") == 0) {
        l->port = (int)strtol(value, NULL, 10);
    } else if (strcmp(name, "--path") == 0) {
        l->path = value;
    } else if (strcmp(name, "--body") == 0) {
        l->body = value;
    } else if (strcmp(name, "--token") == 0) {
        l->token = value;
    } else if (strcmp(name, "--connections") == 0) {
        l->count = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--h2-streams") == 0) {
        l->h2_streams = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--rate") == 0) {
        l->rate = strtod(value, NULL);
    } else if (strcmp(name, "--seconds") == 0) {
        l->seconds = strtod(value, NULL);
    } else if (strcmp(name, "--ramp") == 0) {
        l->ramp = strtod(value, NULL);
    } else if (strcmp(name, "--seed") == 0) {
        srand48(strtol(value, NULL, 10));
    } else {
        return false;
    }
    return true;
}

static bool parse_args(struct load *l, int argc, char **argv)
{
    if (argc < 2) {
        return false;
    }
    l->mode = argv[1];
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--tls") == 0) {
            l->tls = true;
        } else if (strcmp(argv[i], "--streaming") == 0) {
            l->streaming = true;
        } else if (i + 1 >= argc || !set_option(l, argv[i], argv[i + 1])) {
            return false;
        } else {
            i++;
        }
    }
    return (l->port > 0 || l->path != NULL) && l->count > 0 && l->rate > 0;
}

static bool run(struct load *l)
{
    static const struct {
        const char *name;
        void (*run)(struct load *l);
        void (*run_h2)(struct load *l);
    } modes[] = {{"paced", paced, NULL},
                 {"streams", streams, load_h2_streams},
                 {"hold", hold, load_h2_hold},
                 {"handshakes", handshakes, NULL}};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        void (*act)(struct load *) = l->h2_streams > 0 ? modes[i].run_h2 : modes[i].run;

        if (strcmp(l->mode, modes[i].name) == 0 && act != NULL) {
            act(l);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct load l = {.body = "{}", .token = "", .count = 1, .rate = 1, .seconds = 1};
    struct rlimit limit;

    if (!parse_args(&l, argc, argv)) {
        fputs("usage: bench-load paced|streams|hold|handshakes --port N|--path P [--tls] "
              "[--streaming]\n"
              "       [--connections N] [--h2-streams N] [--rate PER_S] [--seconds S] [--ramp S]\n"
              "       [--body JSON] [--token T] [--seed N]\n",
              stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    l.ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(l.ctx, SSL_SESS_CACHE_OFF);
    /* What a read finds is all there is: a ticket alone must not block. */
    SSL_CTX_clear_mode(l.ctx, SSL_MODE_AUTO_RETRY);
    int len = asprintf(&l.request,
                       "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       l.token, strlen(l.body), l.body);
    if (len < 0) {
        return 1;
    }
    l.request_len = (size_t)len;
    l.conns = calloc(l.count, sizeof(*l.conns));
    l.due = calloc(SAMPLES_MAX, sizeof(*l.due));
    l.samples = calloc(SAMPLES_MAX, sizeof(*l.samples));
    if (l.conns == NULL || l.due == NULL || l.samples == NULL) {
        load_fail("memory");
    }
    if (!run(&l)) {
        return 2;
    }
    load_report(&l);
    return 0;
}
