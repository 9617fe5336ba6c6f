/**
 * What the files of bench-load share. load.c: options, HTTP/1.1. load_h2.c: HTTP/2. load_note.c:
 * the clock, what is noted of answers, the report.
 */
#ifndef CORRAL_BENCH_LOAD_H
#define CORRAL_BENCH_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

enum { SAMPLES_MAX = 1 << 24, EVENTS = 256 };

struct conn;

struct load {
    const char *mode;
    int port;
    const char *path; /* of a UNIX socket, in place of the port; or NULL */
    bool tls;
    bool streaming;
    const char *body;
    const char *token;
    unsigned count;
    unsigned h2_streams; /* of each connection; 0: HTTP/1.1 */
    double rate;
    double seconds;
    double ramp;
    SSL_CTX *ctx;
    char *request;
    size_t request_len;
    int epoll_fd;
    struct conn *conns;
    uint64_t *due; /* ring of requests that wait for a free connection */
    uint64_t due_in;
    uint64_t due_out;
    uint32_t *samples; /* ns / 100 */
    size_t sample_count;
    uint64_t lines;
    bool measuring;
};

_Noreturn void load_fail(const char *what);
uint64_t load_now_ns(clockid_t clock);

/** Connects and shakes hands, blocking. The socket; *out_ssl: NULL without TLS. */
int load_connect(const struct load *l, SSL **out_ssl);

/** Notes a sample, while it is measured. */
void load_note(struct load *l, uint64_t ns);
/** Counts lines and notes their delays. `last`: the stream's, the byte before `data`. */
void load_take_lines(struct load *l, char *last, const char *data, size_t len);

/** Says where what is to be measured begins and ends. */
void load_begin(struct load *l);
void load_mark(const char *what);
/** Waits, for a file that is ready or until then: how many are. */
int load_wait(const struct load *l, uint64_t until_ns, struct epoll_event events[EVENTS]);
void load_report(struct load *l);

/** The modes `streams` and `hold` over HTTP/2. */
void load_h2_streams(struct load *l);
void load_h2_hold(struct load *l);

#endif
