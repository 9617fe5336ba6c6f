#include "job.h"

#include <stdlib.h>
#include <time.h>

#include "conn.h"
#include "exchange.h"
#include "reply.h"

#define BURST 64 /* tokens of one stream per tick when it lags or has no pace */

static void on_timer(struct timer *t);

struct job *job_create(struct conn *c, struct model *m, const char *name)
{
    struct job *job = sim_calloc(1, sizeof(*job));
    size_t len = strlen(name) < sizeof(job->name) ? strlen(name) : sizeof(job->name) - 1;

    list_init(&job->link);
    timer_init(&job->timer, on_timer);
    job->sim = c->sim;
    job->conn = c;
    job->model = m;
    memcpy(job->name, name, len);
    job->start_us = sim_now_us();
    job->opts = (struct runner_opts){c->sim->conf.num_ctx, -1, -1, -1, -1, -1};
    c->job = job;
    return job;
}

void job_destroy(struct job *job, bool aborted)
{
    struct sim *s = job->sim;
    bool wedge = aborted && job->place == JOB_RUNNING &&
                 plan_get(&job->conn->plan, FAULT_SLOT_WEDGE) != NULL;

    if (job->place == JOB_RUNNING) {
        s->stats.in_flight--;
    }
    wheel_cancel(&s->wheel, &job->timer);
    sched_release(s, job, wedge);
    /* Whoever is up the stack may still look at it: freed on the next tick. */
    list_push(&s->dead_jobs, &job->link);
    sim_wake(s);
}

void job_reap(struct sim *s)
{
    struct list *item = list_pop(&s->dead_jobs);
    while (item != NULL) {
        struct job *job = LIST_ENTRY(item, struct job, link);
        sbuf_finish(&job->text);
        sbuf_finish(&job->extra);
        free(job);
        item = list_pop(&s->dead_jobs);
    }
}

void job_template(struct job *job, const char *pre, const char *mid, const char *post)
{
    job->text.len = 0;
    sbuf_str(&job->text, pre);
    job->mid_at = job->text.len;
    sbuf_str(&job->text, mid);
    job->post_at = job->text.len;
    sbuf_str(&job->text, post);
}

const char *job_phase(const struct job *job)
{
    switch (job->place) {
    case JOB_PENDING:
        return "queued";
    case JOB_CURRENT:
        return "loading";
    case JOB_WAITING:
        return job->model->state == MODEL_LOADED ? "slot" : "loading";
    case JOB_RUNNING:
        if (!job->stream) {
            return "whole";
        }
        return job->conn->head_sent ? "stream" : "prefill";
    default:
        return "other";
    }
}

void job_submit(struct job *job)
{
    struct conn *c = job->conn;

    if (!sched_submit(job->sim, job)) {
        exchange_error(c, 503, BUSY_TEXT, true);
    }
}

int64_t job_unix(void)
{
    return (int64_t)time(NULL);
}

uint64_t job_interval_us(const struct job *job)
{
    double rate = job->sim->conf.tokens_per_s;
    return rate > 0 ? (uint64_t)(1e6 / rate) : 0;
}

bool job_counts_hidden(const struct job *job)
{
    return plan_get(&job->conn->plan, FAULT_ZERO_COUNTS) != NULL;
}

const char *job_reason(const struct job *job)
{
    return job->length_ended ? "length" : "stop";
}

/* Words of the deterministic text: sim.words is one long line of them, separated by single spaces.
 */
#define WORDS_PERIOD 4096u

const char *job_token(const struct job *job, int64_t i, size_t *len)
{
    static const char *const words[] = {"Say",  " hello", " to",    " the",   " quiet", " horses",
                                        " in",  " every", " field", " while", " rain",  " falls",
                                        " and", " time",  " goes",  " by"};
    size_t bytes = (size_t)job->sim->conf.chunk_bytes;

    if (bytes > 0) {
        *len = bytes;
        return job->sim->words + ((uint64_t)i * bytes) % WORDS_PERIOD;
    }
    const char *word = i == 0 ? words[0] : words[1 + (uint64_t)(i - 1) % 15];
    *len = strlen(word);
    return word;
}

void job_add_text(const struct job *job, struct sbuf *out)
{
    for (int64_t i = 0; i < job->sent; i++) {
        size_t len = 0;
        const char *text = job_token(job, i, &len);
        sbuf_add(out, text, len);
    }
}

struct sbuf *job_chunk_begin(struct job *job)
{
    job->sim->payload.len = 0;
    return &job->sim->payload;
}

void job_chunk_end(struct job *job)
{
    (void)reply_chunk(job->conn, job->sim->payload.ptr, job->sim->payload.len);
}

static void add_giant(struct job *job, struct sbuf *out)
{
    const struct fault *f = plan_get(&job->conn->plan, FAULT_GIANT_LINE);

    for (int64_t i = 0; f != NULL && f->after_chunks == job->sent && i < f->n; i++) {
        sbuf_add(out, "a", 1);
    }
}

static void add_token(struct job *job)
{
    struct sbuf *out = job_chunk_begin(job);
    size_t len = 0;
    const char *text = job_token(job, job->sent, &len);

    sbuf_add(out, job->text.ptr, job->mid_at);
    if (job->dialect->clock == 'n') {
        sim_print_now(job->sim, out);
    } else if (job->dialect->clock == 'u') {
        sbuf_u64(out, (uint64_t)job_unix());
    }
    sbuf_add(out, job->text.ptr + job->mid_at, job->post_at - job->mid_at);
    sbuf_add(out, text, len);
    if (job->conn->plan.count > 0) {
        add_giant(job, out);
    }
    sbuf_add(out, job->text.ptr + job->post_at, job->text.len - job->post_at);
    if (job->dialect->numbered) {
        sbuf_u64(out, (uint64_t)job->sequence++);
        sbuf_str(out, ",\"type\":\"response.output_text.delta\"}\n\n");
    }
    job->sent++;
    job->sim->stats.tokens_sent++;
    job_chunk_end(job);
}

static void begin_stream(struct job *job)
{
    const struct head h = {
        .status = 200, .type = job->dialect->stream_type, .events = job->conn->events};

    reply_begin(job->conn, &h);
    if (job->dialect->first != NULL && !job->conn->done) {
        job->dialect->first(job);
    }
}

static void end_broken(struct job *job, const char *message)
{
    struct conn *c = job->conn;

    if (!job->stream) {
        exchange_error(c, 500, message, true);
        return;
    }
    if (!c->head_sent) {
        exchange_error_stream(c, 500, message);
        return;
    }
    reply_step(c);
    if (message[0] != 0 && job->dialect->broken != NULL) {
        job->dialect->broken(job, message);
    }
    reply_end(c);
}

/* The runner serves all slots of a model: when it dies, every stream of the model breaks. */
static void kill_runner(struct job *job, bool alone)
{
    struct model *m = job->model;

    job->sim->stats.runner_deaths++;
    m->dead = true;
    struct list *item = m->running_jobs.next;
    while (!alone && item != &m->running_jobs) {
        struct job *other = LIST_ENTRY(item, struct job, link);
        item = item->next;
        if (other != job && other->dialect != NULL) {
            end_broken(other, DEATH_TEXT);
            item = m->running_jobs.next; /* the list may have changed in any way */
            if (item == &job->link) {
                item = item->next;
            }
        }
    }
    end_broken(job, DEATH_TEXT);
}

/* Faults that stop or delay a job before its token number `sent`; true when it did not go on. */
static bool token_faults(struct job *job)
{
    const struct plan *p = &job->conn->plan;
    const struct fault *f = NULL;

    if ((f = plan_get(p, FAULT_RUNNER_DEATH)) != NULL && job->sent >= f->after_chunks) {
        kill_runner(job, f->alone);
        return true;
    }
    if ((f = plan_get(p, FAULT_ERROR_LINE)) != NULL && job->sent >= f->after_chunks) {
        end_broken(job, f->text != NULL ? f->text : "simulated error in mid stream");
        return true;
    }
    if ((f = plan_get(p, FAULT_NO_LAST_EVENT)) != NULL && job->sent >= f->after_chunks &&
        job->stream) {
        end_broken(job, "");
        return true;
    }
    f = job->sent == 0 && job->stream ? plan_get(p, FAULT_HANG_BEFORE_HEAD) : NULL;
    if (f == NULL) {
        f = plan_get(p, FAULT_HANG_MID_STREAM);
        f = f != NULL && job->sent >= f->after_chunks ? f : plan_get(p, FAULT_SILENCE);
        f = f != NULL && (job->sent < f->after_chunks || !job->stream) ? NULL : f;
    }
    if (f == NULL || job->paused) {
        return false;
    }
    job->paused = true;
    if (f->ms > 0) {
        job->due_us = sim_now_us() + (uint64_t)f->ms * 1000;
        wheel_arm(&job->sim->wheel, &job->timer, job->due_us);
        sim_wake(job->sim);
    }
    return true;
}

static void send_whole(struct job *job)
{
    struct sbuf body = {0};
    struct conn *c = job->conn;
    const struct plan *p = &c->plan;

    if (plan_get(p, FAULT_RUNNER_DEATH) != NULL) {
        kill_runner(job, plan_get(p, FAULT_RUNNER_DEATH)->alone);
        return;
    }
    if (plan_get(p, FAULT_ERROR_LINE) != NULL) {
        const struct fault *f = plan_get(p, FAULT_ERROR_LINE);
        end_broken(job, f->text != NULL ? f->text : "simulated error");
        return;
    }
    job->sent = job->limit;
    job->sim->stats.tokens_sent += (uint64_t)job->limit;
    job->dialect->whole(job, &body);
    reply_json(c, 200, c->route->flavour == FLAVOUR_NATIVE ? TYPE_GIN : TYPE_JSON, &body);
    sbuf_finish(&body);
}

static void send_last(struct job *job)
{
    struct conn *c = job->conn;

    reply_step(c);
    if (!c->head_sent) {
        begin_stream(job);
    }
    job->dialect->last(job);
    if (!c->done) {
        reply_end(c);
    }
}

/* One token in one send; the last one carries the end with it, as it does in Ollama most times. */
static bool send_token(struct job *job)
{
    struct conn *c = job->conn;

    if (c->plan.count > 0 && token_faults(job)) {
        return false;
    }
    reply_step(c);
    if (!c->head_sent) {
        job->first_us = sim_now_us();
        begin_stream(job);
    }
    if (c->done) {
        return false;
    }
    add_token(job);
    if (c->done) {
        return false;
    }
    reply_flush(c);
    return !c->done;
}

static void rearm(struct job *job, uint64_t due_us)
{
    wheel_arm(&job->sim->wheel, &job->timer, due_us);
}

static void run_stream(struct job *job)
{
    uint64_t interval = job_interval_us(job);
    uint64_t now = sim_now_us();
    struct conn *c = job->conn;

    if (now > job->due_us && interval > 0) {
        uint64_t late = (now - job->due_us) / 1000;
        if (late > job->sim->stats.max_late_ms) {
            job->sim->stats.max_late_ms = late;
        }
        if (late > 2000) {
            job->due_us = now; /* a stopped process does not pour out what it missed */
        }
    }
    for (int i = 0; i < BURST && job->due_us <= now && !conn_backlogged(c); i++) {
        if (job->sent >= job->limit) {
            if (c->plan.count == 0 || !token_faults(job)) {
                send_last(job);
            }
            return;
        }
        if (!send_token(job)) {
            return; /* the job is gone, or stopped for good */
        }
        job->due_us += job->sent < job->limit ? interval : 0;
    }
    rearm(job, conn_backlogged(c) || job->due_us <= now ? now + 1000 : job->due_us);
    sim_wake(job->sim);
}

static void on_timer(struct timer *t)
{
    struct job *job = LIST_ENTRY(t, struct job, timer);

    if (job->dialect == NULL) {
        job->on_ready(job);
    } else if (job->doomed) {
        end_broken(job, DEATH_TEXT);
    } else if (job->stream) {
        run_stream(job);
    } else {
        send_whole(job);
    }
}

void job_granted(struct job *job)
{
    struct conf *conf = &job->sim->conf;
    uint64_t prefill =
        (uint64_t)(conf->prefill_ms * 1000 + conf->prefill_us_per_token * job->prompt_tokens);

    job->granted_us = sim_now_us();
    job->doomed = job->model->dead;
    if (!job->needs_slot) {
        job->on_ready(job);
        return;
    }
    job->sim->stats.in_flight++;
    if (job->sim->stats.in_flight > job->sim->stats.max_in_flight) {
        job->sim->stats.max_in_flight = job->sim->stats.in_flight;
    }
    job->due_us = job->granted_us + prefill + (job->dialect != NULL ? job_interval_us(job) : 0);
    if (job->dialect != NULL) {
        job->dialect->prepare(job);
    }
    if (job->dialect != NULL && !job->stream) {
        job->due_us += job_interval_us(job) * (uint64_t)(job->limit > 0 ? job->limit - 1 : 0);
    }
    rearm(job, job->due_us);
    sim_wake(job->sim);
}
