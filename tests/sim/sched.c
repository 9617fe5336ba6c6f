#include "sched.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "job.h"

#define LIST_DELAY_MS 500 /* a loading model shows in /api/ps after about so long */

static void pump(struct sim *s);
static void on_load_timer(struct timer *t);

void sched_init(struct sim *s)
{
    list_init(&s->sched.models);
    list_init(&s->sched.pending);
    timer_init(&s->sched.load_timer, on_load_timer);
}

void sched_finish(struct sim *s)
{
    struct list *item = list_pop(&s->sched.models);
    while (item != NULL) {
        free(LIST_ENTRY(item, struct model, link));
        item = list_pop(&s->sched.models);
    }
}

int64_t sched_slots(const struct model *m)
{
    return m->embedding ? 1 : m->sim->conf.slots;
}

bool sched_canonical_name(const char *raw, char *out, size_t size)
{
    static const char *const prefixes[] = {"https://", "http://", "registry.ollama.ai/",
                                           "library/"};
    char name[SIM_NAME_BYTES];
    size_t len = 0;

    while (*raw == ' ') {
        raw++;
    }
    for (; raw[len] != 0 && len + 1 < sizeof(name); len++) {
        name[len] = (char)tolower((unsigned char)raw[len]);
    }
    while (len > 0 && name[len - 1] == ' ') {
        len--;
    }
    name[len] = 0;
    char *p = name;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(p, prefixes[i], strlen(prefixes[i])) == 0) {
            p += strlen(prefixes[i]);
        }
    }
    len = strlen(p);
    if (len > 6 && strcmp(p + len - 6, ":local") == 0) {
        p[len - 6] = 0;
    }
    for (const char *q = p; *q != 0; q++) {
        if (!isalnum((unsigned char)*q) && strchr("-_./:", *q) == NULL) {
            return false;
        }
    }
    const char *slash = strrchr(p, '/');
    const char *colon = strchr(slash != NULL ? slash : p, ':');
    if (*p == 0 || strlen(p) + 8 >= size || colon == p || (colon != NULL && colon[1] == 0)) {
        return false;
    }
    snprintf(out, size, "%s%s", p, colon != NULL ? "" : ":latest");
    return true;
}

struct model *sched_find(struct sim *s, const char *canonical)
{
    for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
        struct model *m = LIST_ENTRY(i, struct model, link);
        if (!m->gone && strcmp(m->name, canonical) == 0) {
            return m;
        }
    }
    return NULL;
}

static void unload(struct model *m)
{
    wheel_cancel(&m->sim->wheel, &m->expiry);
    m->state = MODEL_COLD;
    m->listed = false;
    m->dead = false;
    m->sim->stats.unloads++;
    m->sim->stats.reloads += m->reload ? 1 : 0;
    m->reload = false;
}

static void on_expiry(struct timer *t)
{
    struct model *m = LIST_ENTRY(t, struct model, expiry);

    if (m->refs == 0 && m->state == MODEL_LOADED) {
        unload(m);
        pump(m->sim);
    }
}

static struct model *create_model(struct sim *s, const char *name, const char *params)
{
    struct model *m = sim_calloc(1, sizeof(*m));

    m->sim = s;
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->params, sizeof(m->params), "%s", params);
    m->embedding = strstr(name, "embed") != NULL || strstr(name, "minilm") != NULL;
    list_init(&m->waiting);
    list_init(&m->running_jobs);
    timer_init(&m->expiry, on_expiry);
    list_push(&s->sched.models, &m->link);
    return m;
}

bool sched_set_models(struct sim *s, const char *list)
{
    char entry[SIM_NAME_BYTES];
    char name[SIM_NAME_BYTES];

    for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
        LIST_ENTRY(i, struct model, link)->gone = true;
    }
    while (*list != 0) {
        size_t len = strcspn(list, ",");
        snprintf(entry, sizeof(entry), "%.*s", (int)len, list);
        list += len + (list[len] == ',' ? 1 : 0);
        char *colon = strrchr(entry, ':');
        if (colon != NULL) {
            *colon = 0;
        }
        if (!sched_canonical_name(entry, name, sizeof(name))) {
            return false;
        }
        struct model *m = NULL;
        for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
            struct model *old = LIST_ENTRY(i, struct model, link);
            m = strcmp(old->name, name) == 0 ? old : m;
        }
        if (m == NULL) {
            m = create_model(s, name, colon != NULL ? colon + 1 : "1B");
        }
        m->gone = false;
        const char *slash = strrchr(entry, '/');
        bool tagged = strchr(slash != NULL ? slash : entry, ':') != NULL;
        snprintf(m->shown, sizeof(m->shown), "%.600s%s", entry, tagged ? "" : ":latest");
        list_remove(&m->link); /* the order of the new list counts */
        list_push(&s->sched.models, &m->link);
    }
    return true;
}

static void drain_waiting(struct model *m)
{
    while (m->state == MODEL_LOADED && (int64_t)m->running < sched_slots(m)) {
        struct list *item = list_pop(&m->waiting);
        if (item == NULL) {
            return;
        }
        struct job *job = LIST_ENTRY(item, struct job, link);
        job->place = JOB_RUNNING;
        list_push(&m->running_jobs, &job->link);
        m->running++;
        m->max_running = m->running > m->max_running ? m->running : m->max_running;
        job_granted(job);
    }
}

static void attach(struct job *job)
{
    struct model *m = job->model;

    m->refs++;
    m->requests++;
    wheel_cancel(&m->sim->wheel, &m->expiry);
    if (job->has_keep_alive) {
        m->session_ms = job->keep_alive_ms;
    }
    job->loaded_us = sim_now_us();
    if (!job->needs_slot) {
        job->place = JOB_ATTACHED;
        job_granted(job);
        return;
    }
    job->place = JOB_WAITING;
    list_push(&m->waiting, &job->link);
    drain_waiting(m);
}

static bool same_opts(const struct runner_opts *a, const struct runner_opts *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool usable(const struct model *m, const struct job *job)
{
    return !m->dead && same_opts(&m->opts, &job->opts);
}

static struct model *pick_victim(struct sim *s, int64_t *loaded)
{
    struct model *victim = NULL;

    *loaded = 0;
    for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
        struct model *m = LIST_ENTRY(i, struct model, link);
        if (m->state == MODEL_COLD) {
            continue;
        }
        (*loaded)++;
        if (victim == NULL || m->refs < victim->refs ||
            (m->refs == victim->refs && m->expires_ms < victim->expires_ms)) {
            victim = m;
        }
    }
    return victim;
}

static void start_load(struct sim *s, struct job *job)
{
    struct model *m = job->model;
    int64_t first = s->conf.load_ms / 2 < LIST_DELAY_MS ? s->conf.load_ms / 2 : LIST_DELAY_MS;

    m->state = MODEL_LOADING;
    m->opts = job->opts;
    m->dead = false;
    m->session_ms = s->conf.keep_alive_s < 0 ? -1 : s->conf.keep_alive_s * 1000;
    s->sched.loading = m;
    s->stats.loading_now++;
    if (s->stats.loading_now > s->stats.max_loading) {
        s->stats.max_loading = s->stats.loading_now;
    }
    if (s->conf.load_ms <= 0) {
        m->listed = true;
        on_load_timer(&s->sched.load_timer);
        return;
    }
    wheel_arm(&s->wheel, &s->sched.load_timer, sim_now_us() + (uint64_t)first * 1000);
    sim_wake(s);
}

static void on_load_timer(struct timer *t)
{
    struct sim *s = LIST_ENTRY(t, struct sim, sched.load_timer);
    struct model *m = s->sched.loading;

    if (!m->listed) {
        int64_t first = s->conf.load_ms / 2 < LIST_DELAY_MS ? s->conf.load_ms / 2 : LIST_DELAY_MS;
        m->listed = true;
        wheel_arm(&s->wheel, t, sim_now_us() + (uint64_t)(s->conf.load_ms - first) * 1000);
        sim_wake(s);
        return;
    }
    m->state = MODEL_LOADED;
    s->sched.loading = NULL;
    s->stats.loads++;
    s->stats.loading_now--;
    struct job *job = s->sched.current;
    s->sched.current = NULL;
    if (job != NULL) {
        attach(job);
    }
    drain_waiting(m);
    if (job == NULL && m->refs == 0) {
        sched_expire(s, m); /* the one who asked has left, nobody else came */
    }
    pump(s);
}

/* One turn of the pending loop; false when it has to wait for something. */
static bool step(struct sim *s)
{
    struct sched *sc = &s->sched;
    int64_t loaded = 0;

    if (sc->loading != NULL) {
        return false;
    }
    if (sc->current == NULL) {
        struct list *item = list_pop(&sc->pending);
        if (item == NULL) {
            return false;
        }
        sc->pending_count--;
        sc->current = LIST_ENTRY(item, struct job, link);
        sc->current->place = JOB_CURRENT;
    }
    struct job *job = sc->current;
    struct model *m = job->model;
    if (m->state == MODEL_LOADED && usable(m, job)) {
        sc->current = NULL;
        attach(job);
        return true;
    }
    if (m->state == MODEL_LOADED) {
        m->session_ms = 0;
        m->reload = true;
        if (m->refs > 0) {
            return false;
        }
        unload(m);
    }
    struct model *victim = pick_victim(s, &loaded);
    if (loaded >= s->conf.max_loaded && victim != NULL) {
        victim->session_ms = 0;
        if (victim->refs > 0) {
            return false;
        }
        unload(victim);
    }
    start_load(s, job);
    return true;
}

static void pump(struct sim *s)
{
    if (s->sched.pumping) {
        s->sched.pump_again = true;
        return;
    }
    s->sched.pumping = true;
    do {
        s->sched.pump_again = false;
        while (step(s)) {
        }
    } while (s->sched.pump_again);
    s->sched.pumping = false;
}

bool sched_submit(struct sim *s, struct job *job)
{
    struct model *m = job->model;
    bool joins =
        (m->state == MODEL_LOADED || (m->state == MODEL_LOADING && m->listed)) && usable(m, job);

    if (joins) {
        attach(job);
        return true;
    }
    if (s->sched.pending_count >= s->conf.max_queue && s->sched.current != NULL) {
        s->stats.busy++;
        return false;
    }
    job->place = JOB_PENDING;
    list_push(&s->sched.pending, &job->link);
    s->sched.pending_count++;
    pump(s);
    return true;
}

static void went_idle(struct sim *s, struct model *m)
{
    if (m->state == MODEL_LOADED && m->session_ms == 0) {
        unload(m);
    } else if (m->session_ms > 0) {
        m->expires_ms = sim_now_ms() + (uint64_t)m->session_ms;
        wheel_arm(&s->wheel, &m->expiry, m->expires_ms * 1000);
        sim_wake(s);
    } else {
        m->expires_ms = UINT64_MAX;
    }
}

static void abort_load(struct sim *s, struct job *job)
{
    struct model *m = s->sched.loading;

    s->sched.current = NULL;
    if (m != NULL && m == job->model && m->refs == 0) {
        wheel_cancel(&s->wheel, &s->sched.load_timer);
        m->state = MODEL_COLD;
        m->listed = false;
        s->sched.loading = NULL;
        s->stats.loading_now--;
        s->stats.loads_aborted++;
    }
    pump(s);
}

void sched_release(struct sim *s, struct job *job, bool wedge)
{
    struct model *m = job->model;
    enum job_place place = job->place;

    job->place = JOB_NOWHERE;
    list_remove(&job->link);
    if (place == JOB_PENDING) {
        s->sched.pending_count--;
    } else if (place == JOB_CURRENT) {
        abort_load(s, job);
    } else if (place != JOB_NOWHERE) {
        if (place == JOB_RUNNING && !wedge) {
            m->running--;
        }
        if (wedge) {
            s->stats.wedged++;
        }
        m->refs--;
        drain_waiting(m);
        if (m->refs == 0) {
            went_idle(s, m);
        }
        pump(s);
    }
}

void sched_expire(struct sim *s, struct model *m)
{
    m->session_ms = 0;
    if (m->state == MODEL_LOADED && m->refs == 0) {
        unload(m);
        pump(s);
    }
}

void sched_unload_all(struct sim *s)
{
    for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
        struct model *m = LIST_ENTRY(i, struct model, link);
        if (m->state == MODEL_LOADED) {
            m->running -=
                m->running > m->refs ? m->running - m->refs : 0; /* wedged slots come back */
            sched_expire(s, m);
        }
    }
}
