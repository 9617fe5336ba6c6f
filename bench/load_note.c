#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "load.h"

_Noreturn void load_fail(const char *what)
{
    fprintf(stderr, "load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

uint64_t load_now_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void load_note(struct load *l, uint64_t ns)
{
    if (l->measuring && l->sample_count < SAMPLES_MAX) {
        l->samples[l->sample_count++] = (uint32_t)(ns / 100 < UINT32_MAX ? ns / 100 : UINT32_MAX);
    }
}

static int connect_port(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        load_fail("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static int connect_path(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(addr.sun_path)) {
        load_fail("--path is too long");
    }
    memcpy(addr.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        load_fail("connect");
    }
    return fd;
}

int load_connect(const struct load *l, SSL **out_ssl)
{
    int fd = l->path != NULL ? connect_path(l->path) : connect_port(l->port);

    *out_ssl = NULL;
    if (l->tls) {
        *out_ssl = SSL_new(l->ctx);
        SSL_set_fd(*out_ssl, fd);
        if (SSL_connect(*out_ssl) != 1) {
            load_fail("handshake");
        }
    }
    return fd;
}

/*
 * created_at is UTC with at least six decimals; only the time of day is looked at. A stamp in which
 * a gateway began a new chunk is left out.
 */
static void note_stamp(struct load *l, const char *at, uint64_t here_ns)
{
    const uint64_t day_ns = 86400000000000u;
    static const int places[] = {11, 12, 14, 15, 17, 18, 20, 21, 22, 23, 24, 25};
    static const uint64_t weights_us[] = {36000000000u, 3600000000u, 600000000u, 60000000u,
                                          10000000u,    1000000u,    100000u,    10000u,
                                          1000u,        100u,        10u,        1u};
    uint64_t us = 0;

    for (size_t i = 0; i < 12; i++) {
        if (at[places[i]] < '0' || at[places[i]] > '9') {
            return;
        }
        us += (uint64_t)(at[places[i]] - '0') * weights_us[i];
    }
    load_note(l, (here_ns % day_ns + day_ns - us * 1000) % day_ns);
}

/* A gateway may frame the lines anew, so lines are counted, not chunks. */
void load_take_lines(struct load *l, char *last, const char *data, size_t len)
{
    static const char key[] = "\"created_at\":\"";
    uint64_t here_ns = load_now_ns(CLOCK_REALTIME);
    const char *end = data + len;

    for (const char *p = data; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        if ((p > data ? p[-1] : *last) == '}' && l->measuring) {
            l->lines++;
        }
    }
    *last = data[len - 1];
    for (const char *p = data; (p = memmem(p, (size_t)(end - p), key, sizeof(key) - 1)) != NULL;) {
        p += sizeof(key) - 1;
        if (end - p > 26) {
            note_stamp(l, p, here_ns);
        }
    }
}

void load_mark(const char *what)
{
    puts(what);
    fflush(stdout);
}

void load_begin(struct load *l)
{
    l->measuring = true;
    load_mark("begin");
}

int load_wait(const struct load *l, uint64_t until_ns, struct epoll_event events[EVENTS])
{
    uint64_t now = load_now_ns(CLOCK_MONOTONIC);
    uint64_t wait = until_ns > now ? until_ns - now : 0;
    struct timespec ts = {.tv_sec = (time_t)(wait / 1000000000u),
                          .tv_nsec = (long)(wait % 1000000000u)};

    return epoll_pwait2(l->epoll_fd, events, EVENTS, &ts, NULL);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile_us(const struct load *l, double part)
{
    if (l->sample_count == 0) {
        return 0;
    }
    size_t at = (size_t)((double)l->sample_count * part);
    return l->samples[at < l->sample_count ? at : l->sample_count - 1] / 10.0;
}

void load_report(struct load *l)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    qsort(l->samples, l->sample_count, sizeof(*l->samples), compare);
    printf("{\"samples\":%zu,\"lines\":%llu,\"waiting\":%llu,\"p50_us\":%.1f,\"p90_us\":%.1f,"
           "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"client_cpu_s\":%.3f}\n",
           l->sample_count, (unsigned long long)l->lines,
           (unsigned long long)(l->due_in - l->due_out), percentile_us(l, 0.5),
           percentile_us(l, 0.9), percentile_us(l, 0.99), percentile_us(l, 0.999),
           percentile_us(l, 1),
           (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}
