#include "limit/state.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/intern.h"
#include "base/mem.h"
#include "limit/impl.h"
#include "limit/state_file.h"
#include "obs/log.h"

enum {
    ROWS_MAX = 16384, /* of one transaction */
    BATCH = 64,       /* copied out while an account's mutex is held */
    PRUNE_MS = 60 * 60 * 1000,
    COMPLAIN_MS = 60 * 1000,
};

struct limit_state {
    struct limiter *limiter;   /* borrowed */
    struct intern *tenants;    /* borrowed */
    bool *restored;            /* by tenant; of who calls limit_state_restore */
    pthread_mutex_t file_lock; /* the thread writes, main or its helper restores */
    struct state_file *file;   /* owned; under file_lock */
    /* the thread's, and main's while there is no thread */
    struct state_row *rows; /* owned; ROWS_MAX */
    size_t row_count;
    struct log_source *log; /* borrowed */
    uint64_t prune_at_ms;   /* monotonic, as complain_at_ms */
    uint64_t complain_at_ms;
    bool failing;
    /* starting and stopping */
    pthread_t thread;
    bool running; /* main only */
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_wish;
    bool stop; /* under stop_lock */
    /* written by the thread or main, read by all */
    atomic_uint_fast64_t rows_written;
    atomic_uint_fast64_t writes_failed;
    atomic_uint_fast64_t rows_restored;
    atomic_uint_fast64_t rows_dropped;
};

/* An account that is being filled again. */
struct filling {
    struct limit_state *state;
    struct limit_account *account;
    uint64_t now_ms;
};

static void on_row(void *arg, const struct state_row *row)
{
    struct filling *f = arg;
    struct counter kept = {
        .budget = true, .window = {.ends_ms = row->ends_ms, .used = row->used, .debt = row->debt}};

    if (counter_is_old(&kept, f->now_ms)) {
        return;
    }
    pthread_mutex_lock(&f->account->lock);
    uint32_t index = limit_account_get(f->account, &row->key, f->now_ms);
    struct counter *c = index == COUNTER_NONE ? NULL : limit_account_at(f->account, index);

    if (c != NULL && c->window.ends_ms == 0) { /* else it is in use: what it counts goes on */
        c->window = kept.window;
        c->budget = true;
    }
    pthread_mutex_unlock(&f->account->lock);
    atomic_fetch_add(c == NULL ? &f->state->rows_dropped : &f->state->rows_restored, 1);
}

static uint32_t tenant_count(const struct limit_state *s)
{
    uint32_t count = intern_count(s->tenants);

    return count < s->limiter->max_tenants ? count : s->limiter->max_tenants;
}

static enum corral_err restore_all(struct limit_state *s)
{
    enum corral_err err = CE_OK;

    for (uint32_t tenant = 0; tenant < tenant_count(s) && err == CE_OK; tenant++) {
        struct filling f = {s, limiter_account(s->limiter, tenant), clock_wall_ms()};

        if (f.account != NULL && !s->restored[tenant]) {
            err = state_file_read(s->file, intern_name(s->tenants, tenant), on_row, &f);
            s->restored[tenant] = err == CE_OK;
        }
    }
    return err;
}

enum corral_err limit_state_restore(struct limit_state *s, struct limit_state_fault *out_fault)
{
    pthread_mutex_lock(&s->file_lock);
    enum corral_err err = restore_all(s);

    if (err != CE_OK) {
        snprintf(out_fault->text, sizeof(out_fault->text), "cannot read %s",
                 state_file_error(s->file));
    }
    pthread_mutex_unlock(&s->file_lock);
    return err;
}

static void init_stop(struct limit_state *s)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&s->stop_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->stop_wish, &attributes);
    pthread_condattr_destroy(&attributes);
}

enum corral_err limit_state_open(const char *directory, struct limiter *l, struct intern *tenants,
                                 struct limit_state_fault *out_fault, struct limit_state **out)
{
    struct state_file *file;
    enum corral_err err = state_file_open(directory, out_fault, &file);

    if (err != CE_OK) {
        return err;
    }
    struct limit_state *s = xcalloc(1, sizeof(*s));

    s->limiter = l;
    s->tenants = tenants;
    s->file = file;
    s->restored = xcalloc(l->max_tenants, sizeof(*s->restored));
    s->rows = xcalloc(ROWS_MAX, sizeof(*s->rows));
    pthread_mutex_init(&s->file_lock, NULL);
    init_stop(s);
    limiter_keep(l, state_file_seed(file));
    err = limit_state_restore(s, out_fault);
    if (err == CE_OK) {
        *out = s;
    } else {
        limit_state_close(s);
    }
    return err;
}

void limit_state_close(struct limit_state *s)
{
    if (s == NULL) {
        return;
    }
    limit_state_stop(s);
    state_file_close(s->file);
    pthread_cond_destroy(&s->stop_wish);
    pthread_mutex_destroy(&s->stop_lock);
    pthread_mutex_destroy(&s->file_lock);
    free(s->rows);
    free(s->restored);
    free(s);
}

static void complain(struct limit_state *s)
{
    uint64_t now_ms = clock_mono_ms();

    atomic_fetch_add(&s->writes_failed, 1);
    if (!s->failing || now_ms >= s->complain_at_ms) {
        s->complain_at_ms = now_ms + COMPLAIN_MS;
        log_event(s->log, LOG_ERROR, "limits.not_kept", "detail", state_file_error(s->file));
    }
    s->failing = true;
}

static void rejoice(struct limit_state *s)
{
    if (s->failing) {
        log_event(s->log, LOG_INFO, "limits.kept_again", "detail", "budgets are written again");
    }
    s->failing = false;
}

/* They are still to be written; those that were reused meanwhile were over. */
static void mark_again(struct limit_state *s)
{
    for (size_t i = 0; i < s->row_count; i++) {
        struct limit_account *a = limiter_account(s->limiter, s->rows[i].tenant);

        pthread_mutex_lock(&a->lock);
        uint32_t index = limit_account_find(a, &s->rows[i].key);

        if (index != COUNTER_NONE) {
            limit_account_mark(a, index);
        }
        pthread_mutex_unlock(&a->lock);
    }
}

/* All rows in one transaction. */
static enum corral_err write_rows(struct limit_state *s)
{
    bool prune = clock_mono_ms() >= s->prune_at_ms;

    if (s->row_count == 0 && !prune) {
        return CE_OK;
    }
    pthread_mutex_lock(&s->file_lock);
    state_file_begin(s->file);
    for (size_t i = 0; i < s->row_count; i++) {
        state_file_put(s->file, intern_name(s->tenants, s->rows[i].tenant), &s->rows[i]);
    }
    if (prune) {
        state_file_prune(s->file, clock_wall_ms());
    }
    enum corral_err err = state_file_end(s->file);

    if (err == CE_OK) {
        atomic_fetch_add(&s->rows_written, s->row_count);
        s->prune_at_ms = prune ? clock_mono_ms() + PRUNE_MS : s->prune_at_ms;
        rejoice(s);
    } else {
        complain(s);
    }
    pthread_mutex_unlock(&s->file_lock);
    if (err != CE_OK) {
        mark_again(s);
    }
    s->row_count = 0;
    return err;
}

/* Up to `most` changed counters of an account. */
static uint32_t copy_out(struct limit_state *s, uint32_t tenant, uint32_t most)
{
    struct limit_account *a = limiter_account(s->limiter, tenant);
    uint32_t copied = 0;

    pthread_mutex_lock(&a->lock);
    while (copied < most) {
        uint32_t index = limit_account_unmark(a);

        if (index == COUNTER_NONE) {
            break;
        }
        const struct counter *c = limit_account_at(a, index);

        s->rows[s->row_count++] = (struct state_row){.tenant = tenant,
                                                     .key = c->key,
                                                     .ends_ms = c->window.ends_ms,
                                                     .used = c->window.used,
                                                     .debt = c->window.debt};
        copied++;
    }
    pthread_mutex_unlock(&a->lock);
    return copied;
}

/* Those that had changed when this began: while they change faster than a disk writes, it ends. */
static enum corral_err write_account(struct limit_state *s, uint32_t tenant)
{
    struct limit_account *a = limiter_account(s->limiter, tenant);
    enum corral_err err = CE_OK;

    pthread_mutex_lock(&a->lock);
    uint32_t left = a->dirty_count;

    pthread_mutex_unlock(&a->lock);
    while (left > 0 && err == CE_OK) {
        uint32_t copied = copy_out(s, tenant, left < BATCH ? left : BATCH);

        left = copied == 0 ? 0 : left - copied;
        if (s->row_count + BATCH > ROWS_MAX) {
            err = write_rows(s);
        }
    }
    return err;
}

static void write_all(struct limit_state *s)
{
    enum corral_err err = CE_OK;

    for (uint32_t tenant = 0; tenant < tenant_count(s) && err == CE_OK; tenant++) {
        if (limiter_account(s->limiter, tenant) != NULL) {
            err = write_account(s, tenant);
        }
    }
    if (err == CE_OK) {
        (void)write_rows(s); /* a failure was told, and is tried again in a second */
    }
}

/* False: to be stopped. */
static bool wait_a_second(struct limit_state *s)
{
    struct timespec until;
    int status = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LIMIT_STATE_PERIOD_MS / 1000;
    pthread_mutex_lock(&s->stop_lock);
    while (!s->stop && status == 0) {
        status = pthread_cond_timedwait(&s->stop_wish, &s->stop_lock, &until);
    }
    bool go_on = !s->stop;

    pthread_mutex_unlock(&s->stop_lock);
    return go_on;
}

static void *keep_writing(void *arg)
{
    struct limit_state *s = arg;

    do {
        write_all(s);
    } while (wait_a_second(s));
    write_all(s);
    return NULL;
}

void limit_state_start(struct limit_state *s, struct log_source *log)
{
    sigset_t all;
    sigset_t before;

    assert(!s->running);
    s->log = log;
    s->stop = false;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&s->thread, NULL, keep_writing, s) != 0) {
        mem_exhausted();
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->running = true;
}

void limit_state_stop(struct limit_state *s)
{
    if (!s->running) {
        return;
    }
    pthread_mutex_lock(&s->stop_lock);
    s->stop = true;
    pthread_cond_signal(&s->stop_wish);
    pthread_mutex_unlock(&s->stop_lock);
    pthread_join(s->thread, NULL);
    s->running = false;
}

struct limit_state_counts limit_state_counts(struct limit_state *s)
{
    return (struct limit_state_counts){.rows_written = atomic_load(&s->rows_written),
                                       .writes_failed = atomic_load(&s->writes_failed),
                                       .rows_restored = atomic_load(&s->rows_restored),
                                       .rows_dropped = atomic_load(&s->rows_dropped)};
}
