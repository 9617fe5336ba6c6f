/*
 * Preloaded into corral (shim.py): lets one call fail, the n-th from now on, or a few in a row, and
 * the wall clock jump.
 *
 * The file that SHIM_FILE names is shared with the test: it writes which kind of call shall fail
 * and the number, the shim counts down. Calls of every thread count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum kind { NONE, ALLOCATION, READ, SEND, ACCEPT, SOCKET, CONNECT, EPOLL_CTL, KINDS };

struct shared {
    atomic_int kind;
    atomic_int left;     /* calls of that kind until one fails */
    atomic_int failed;   /* how many did */
    atomic_int error;    /* the errno then */
    atomic_llong jump_s; /* what the wall clock shows more */
    atomic_int more;     /* calls of that kind that fail behind the one */
};

static struct shared idle;
static struct shared *shared = &idle;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("SHIM_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR);

    if (fd >= 0) {
        void *m = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        shared = m == MAP_FAILED ? &idle : m;
        close(fd);
    }
}

static int fails(enum kind kind)
{
    if (atomic_load(&shared->kind) != (int)kind) {
        return 0;
    }
    int left = atomic_fetch_sub(&shared->left, 1);

    if (left > 1 || left < 1 - atomic_load(&shared->more)) {
        return 0;
    }
    atomic_fetch_add(&shared->failed, 1);
    errno = atomic_load(&shared->error);
    return 1;
}

/* dlsym itself may ask for memory before the real function is known. */
static char early[65536];
static size_t early_used;

static void *early_memory(size_t size)
{
    size_t at = early_used;

    early_used += (size + 15) & ~(size_t)15;
    return early_used > sizeof(early) ? NULL : early + at;
}

static int is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof(early);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static __typeof__(&malloc) real_malloc;
static __typeof__(&calloc) real_calloc;
static __typeof__(&realloc) real_realloc;
static __typeof__(&free) real_free;
static int looking;

static void look_up(void)
{
    looking = 1;
    real_malloc = NEXT(malloc);
    real_calloc = NEXT(calloc);
    real_realloc = NEXT(realloc);
    real_free = NEXT(free);
    looking = 0;
}

void *malloc(size_t size)
{
    if (real_malloc == NULL) {
        if (looking) {
            return early_memory(size);
        }
        look_up();
    }
    return fails(ALLOCATION) ? NULL : real_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (real_calloc == NULL) {
        if (looking) {
            return early_memory(count * size);
        }
        look_up();
    }
    return fails(ALLOCATION) ? NULL : real_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    if (real_realloc == NULL) {
        look_up();
    }
    return fails(ALLOCATION) ? NULL : real_realloc(old, size);
}

void free(void *p)
{
    if (p != NULL && !is_early(p)) {
        if (real_free == NULL) {
            look_up();
        }
        real_free(p);
    }
}

#define WRAP(result, name, kind, parameters, arguments)                                            \
    result name parameters                                                                         \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
                                                                                                   \
        real = real == NULL ? NEXT(name) : real;                                                   \
        return fails(kind) ? -1 : real arguments;                                                  \
    }

WRAP(ssize_t, read, READ, (int fd, void *to, size_t n), (fd, to, n))
WRAP(ssize_t, recv, READ, (int fd, void *to, size_t n, int flags), (fd, to, n, flags))
WRAP(ssize_t, send, SEND, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags))
WRAP(int, accept4, ACCEPT, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAP(int, socket, SOCKET, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, connect, CONNECT, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, epoll_ctl, EPOLL_CTL, (int e, int op, int fd, struct epoll_event *ev), (e, op, fd, ev))

int clock_gettime(clockid_t id, struct timespec *out)
{
    static __typeof__(&clock_gettime) real;

    real = real == NULL ? NEXT(clock_gettime) : real;
    int result = real(id, out);

    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += atomic_load(&shared->jump_s);
    }
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
