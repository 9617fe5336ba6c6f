#include "app/helper.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "net/worker.h"

struct helper {
    struct worker *main_worker; /* borrowed */
    uint32_t mail_kind;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below; not held while a job runs */
    pthread_cond_t wake;
    void (*work)(void *arg); /* NULL: nothing to do */
    void *arg;
    bool stop;
};

/* False: to be stopped. */
static bool wait_for_work(struct helper *h)
{
    pthread_mutex_lock(&h->lock);
    while (h->work == NULL && !h->stop) {
        pthread_cond_wait(&h->wake, &h->lock);
    }
    bool go_on = h->work != NULL;

    pthread_mutex_unlock(&h->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct helper *h = arg;

    while (wait_for_work(h)) {
        h->work(h->arg); /* both stay as they are while it runs */
        pthread_mutex_lock(&h->lock);
        h->work = NULL;
        pthread_mutex_unlock(&h->lock);
        worker_mail(h->main_worker, &(struct mail){.kind = h->mail_kind});
    }
    return NULL;
}

struct helper *helper_create(struct worker *main_worker, uint32_t mail_kind)
{
    struct helper *h = xcalloc(1, sizeof(*h));
    sigset_t all;
    sigset_t before;

    h->main_worker = main_worker;
    h->mail_kind = mail_kind;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&h->thread, NULL, run, h) != 0) {
        mem_exhausted();
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return h;
}

void helper_run(struct helper *h, void (*work)(void *arg), void *arg)
{
    pthread_mutex_lock(&h->lock);
    assert(h->work == NULL);
    h->work = work;
    h->arg = arg;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

bool helper_destroy(struct helper *h)
{
    struct timespec until;

    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HELPER_PATIENCE_S;
    if (pthread_timedjoin_np(h->thread, NULL, &until) != 0) {
        return false;
    }
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
    return true;
}
