#include <signal.h>
#include <stdlib.h>

#include "app/app.h"
#include "base/mem.h"

struct crew {
    struct app *app; /* borrowed */
    struct worker *worker;
    struct engine *engine;
    struct front *front;
    pthread_t thread;
};

static struct crew *crew_of(struct worker *w)
{
    return w->upper;
}

static void stop_if_idle(struct crew *c)
{
    if (c->engine->draining && c->engine->exchange_count == 0 && front_connections(c->front) == 0) {
        worker_stop(c->worker);
    }
}

static void on_mail(struct worker *w, const struct mail *mail)
{
    struct crew *c = crew_of(w);

    switch (mail->kind) {
    case MAIL_RETIRE:
        front_retire(c->front);
        break;
    case MAIL_DRAIN:
        c->engine->draining = true;
        front_drain(c->front);
        break;
    case MAIL_STOP:
        if (c->engine->exchange_count > 0) {
            atomic_store(&c->app->cut, true);
        }
        exchange_abort_all(c->engine);
        worker_stop(w);
        break;
    default:
        engine_on_mail(c->engine, mail);
        break;
    }
}

static bool on_turn(struct worker *w)
{
    struct crew *c = crew_of(w);
    bool has_more = engine_on_turn(c->engine);

    stop_if_idle(c);
    return has_more;
}

static void *run(void *arg)
{
    struct crew *c = arg;
    struct app *a = c->app;

    c->worker->thread = pthread_self();
    c->front = front_create(c->engine, &a->listen_fds[c->worker->index * a->listener_count],
                            a->listener_count);
    worker_run(c->worker);
    front_destroy(c->front);
    c->front = NULL;
    exchange_abort_all(c->engine);
    worker_mail(a->main_worker, &(struct mail){.kind = MAIL_DRAINED, .index = c->worker->index});
    return NULL;
}

void crew_start_all(struct app *a)
{
    sigset_t all;
    sigset_t before;

    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    a->crews = xcalloc(a->house.worker_count, sizeof(*a->crews));
    for (unsigned i = 0; i < a->house.worker_count; i++) {
        struct crew *c = &a->crews[i];

        c->app = a;
        c->worker = worker_create(i);
        c->worker->upper = c;
        c->worker->on_mail = on_mail;
        c->worker->on_turn = on_turn;
        a->house.workers[i] = c->worker;
        c->engine = engine_create(&a->house, c->worker, logger_source(a->logger));
        a->house.engines[i] = c->engine;
    }
    for (unsigned i = 0; i < a->house.worker_count; i++) {
        if (pthread_create(&a->crews[i].thread, NULL, run, &a->crews[i]) != 0) {
            mem_exhausted();
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void crew_join_all(struct app *a)
{
    for (size_t i = 0; i < a->house.worker_count; i++) {
        pthread_join(a->crews[i].thread, NULL);
    }
    for (size_t i = 0; i < a->house.worker_count; i++) {
        worker_reap_all(a->crews[i].worker);
        engine_destroy(a->crews[i].engine);
        worker_destroy(a->crews[i].worker);
    }
    free(a->crews);
}
