#include "net/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { EXIT_OS_ERROR = 71 };

void worker_touch(struct worker *w)
{
    w->now_us = clock_mono_us();
    w->now_ms = w->now_us / 1000;
    if (w->turn_began_us == 0) {
        w->turn_began_us = w->now_us;
    } else if (w->now_us - w->turn_began_us >= WORKER_EVENTS_US) {
        event_base_loopbreak(w->base); /* the events that are left stay active, in their order */
    }
}

/* The clock is read only by who asks: most turns have nothing that takes long. */
bool worker_share_is_spent(struct worker *w)
{
    uint64_t now_us = clock_mono_us();

    if (w->share_until_us == 0) {
        w->share_until_us = now_us + WORKER_SHARE_US;
    }
    return now_us >= w->share_until_us;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;

    worker_touch(w);
    wheel_sweep(&w->wheel, w->now_ms);
}

/* Take over the inbox, once the batch before is delivered. */
static void on_mail_readable(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    uint64_t count;

    worker_touch(w);
    if (w->reading_at < w->reading_len) {
        return; /* the descriptor stays readable */
    }
    if (read(w->mail_fd, &count, sizeof(count)) < 0 && errno != EAGAIN) {
        return;
    }
    pthread_mutex_lock(&w->mail_lock);
    struct mail *batch = w->inbox;
    size_t batch_len = w->inbox_len;
    size_t batch_capacity = w->inbox_capacity;

    w->inbox = w->reading;
    w->inbox_capacity = w->reading_capacity;
    w->inbox_len = 0;
    pthread_mutex_unlock(&w->mail_lock);
    w->reading = batch;
    w->reading_at = 0;
    w->reading_len = batch_len;
    w->reading_capacity = batch_capacity;
}

static void open_base(struct worker *w)
{
    static const struct timeval tick = {0, WHEEL_SLOT_MS * 1000};
    struct event_config *config = event_config_new();

    if (config != NULL) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
        w->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    w->mail_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->base == NULL || w->mail_fd < 0) {
        perror("corral: cannot make an event loop");
        exit(EXIT_OS_ERROR);
    }
    event_assign(&w->mail_event, w->base, w->mail_fd, EV_READ | EV_PERSIST, on_mail_readable, w);
    event_add(&w->mail_event, NULL);
    event_assign(&w->tick_event, w->base, -1, EV_PERSIST, on_tick, w);
    event_add(&w->tick_event, &tick);
}

struct worker *worker_create(unsigned index)
{
    struct worker *w = xcalloc(1, sizeof(*w));

    w->index = index;
    worker_touch(w);
    wheel_init(&w->wheel, w->now_ms);
    list_init(&w->dirty);
    list_init(&w->reap);
    w->scratch = xcalloc(1, WORKER_SCRATCH_BYTES);
    w->cipher_capacity = WORKER_CIPHER_BYTES;
    w->cipher = xcalloc(1, w->cipher_capacity);
    pthread_mutex_init(&w->mail_lock, NULL);
    open_base(w);
    return w;
}

void worker_reap_all(struct worker *w)
{
    struct list *link;

    while ((link = list_pop_front(&w->reap)) != NULL) {
        struct reapable *r = CONTAINER_OF(link, struct reapable, link);

        r->destroy(r);
    }
}

void worker_destroy(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    worker_reap_all(w);
    event_del(&w->mail_event);
    event_del(&w->tick_event);
    close(w->mail_fd);
    event_base_free(w->base);
    block_pool_finish(&w->blocks);
    pthread_mutex_destroy(&w->mail_lock);
    free(w->inbox);
    free(w->reading);
    free(w->again);
    free(w->scratch);
    free(w->cipher);
    free(w);
}

static void flush_dirty(struct worker *w)
{
    struct list *link;

    while ((link = list_pop_front(&w->dirty)) != NULL) {
        w->conn_ops->flush(link);
    }
}

static void begin_share(struct worker *w)
{
    w->share_until_us = 0;
}

static void fire_deadlines(struct worker *w)
{
    begin_share(w);
    while (wheel_fire_one(&w->wheel) && !worker_share_is_spent(w)) {
        ;
    }
}

static void deliver_mail(struct worker *w)
{
    begin_share(w);
    do {
        w->on_mail(w, &w->reading[w->reading_at]);
        w->reading_at++;
    } while (w->reading_at < w->reading_len && !worker_share_is_spent(w));
}

/* One read of each, behind all connections that had events. */
static void read_again(struct worker *w)
{
    size_t count = w->again_count;
    size_t at = 0;

    begin_share(w);
    while (at < count && !worker_share_is_spent(w)) {
        struct conn *c = w->again[at];

        w->again[at++] = NULL;
        if (c != NULL) { /* else it has closed */
            w->conn_ops->read_again(c);
        }
    }
    w->again_count -= at; /* those not reached, and those that came meanwhile */
    memmove(w->again, w->again + at, w->again_count * sizeof(struct conn *));
}

void worker_read_again(struct worker *w, struct conn *c)
{
    w->again = xgrow(w->again, w->again_count, &w->again_capacity, sizeof(struct conn *));
    w->again[w->again_count++] = c;
}

void worker_forget_again(struct worker *w, const struct conn *c)
{
    for (size_t i = 0; i < w->again_count; i++) {
        if (w->again[i] == c) {
            w->again[i] = NULL;
            return;
        }
    }
}

static bool has_more(const struct worker *w)
{
    return w->hook_has_more || w->again_count > 0 || !list_empty(&w->wheel.due) ||
           w->reading_at < w->reading_len;
}

/* What no event announces: it is there already. */
static void do_the_rest(struct worker *w)
{
    if (!list_empty(&w->wheel.due)) {
        fire_deadlines(w);
    }
    if (w->reading_at < w->reading_len) {
        deliver_mail(w);
    }
    if (w->again_count > 0) {
        read_again(w);
    }
}

static void run_hook(struct worker *w)
{
    if (w->on_turn != NULL) {
        begin_share(w);
        w->hook_has_more = w->on_turn(w);
        flush_dirty(w);
    }
}

void worker_run(struct worker *w)
{
    while (!w->stop) {
        w->handshake_steps = 0;
        w->turn_began_us = 0;
        if (has_more(w)) {
            worker_touch(w);
            event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        } else {
            event_base_loop(w->base, EVLOOP_ONCE);
        }
        do_the_rest(w);
        flush_dirty(w);
        run_hook(w);
        worker_reap_all(w);
        w->last_turn_us = w->turn_began_us == 0 ? 0 : clock_mono_us() - w->turn_began_us;
    }
}

void worker_stop(struct worker *w)
{
    w->stop = true;
    event_base_loopbreak(w->base);
}

void worker_mail(struct worker *w, const struct mail *mail)
{
    static const uint64_t one = 1;

    pthread_mutex_lock(&w->mail_lock);
    w->inbox = xgrow(w->inbox, w->inbox_len, &w->inbox_capacity, sizeof(*w->inbox));
    w->inbox[w->inbox_len++] = *mail;
    bool first = w->inbox_len == 1;

    pthread_mutex_unlock(&w->mail_lock);
    if (first && write(w->mail_fd, &one, sizeof(one)) < 0) {
        return; /* the counter is full: the worker has been woken already */
    }
}

void worker_reap(struct worker *w, struct reapable *r, void (*destroy)(struct reapable *r))
{
    r->destroy = destroy;
    list_push_back(&w->reap, &r->link);
}

struct slice worker_date(struct worker *w)
{
    uint64_t second = clock_wall_ms() / 1000;

    if (second != w->date_second) {
        time_t t = (time_t)second;
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        w->date_second = second;
    }
    return slice_of(w->date, 29);
}
