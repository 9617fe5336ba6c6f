/*
 * sim_load.c: open N streams on an HTTP/1.1 server at once and watch them: one thread, raw epoll.
 *
 * Every stream is one connection that sends one POST and reads a chunked (or counted) answer; a
 * finished one is started again on a new connection until the time is over. Prints one JSON object:
 * chunks, bytes, streams completed and truncated, statuses, the gaps between chunks as one stream
 * sees them, and the delay from the stamp in a native line (created_at) to its arrival here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GAP_SLOTS 100000u /* of 100 microseconds each */
#define HEAD_MAX 16384u
#define CONNECTING_MAX 512u /* so that a backlog of 512 is never overrun */

enum step { STEP_IDLE, STEP_CONNECT, STEP_HEAD, STEP_SIZE, STEP_DATA, STEP_CRLF, STEP_LENGTH };

struct stream {
    int fd;
    enum step step;
    uint64_t sent_us;
    uint64_t last_us;
    uint64_t left;  /* of the chunk or the counted body */
    uint64_t size;  /* chunk size being read */
    bool size_done; /* the rest of the size line is skipped */
    unsigned head_len;
    char *head; /* owned while the head is read */
};

struct load {
    const char *host;
    int port;
    const char *path;
    const char *body;
    char headers[8192];
    unsigned count;
    double seconds;
    bool once; /* do not start a stream again */
    int epoll_fd;
    struct stream *streams;
    unsigned connecting;
    unsigned next; /* first stream that was never started */
    char *request;
    size_t request_len;
    uint64_t start_us;
    uint64_t ramp_us; /* the streams start evenly over this time, not in step */
    uint64_t end_us;
    uint64_t chunks;
    uint64_t bytes;
    uint64_t completed;
    uint64_t truncated;
    uint64_t refused;
    uint64_t started;
    uint64_t statuses[600];
    uint64_t max_gap_us;
    uint64_t max_first_us;
    uint64_t gaps[GAP_SLOTS];
    uint64_t gap_count;
    uint64_t delays[GAP_SLOTS]; /* slots of 10 microseconds: noted times ten */
    uint64_t delay_count;
    uint64_t first[GAP_SLOTS];
    uint64_t first_count;
};

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void note(uint64_t *slots, uint64_t us)
{
    uint64_t slot = us / 100;
    slots[slot < GAP_SLOTS ? slot : GAP_SLOTS - 1]++;
}

static uint64_t digits(const char *p, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < count; i++) {
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    return value;
}

/* created_at is UTC with up to nine decimals; only the time of day is looked at. */
static void note_delay(struct load *l, const char *data, size_t len)
{
    static const char key[] = "\"created_at\":\"";
    const uint64_t day_us = 86400000000u;
    const char *at = memmem(data, len, key, sizeof(key) - 1);
    struct timespec ts;

    if (at == NULL || (size_t)(data + len - at) < sizeof(key) - 1 + 26) {
        return;
    }
    at += sizeof(key) - 1;
    uint64_t sent_us =
        ((digits(at + 11, 2) * 60 + digits(at + 14, 2)) * 60 + digits(at + 17, 2)) * 1000000u +
        digits(at + 20, 6);

    clock_gettime(CLOCK_REALTIME, &ts);
    uint64_t here_us = ((uint64_t)ts.tv_sec % 86400u) * 1000000u + (uint64_t)ts.tv_nsec / 1000u;

    note(l->delays, (here_us + day_us - sent_us) % day_us * 10);
    l->delay_count++;
}

static double percentile_ms(const uint64_t *slots, uint64_t count, double part)
{
    uint64_t want = (uint64_t)((double)count * part);
    uint64_t seen = 0;

    for (size_t i = 0; i < GAP_SLOTS; i++) {
        seen += slots[i];
        if (seen > want) {
            return (double)i / 10.0;
        }
    }
    return 0;
}

static void stream_stop(struct load *l, struct stream *s)
{
    if (s->step == STEP_CONNECT) {
        l->connecting--;
    }
    close(s->fd);
    free(s->head);
    s->head = NULL;
    s->step = STEP_IDLE;
}

static void stream_start(struct load *l, struct stream *s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = s};
    int one = 1;

    inet_pton(AF_INET, l->host, &addr.sin_addr);
    *s = (struct stream){.step = STEP_CONNECT};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0 ||
        (connect(s->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 && errno != EINPROGRESS)) {
        perror("sim-load: connect");
        exit(1);
    }
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev);
    l->connecting++;
    l->started++;
}

static void stream_over(struct load *l, struct stream *s, bool whole)
{
    if (whole) {
        l->completed++;
    } else {
        l->truncated++;
    }
    stream_stop(l, s);
    if (!l->once && now_us() < l->end_us) {
        stream_start(l, s);
    }
}

static void on_connected(struct load *l, struct stream *s)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
    ssize_t n = send(s->fd, l->request, l->request_len, MSG_NOSIGNAL);

    l->connecting--;
    s->step = STEP_HEAD;
    if (n != (ssize_t)l->request_len) {
        l->refused++;
        stream_stop(l, s);
        return;
    }
    s->sent_us = now_us();
    s->head = malloc(HEAD_MAX + 1);
    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev);
}

static const char *find_field(const char *head, const char *name)
{
    const char *p = strcasestr(head, name);
    return p != NULL ? p + strlen(name) : NULL;
}

/* Returns how much of `data` belongs to the head; the step changes when it is complete. */
static size_t take_head(struct load *l, struct stream *s, const char *data, size_t len)
{
    size_t room = HEAD_MAX - s->head_len;
    size_t take = len < room ? len : room;
    unsigned before = s->head_len;

    memcpy(s->head + s->head_len, data, take);
    s->head_len += (unsigned)take;
    s->head[s->head_len] = 0;
    const char *end = strstr(s->head, "\r\n\r\n");
    if (end == NULL) {
        return take;
    }
    size_t used = (size_t)(end + 4 - s->head) - before;
    s->head[end + 4 - s->head - 2] = 0;
    long status = strlen(s->head) > 12 ? strtol(s->head + 9, NULL, 10) : 0;
    l->statuses[status > 0 && status < 600 ? status : 0]++;
    const char *length = find_field(s->head, "\r\nContent-Length:");
    s->left = length != NULL ? strtoull(length, NULL, 10) : 0;
    s->step = length != NULL ? STEP_LENGTH : STEP_SIZE;
    s->size = 0;
    s->size_done = false;
    free(s->head);
    s->head = NULL;
    return used;
}

static void count_chunk(struct load *l, struct stream *s, uint64_t now)
{
    l->chunks++;
    if (s->last_us == 0) {
        uint64_t first = now - s->sent_us;
        note(l->first, first);
        l->first_count++;
        l->max_first_us = first > l->max_first_us ? first : l->max_first_us;
    } else {
        uint64_t gap = now - s->last_us;
        note(l->gaps, gap);
        l->gap_count++;
        l->max_gap_us = gap > l->max_gap_us ? gap : l->max_gap_us;
    }
    s->last_us = now;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }
    ch = (char)(ch | 0x20);
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* One byte of a chunk-size line; true when the line is over. */
static bool take_size(struct stream *s, char ch)
{
    int digit = hex_digit(ch);

    if (ch == '\n') {
        return true;
    }
    if (digit < 0) {
        s->size_done = true;
    } else if (!s->size_done) {
        s->size = s->size * 16 + (uint64_t)digit;
    }
    return false;
}

/* Walk through body bytes; returns true when the answer is complete. */
static bool take_body(struct load *l, struct stream *s, const char *data, size_t len, uint64_t now)
{
    size_t at = 0;

    while (at < len) {
        if (s->step == STEP_SIZE) {
            if (take_size(s, data[at++])) {
                s->left = s->size;
                s->step = s->size > 0 ? STEP_DATA : STEP_CRLF;
            }
            continue;
        }
        if (s->step == STEP_CRLF) {
            if (data[at++] == '\n') {
                if (s->size == 0) {
                    return true;
                }
                s->step = STEP_SIZE;
                s->size = 0;
                s->size_done = false;
            }
            continue;
        }
        size_t take = len - at < s->left ? len - at : (size_t)s->left;
        note_delay(l, data + at, take);
        at += take;
        s->left -= take;
        if (s->left == 0) {
            count_chunk(l, s, now);
            if (s->step == STEP_LENGTH) {
                return true;
            }
            s->step = STEP_CRLF;
        }
    }
    return s->step == STEP_LENGTH && s->left == 0;
}

static void on_readable(struct load *l, struct stream *s)
{
    static char data[65536];
    ssize_t n = recv(s->fd, data, sizeof(data), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        stream_over(l, s, false);
        return;
    }
    l->bytes += (uint64_t)n;
    size_t used = s->step == STEP_HEAD ? take_head(l, s, data, (size_t)n) : 0;
    if (s->step != STEP_HEAD && take_body(l, s, data + used, (size_t)n - used, now_us())) {
        stream_over(l, s, true);
    }
}

static void start_more(struct load *l)
{
    uint64_t since = now_us() - l->start_us;
    uint64_t due = l->ramp_us == 0 ? l->count : 1 + since * l->count / l->ramp_us;

    while (l->next < l->count && l->next < due && l->connecting < CONNECTING_MAX) {
        stream_start(l, &l->streams[l->next++]);
    }
}

static void run(struct load *l)
{
    struct epoll_event events[1024];

    start_more(l);
    while (now_us() < l->end_us) {
        int n = epoll_wait(l->epoll_fd, events, 1024, l->next < l->count ? 1 : 20);
        for (int i = 0; i < n; i++) {
            struct stream *s = events[i].data.ptr;
            if (s->step == STEP_CONNECT && (events[i].events & (EPOLLERR | EPOLLHUP)) != 0) {
                l->refused++;
                stream_stop(l, s);
            } else if (s->step == STEP_CONNECT) {
                on_connected(l, s);
            } else if (s->step != STEP_IDLE) {
                on_readable(l, s);
            }
        }
        start_more(l);
        if (l->once && l->completed + l->truncated + l->refused >= l->count) {
            return;
        }
    }
}

static void report(const struct load *l, double seconds)
{
    struct rusage use;
    unsigned open = 0;
    bool any = false;

    for (unsigned i = 0; i < l->count; i++) {
        open += l->streams[i].step != STEP_IDLE ? 1 : 0;
    }
    getrusage(RUSAGE_SELF, &use);
    printf(
        "{\"seconds\":%.2f,\"started\":%llu,\"completed\":%llu,\"truncated\":%llu,\"refused\":%llu,"
        "\"open_at_end\":%u,\"chunks\":%llu,\"chunks_per_s\":%.0f,\"bytes\":%llu,",
        seconds, (unsigned long long)l->started, (unsigned long long)l->completed,
        (unsigned long long)l->truncated, (unsigned long long)l->refused, open,
        (unsigned long long)l->chunks, (double)l->chunks / seconds, (unsigned long long)l->bytes);
    printf("\"statuses\":{");
    for (int i = 0; i < 600; i++) {
        if (l->statuses[i] > 0) {
            printf("%s\"%d\":%llu", any ? "," : "", i, (unsigned long long)l->statuses[i]);
            any = true;
        }
    }
    printf("},\"first_ms\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f},",
           percentile_ms(l->first, l->first_count, 0.5),
           percentile_ms(l->first, l->first_count, 0.99), (double)l->max_first_us / 1000.0);
    printf("\"gap_ms\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},",
           percentile_ms(l->gaps, l->gap_count, 0.5), percentile_ms(l->gaps, l->gap_count, 0.9),
           percentile_ms(l->gaps, l->gap_count, 0.99), percentile_ms(l->gaps, l->gap_count, 0.999),
           (double)l->max_gap_us / 1000.0);
    printf("\"delay_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f},",
           percentile_ms(l->delays, l->delay_count, 0.5) / 10,
           percentile_ms(l->delays, l->delay_count, 0.99) / 10,
           percentile_ms(l->delays, l->delay_count, 0.999) / 10);
    printf("\"cpu_s\":%.2f}\n", (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                                    (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
}

static void usage(void)
{
    puts("usage: sim-load --port N [--host IPV4] [--path /api/chat] [--body JSON] [--header 'A: "
         "b']...\n"
         "                [--streams N] [--seconds S] [--ramp S] [--once]\n"
         "Opens N streams at once (or evenly over --ramp seconds), restarts what ends until S "
         "seconds are over, prints one JSON "
         "object.\n"
         "--once: every stream only once, stop when all are over. --host takes an address, no "
         "name.");
}

static bool set_option(struct load *l, const char *name, const char *value)
{
    size_t used = strlen(l->headers);

    if (strcmp(name, "--host") == 0) {
        l->host = value;
    } else if (strcmp(name, "--port") == 0) {
        l->port = (int)strtol(value, NULL, 10);
    } else if (strcmp(name, "--path") == 0) {
        l->path = value;
    } else if (strcmp(name, "--body") == 0) {
        l->body = value;
    } else if (strcmp(name, "--streams") == 0) {
        l->count = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--seconds") == 0) {
        l->seconds = strtod(value, NULL);
    } else if (strcmp(name, "--ramp") == 0) {
        l->ramp_us = (uint64_t)(strtod(value, NULL) * 1e6);
    } else if (strcmp(name, "--header") == 0) {
        snprintf(l->headers + used, sizeof(l->headers) - used, "%s\r\n", value);
    } else {
        return false;
    }
    return true;
}

static bool parse_args(struct load *l, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--once") == 0) {
            l->once = true;
        } else if (i + 1 >= argc || !set_option(l, argv[i], argv[i + 1])) {
            return false;
        } else {
            i++;
        }
    }
    return l->port > 0 && l->count > 0;
}

int main(int argc, char **argv)
{
    struct load *l = calloc(1, sizeof(*l));
    struct rlimit limit;

    l->host = "127.0.0.1";
    l->path = "/api/chat";
    l->body = "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],"
              "\"options\":{\"num_predict\":1000}}";
    l->count = 100;
    l->seconds = 10;
    if (!parse_args(l, argc, argv)) {
        usage();
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    int len = asprintf(&l->request,
                       "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%s"
                       "Content-Length: %zu\r\n\r\n%s",
                       l->path, l->host, l->port, l->headers, strlen(l->body), l->body);
    if (len < 0) {
        return 1;
    }
    l->request_len = (size_t)len;
    l->streams = calloc(l->count, sizeof(*l->streams));
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start = now_us();
    l->start_us = start;
    l->end_us = start + (uint64_t)(l->seconds * 1e6);
    run(l);
    report(l, (double)(now_us() - start) / 1e6);
    free(l->streams);
    free(l->request);
    free(l);
    return 0;
}
