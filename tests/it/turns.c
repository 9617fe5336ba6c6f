/*
 * Preloaded into corral (turns.py): how long each worker works between two waits, in its own CPU
 * time. A turn is what lies between the return of epoll_wait and its next call. The main thread,
 * which serves no client, does not count.
 *
 * The file that TURNS_FILE names is shared with the test, which reads and clears the numbers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct shared {
    atomic_ullong longest_ns;
    atomic_ullong turns;
    atomic_ullong long_turns; /* of over 5 ms */
};

static struct shared unused;
static struct shared *shared = &unused;
static __thread uint64_t since_ns;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("TURNS_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDWR);

    if (fd >= 0) {
        void *m = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        shared = m == MAP_FAILED ? &unused : m;
        close(fd);
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void end_turn(void)
{
    if (since_ns == 0 || gettid() == getpid()) {
        return;
    }
    unsigned long long took = cpu_ns() - since_ns;
    unsigned long long longest = atomic_load(&shared->longest_ns);

    while (took > longest && !atomic_compare_exchange_weak(&shared->longest_ns, &longest, took)) {
        ;
    }
    atomic_fetch_add(&shared->turns, 1);
    atomic_fetch_add(&shared->long_turns, took > 5000000u);
}

int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    static int (*real)(int, struct epoll_event *, int, int);

    if (real == NULL) {
        real = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
    }
    end_turn();
    int count = real(epfd, events, max, timeout);

    since_ns = cpu_ns();
    return count;
}
