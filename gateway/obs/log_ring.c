#include "obs/log_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* Positions only grow; the ring index is position % LOG_RING_BYTES. */
struct log_source {
    struct log_source *next; /* owned by the logger; set before the source is visible */
    struct logger *logger;
    atomic_size_t head;           /* written by the logging thread */
    atomic_size_t tail;           /* written by the helper */
    atomic_uint_fast64_t dropped; /* written by the logging thread */
    char ring[LOG_RING_BYTES];
};

struct logger {
    pthread_t thread;
    bool started; /* the owner's */
    atomic_int level;
    atomic_bool stop;
    atomic_bool reopen;
    atomic_uint_fast64_t failed; /* lines the target refused; written by the helper */
    pthread_mutex_t lock;        /* guards sources (the list, not the rings) */
    struct log_source *sources;  /* owned */
    char *path;                  /* owned; NULL: standard error */
    int fd;                      /* the helper's, after start */
    bool stuck;                  /* the helper's: nobody reads the target */
};

enum log_level log_source_level(const struct log_source *source)
{
    return (enum log_level)atomic_load_explicit(&source->logger->level, memory_order_relaxed);
}

void log_source_put(struct log_source *s, struct slice line, bool minor)
{
    size_t head = atomic_load_explicit(&s->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&s->tail, memory_order_acquire);

    size_t room = minor ? LOG_RING_BYTES / 2 : LOG_RING_BYTES;

    if (head - tail + line.len > room) {
        atomic_fetch_add_explicit(&s->dropped, 1, memory_order_relaxed);
        return;
    }
    size_t at = head % LOG_RING_BYTES;
    size_t first = line.len < LOG_RING_BYTES - at ? line.len : LOG_RING_BYTES - at;

    memcpy(s->ring + at, line.ptr, first);
    memcpy(s->ring, line.ptr + first, line.len - first);
    atomic_store_explicit(&s->head, head + line.len, memory_order_release);
}

static int open_target(const char *path)
{
    return path == NULL ? STDERR_FILENO
                        : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
}

/* Patience once: while nobody reads the target, what comes is lost at once. */
static bool has_room(struct logger *l)
{
    enum { PATIENCE_MS = 1000 };
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};

    l->stuck = poll(&p, 1, l->stuck ? 0 : PATIENCE_MS) <= 0;
    return !l->stuck;
}

/*
 * False when the target does not take it: the lines are lost and counted, nobody waits long.
 * Standard error is others' too and stays blocking, so it is asked first: a pipe that has room
 * takes PIPE_BUF bytes (POSIX, write) without waiting for its reader.
 */
static bool write_all(struct logger *l, const char *bytes, size_t len)
{
    bool shared = l->path == NULL;

    while (len > 0) {
        if (shared && !has_room(l)) {
            return false;
        }
        ssize_t n = write(l->fd, bytes, shared && len > PIPE_BUF ? PIPE_BUF : len);

        if (n < 0 && errno == EAGAIN) {
            if (!has_room(l)) {
                return false;
            }
        } else if (n < 0 && errno != EINTR) {
            return false;
        } else if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static size_t count_lines(const char *bytes, size_t len)
{
    size_t lines = 0;

    for (size_t i = 0; i < len; i++) {
        lines += bytes[i] == '\n';
    }
    return lines;
}

static void write_piece(struct logger *l, struct log_source *s, size_t at, size_t len)
{
    if (len > 0 && (l->fd < 0 || !write_all(l, s->ring + at, len))) {
        atomic_fetch_add_explicit(&l->failed, count_lines(s->ring + at, len), memory_order_relaxed);
    }
}

static void drain(struct logger *l, struct log_source *s)
{
    size_t tail = atomic_load_explicit(&s->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&s->head, memory_order_acquire);
    size_t at = tail % LOG_RING_BYTES;
    size_t len = head - tail;
    size_t first = len < LOG_RING_BYTES - at ? len : LOG_RING_BYTES - at;

    write_piece(l, s, at, first);
    write_piece(l, s, 0, len - first);
    atomic_store_explicit(&s->tail, head, memory_order_release);
}

static void drain_all(struct logger *l)
{
    pthread_mutex_lock(&l->lock);
    struct log_source *s = l->sources;

    pthread_mutex_unlock(&l->lock);
    while (s != NULL) {
        drain(l, s);
        s = s->next;
    }
}

static void reopen_target(struct logger *l)
{
    if (l->path == NULL) {
        return;
    }
    if (l->fd >= 0) {
        close(l->fd);
    }
    l->fd = open_target(l->path);
}

static void *run(void *arg)
{
    static const struct timespec period = {0, LOG_PERIOD_MS * 1000000L};
    struct logger *l = arg;

    while (!atomic_load(&l->stop)) {
        if (atomic_exchange(&l->reopen, false)) {
            reopen_target(l);
        }
        drain_all(l);
        nanosleep(&period, NULL);
    }
    drain_all(l);
    return NULL;
}

enum corral_err logger_create(const struct log_settings *settings, struct logger **out)
{
    struct logger *l = xcalloc(1, sizeof(*l));

    pthread_mutex_init(&l->lock, NULL);
    atomic_init(&l->level, (int)settings->level);
    l->path = settings->path == NULL ? NULL : xstrdup(settings->path);
    l->fd = open_target(l->path);
    if (l->fd < 0) {
        free(l->path);
        free(l);
        return CE_IO;
    }
    *out = l;
    return CE_OK;
}

void logger_start(struct logger *l)
{
    if (pthread_create(&l->thread, NULL, run, l) != 0) {
        mem_exhausted();
    }
    l->started = true;
}

void logger_destroy(struct logger *l)
{
    if (l == NULL) {
        return;
    }
    atomic_store(&l->stop, true);
    if (l->started) {
        pthread_join(l->thread, NULL);
    } else {
        drain_all(l);
    }
    while (l->sources != NULL) {
        struct log_source *next = l->sources->next;

        free(l->sources);
        l->sources = next;
    }
    if (l->path != NULL && l->fd >= 0) {
        close(l->fd);
    }
    pthread_mutex_destroy(&l->lock);
    free(l->path);
    free(l);
}

struct log_source *logger_source(struct logger *l)
{
    struct log_source *s = xcalloc(1, sizeof(*s));

    s->logger = l;
    pthread_mutex_lock(&l->lock);
    s->next = l->sources;
    l->sources = s;
    pthread_mutex_unlock(&l->lock);
    return s;
}

void logger_set_level(struct logger *l, enum log_level level)
{
    atomic_store(&l->level, (int)level);
}

void logger_reopen(struct logger *l)
{
    atomic_store(&l->reopen, true);
}

uint64_t logger_dropped(struct logger *l)
{
    uint64_t dropped = atomic_load_explicit(&l->failed, memory_order_relaxed);

    pthread_mutex_lock(&l->lock);
    for (struct log_source *s = l->sources; s != NULL; s = s->next) {
        dropped += atomic_load_explicit(&s->dropped, memory_order_relaxed);
    }
    pthread_mutex_unlock(&l->lock);
    return dropped;
}
