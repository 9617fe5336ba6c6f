#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"
#include "job.h"
#include "sim.h"

#define WORDS_BYTES (1u << 20) /* chunk_bytes may go up to this */

uint64_t sim_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t sim_now_ms(void)
{
    return sim_now_us() / 1000u;
}

uint64_t sim_next_id(struct sim *s)
{
    s->ids += 0x9e3779b97f4a7c15u;
    uint64_t z = s->ids;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return z ^ (z >> 27);
}

static void print_stamp(struct sbuf *out, const char *stamp, long ns)
{
    char digits[9];
    size_t len = sizeof(digits);

    for (size_t i = len; i > 0; i--) {
        digits[i - 1] = (char)('0' + ns % 10);
        ns /= 10;
    }
    while (len > 0 && digits[len - 1] == '0') {
        len--; /* Go drops zeros at the end */
    }
    sbuf_str(out, stamp);
    if (len > 0) {
        sbuf_add(out, ".", 1);
        sbuf_add(out, digits, len);
    }
    sbuf_add(out, "Z", 1);
}

void sim_print_now(struct sim *s, struct sbuf *out)
{
    struct timespec ts;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (ts.tv_sec != s->stamp_s) {
        s->stamp_s = ts.tv_sec;
        gmtime_r(&ts.tv_sec, &tm);
        strftime(s->stamp, sizeof(s->stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    print_stamp(out, s->stamp, ts.tv_nsec);
}

void sim_print_time(struct sbuf *out, int64_t ahead_ms)
{
    struct timespec ts;
    struct tm tm;
    char stamp[24];

    clock_gettime(CLOCK_REALTIME, &ts);
    int64_t most = INT64_MAX / 1000000; /* Go's durations end after 292 years */
    ahead_ms = ahead_ms > most ? most : ahead_ms;
    ts.tv_sec += (time_t)(ahead_ms / 1000);
    gmtime_r(&ts.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    print_stamp(out, stamp, ts.tv_nsec);
}

const char *sim_date(struct sim *s)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != s->date_s) {
        s->date_s = now;
        gmtime_r(&now, &tm);
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return s->date;
}

static void tick_in(struct sim *s, unsigned us)
{
    struct timeval pause = {0, (suseconds_t)us};

    s->tick_us = sim_now_us() + us;
    event_add(&s->tick_event, &pause);
}

void sim_wake(struct sim *s)
{
    bool soon = event_pending(&s->tick_event, EV_TIMEOUT, NULL) &&
                s->tick_us <= sim_now_us() + 2 * WHEEL_TICK_US;

    if (!soon) {
        tick_in(s, WHEEL_TICK_US);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct sim *s = arg;
    (void)fd;
    (void)what;

    wheel_run(&s->wheel, sim_now_us());
    job_reap(s);
    conn_reap(s);
    if (s->wheel.armed > 0) {
        tick_in(s, wheel_gap(&s->wheel, 4000));
    }
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct sim *s = arg;
    (void)fd;
    (void)what;

    event_base_loopbreak(s->base);
}

static int listen_on(struct conf *conf)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)conf->port)};
    socklen_t len = sizeof(addr);
    int one = 1;

    if (inet_pton(AF_INET, conf->host, &addr.sin_addr) != 1) {
        fprintf(stderr, "ollama-sim: --host wants an IPv4 address\n");
        exit(2);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* Inherited by every connection: where the default is BBR, its pacing timers cost more than the
     * send itself and move chunks in time. A kernel without it just keeps its default. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, 16384) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        perror("ollama-sim: listen");
        exit(1);
    }
    conf->port = ntohs(addr.sin_port);
    return fd;
}

/* Returns -1 where none is asked for. What an earlier sim left at the path is replaced. */
static int listen_on_path(const struct conf *conf)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (conf->path[0] == 0) {
        return -1;
    }
    memcpy(addr.sun_path, conf->path, sizeof(addr.sun_path));
    unlink(conf->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 16384) != 0) {
        perror("ollama-sim: --path");
        exit(1);
    }
    return fd;
}

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* One long line of words whose period is 4096 bytes; a token is a window of it. */
static char *make_words(void)
{
    static const char words[] = "lorem ipsum dolor sit amet the quiet horses graze in every field ";
    char *text = sim_calloc(1, WORDS_BYTES + 8192);

    for (size_t i = 0; i < WORDS_BYTES + 8191; i++) {
        text[i] = words[i % 4096 % (sizeof(words) - 1)];
    }
    return text;
}

static void finish(struct sim *s)
{
    struct list *item = list_pop(&s->conns);

    while (item != NULL) {
        struct conn *c = LIST_ENTRY(item, struct conn, link);
        list_push(&s->conns, &c->link);
        c->out.len = 0;
        if (c->job != NULL) {
            struct job *job = c->job;
            c->job = NULL;
            job_destroy(job, false);
        }
        conn_close(c, false); /* open streams are cut at once, as by Ollama on SIGTERM */
        item = list_pop(&s->conns);
    }
    job_reap(s);
    conn_reap(s);
    faults_clear(&s->faults);
    sched_finish(s);
    sbuf_finish(&s->wire);
    sbuf_finish(&s->payload);
    sbuf_finish(&s->scratch);
    for (size_t i = 0; i <= ROUTE_MAX; i++) {
        sbuf_finish(&s->last[i]);
    }
    free(s->words);
}

/* epoll alone waits in whole milliseconds. */
static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();

    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *base = event_base_new_with_config(config);

    event_config_free(config);
    return base;
}

int main(int argc, char **argv)
{
    struct sim *s = sim_calloc(1, sizeof(*s));
    struct event term;
    struct event interrupt;

    conf_init(&s->conf);
    conf_parse_args(&s->conf, argc, argv);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    list_init(&s->conns);
    list_init(&s->reap);
    list_init(&s->dead_jobs);
    wheel_init(&s->wheel, sim_now_us());
    faults_init(&s->faults, (uint64_t)s->conf.seed);
    s->ids = (uint64_t)s->conf.seed;
    s->words = make_words();
    sched_init(s);
    if (s->conf.chunk_bytes > (int64_t)WORDS_BYTES || !sched_set_models(s, s->conf.models)) {
        fprintf(stderr, "ollama-sim: bad --chunk-bytes or --models\n");
        return 2;
    }
    s->base = make_base();
    s->listen_fd = listen_on(&s->conf);
    s->path_fd = listen_on_path(&s->conf);
    evtimer_assign(&s->tick_event, s->base, on_tick, s);
    conn_accept_start(s);
    evsignal_assign(&term, s->base, SIGTERM, on_signal, s);
    evsignal_assign(&interrupt, s->base, SIGINT, on_signal, s);
    event_add(&term, NULL);
    event_add(&interrupt, NULL);
    printf("listening on %s:%d\n", s->conf.host, (int)s->conf.port);
    fflush(stdout);
    event_base_dispatch(s->base);
    finish(s);
    event_del(&term);
    event_del(&interrupt);
    event_base_free(s->base);
    close(s->listen_fd);
    if (s->path_fd >= 0) {
        close(s->path_fd);
    }
    free(s);
    return 0;
}
