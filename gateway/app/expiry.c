#include "app/expiry.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "exchange/house.h"

enum { LOOK_MS = 60 * 1000, LABEL_BYTES = 32, DAY_S = 24 * 60 * 60 };

/* What was said last about one thing. */
struct known {
    char label[LABEL_BYTES];
    enum expiry_stage stage;
};

struct expiry_watch {
    struct worker *worker;
    struct house *house;
    struct log_source *log;
    struct deadline look;
    struct known *known; /* owned */
    size_t known_count;
    size_t known_capacity;
};

enum expiry_stage expiry_stage_of(int64_t at_s, int64_t now_s)
{
    int64_t left_s = at_s - now_s;

    return left_s <= 0            ? EXPIRY_OVER
           : left_s <= DAY_S      ? EXPIRY_1_DAY
           : left_s <= 3 * DAY_S  ? EXPIRY_3_DAYS
           : left_s <= 14 * DAY_S ? EXPIRY_14_DAYS
                                  : EXPIRY_FAR;
}

void expiry_each(const struct snapshot *s,
                 void (*visit)(void *arg, const char *label, const char *file, int64_t at_s),
                 void *arg)
{
    const struct tls_settings *t = &s->settings.tls;
    char label[LABEL_BYTES];

    for (size_t i = 0; s->tls != NULL && i < t->certificate_count; i++) {
        snprintf(label, sizeof(label), "%zu", i);
        visit(arg, label, t->certificates[i].chain, tls_ctx_expiry(s->tls, i));
    }
    if (s->tls != NULL && tls_ctx_authority_expiry(s->tls) != 0) {
        visit(arg, "client_ca", t->client_ca_dir, tls_ctx_authority_expiry(s->tls));
    }
    if (s->tls != NULL && tls_ctx_crl_expiry(s->tls) != 0) {
        visit(arg, "client_crl", t->client_crl_dir, tls_ctx_crl_expiry(s->tls));
    }
    for (size_t i = 0; i < s->settings.replica_count; i++) {
        const struct replica_settings *r = &s->settings.replicas[i];

        if (r->client != NULL && tls_client_expiry(r->client) != 0) {
            snprintf(label, sizeof(label), "replica-%zu", i);
            visit(arg, label, r->tls.certificate, tls_client_expiry(r->client));
        }
    }
}

static struct known *find(struct expiry_watch *w, const char *label)
{
    for (size_t i = 0; i < w->known_count; i++) {
        if (strcmp(w->known[i].label, label) == 0) {
            return &w->known[i];
        }
    }
    w->known = xgrow(w->known, w->known_count, &w->known_capacity, sizeof(*w->known));
    struct known *k = &w->known[w->known_count++];

    *k = (struct known){.stage = EXPIRY_FAR};
    snprintf(k->label, sizeof(k->label), "%s", label);
    return k;
}

static void look_at(void *arg, const char *label, const char *file, int64_t at_s)
{
    struct expiry_watch *w = arg;
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
    enum expiry_stage stage = expiry_stage_of(at_s, now_s);
    struct known *k = find(w, label);
    struct log_line line;

    if (stage > k->stage) {
        bool over = stage == EXPIRY_OVER;

        log_begin(&line, w->log, over ? LOG_ERROR : LOG_WARN,
                  over ? "certificate.expired" : "certificate.expires");
        log_str(&line, "certificate", label);
        log_str(&line, "file", file);
        log_u64(&line, "days_left", over ? 0 : (uint64_t)((at_s - now_s) / DAY_S));
        log_end(&line);
    }
    k->stage = stage; /* lower after a renewal: the next end is told again */
}

void expiry_watch_look(struct expiry_watch *w)
{
    struct snapshot *s = house_snapshot(w->house);

    expiry_each(s, look_at, w);
    snapshot_unref(s);
}

static void on_look(struct deadline *d)
{
    struct expiry_watch *w = CONTAINER_OF(d, struct expiry_watch, look);

    expiry_watch_look(w);
    deadline_set(&w->worker->wheel, &w->look, w->worker->now_ms, LOOK_MS);
}

struct expiry_watch *expiry_watch_create(struct worker *main_worker, struct house *house,
                                         struct log_source *log)
{
    struct expiry_watch *w = xcalloc(1, sizeof(*w));

    w->worker = main_worker;
    w->house = house;
    w->log = log;
    deadline_init(&w->look, on_look);
    deadline_set(&main_worker->wheel, &w->look, main_worker->now_ms, LOOK_MS);
    expiry_watch_look(w);
    return w;
}

void expiry_watch_destroy(struct expiry_watch *w)
{
    if (w != NULL) {
        deadline_cancel(&w->look);
        free(w->known);
        free(w);
    }
}
