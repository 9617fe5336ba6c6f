#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "app/check.h"
#include "app/expiry.h"
#include "app/helper.h"
#include "app/reload.h"
#include "auth/fault.h"
#include "base/mem.h"
#include "config/load.h"
#include "limit/state.h"

enum { RESULT_OK = 0, RESULT_FAILED = 1 };

bool reload_read(const char *path, char **out_text)
{
    struct config_errors errors = {0};
    size_t len;

    if (config_read_file(path, out_text, &len, &errors) == CE_OK) {
        return true;
    }
    check_print(path, &errors);
    return false;
}

/* Tenants keep their numbers for the process's life, so that counters survive a reload. */
static void number_tenants(struct app *a, struct snapshot *s)
{
    for (size_t i = 0; i < s->settings.auth.tenant_count; i++) {
        struct tenant_settings *t = &s->settings.auth.tenants[i];
        const struct ledger_tenant_settings ledger = {t->weight, t->max_running, t->max_waiting};

        t->id = intern_add(a->house.tenants, slice_str(t->name));
        ledger_set_tenant(a->house.ledger, t->id, &ledger);
        for (size_t n = 0; n < t->limit_count; n++) {
            t->limits[n].id = intern_add(a->house.limits, slice_str(t->limits[n].name));
        }
        if (t->limit_count > 0) {
            limiter_add_tenant(a->house.limiter, t->id);
        }
    }
}

/* What must be known before limits are restored and requests are decided by it. */
static void introduce(struct app *a, struct snapshot *s)
{
    a->generation = s->generation;
    number_tenants(a, s);
    budgets_prepare(a, &s->settings);
}

/* Keys of no use do not stop a reload: the others' changes, and revocations, must go through. */
static void warn_keys(struct app *a, const struct snapshot *s)
{
    const struct auth_fault *texts;
    size_t count = auth_skipped_keys(s->auth, &texts);

    for (size_t i = 0; i < count; i++) {
        log_event(a->log, LOG_WARN, "key.skipped", "detail", texts[i].text);
    }
    if (s->settings.auth.api_keys_file != NULL && !auth_has_credentials(s->auth)) {
        log_event(a->log, LOG_WARN, "keys.none", "detail",
                  "no credential is good: every request gets 401 until `corral key create` makes a "
                  "key");
    }
}

static void put_into_force(struct app *a, struct snapshot *s)
{
    warn_keys(a, s);
    ledger_set_queue(a->house.ledger, s->settings.queue.max_waiting,
                     s->settings.queue.replica_grace_s * 1000);
    replicas_watch_grace(a);
    logger_set_level(a->logger, s->settings.log_level);
    if (a->poller != NULL) {
        poller_configure(a->poller, s->settings.replicas, s->settings.replica_count,
                         s->settings.timeouts.connect_ms);
    }
    house_set_snapshot(&a->house, s);
    if (a->poller != NULL) {
        poller_tell_remote(a->poller);
    }
    if (a->expiry != NULL) {
        expiry_watch_look(a->expiry);
    }
}

bool reload_first(struct app *a, struct settings *settings, struct auth_fault *out_fault)
{
    struct snapshot *s;

    a->files_read = secrets_digest(settings); /* before: what changes meanwhile is seen later */
    if (snapshot_create(settings, a->generation + 1, &s, out_fault) != CE_OK) {
        return false;
    }
    if (!check_lets_somebody_in(s)) {
        (void)auth_fault_set(out_fault, "no key is good, so every request would get 401; make one "
                                        "with `corral key create`");
        snapshot_unref(s);
        return false;
    }
    introduce(a, s);
    put_into_force(a, s);
    return true;
}

static void report(struct app *a, const char *cause, bool ok, const char *detail)
{
    struct log_line line;

    metrics_add(a->metrics, M_RELOADS, ok ? RESULT_OK : RESULT_FAILED, 0, 0, 1);
    log_begin(&line, a->log, ok ? LOG_INFO : LOG_ERROR, ok ? "reload.done" : "reload.failed");
    log_str(&line, "cause", cause);
    if (detail[0] != '\0') {
        log_str(&line, "detail", detail);
    }
    if (!ok) {
        log_str(&line, "in_force", "the configuration from before");
    }
    log_end(&line);
}

/* What the helper does next, or has done. */
enum reload_stage {
    RELOAD_IDLE,
    RELOAD_LOOKING,   /* at the states of the files */
    RELOAD_READING,   /* the configuration and the files it names */
    RELOAD_RESTORING, /* the budgets of tenants that are new */
};

/* A snapshot that is not in force any more. To free a large one takes longer than a turn of a
 * worker may, so the reloader holds it until nobody else does, and the helper frees it. */
struct retired {
    struct list link;          /* reloader.retired */
    struct snapshot *snapshot; /* counted */
};

struct reloader {
    struct app *app;
    struct helper *helper; /* owned */
    enum reload_stage stage;
    bool wants_file; /* asked for, not begun */
    bool wants_secrets;
    bool wants_look;
    uint64_t known;      /* digest of the files in force */
    struct list retired; /* retired.link; the helper's, as below, while it works */

    /* of the job; the helper's while the stage is not RELOAD_IDLE */
    const char *cause;
    bool reads_file;
    char *text;           /* owned; NULL: app.text, which stays as it is meanwhile */
    struct snapshot *old; /* counted */
    struct snapshot *fresh;
    uint64_t digest; /* of the old one's files, then of the fresh one's before they were read */
    struct config_errors errors;
    struct limit_state_fault not_restored;
    bool restored;
    char fault[SANDBOX_FAULT_BYTES];
};

static void set_fault(struct reloader *r, const char *text)
{
    snprintf(r->fault, sizeof(r->fault), "%s", text);
}

static void retire(struct reloader *r, struct snapshot *s)
{
    struct retired *one = xcalloc(1, sizeof(*one));

    one->snapshot = s;
    list_push_back(&r->retired, &one->link);
}

/* Nobody can take a new reference to one that is not published. */
static void free_retired(struct reloader *r, bool all)
{
    LIST_EACH(link, next, &r->retired)
    {
        struct retired *one = CONTAINER_OF(link, struct retired, link);

        if (all || atomic_load_explicit(&one->snapshot->refs, memory_order_acquire) == 1) {
            list_unlink(&one->link);
            snapshot_unref(one->snapshot);
            free(one);
        }
    }
}

/* From a text that passed to a snapshot. Takes over the settings. */
static void build_snapshot(struct reloader *r, struct settings *settings)
{
    struct sandbox_fault outside = {{0}};
    struct auth_fault fault = {{0}};

    if (!sandbox_covers(&r->app->sandbox, settings, &outside)) {
        settings_finish(settings);
        set_fault(r, outside.text);
        return;
    }
    uint64_t digest = secrets_digest(settings); /* before: what changes meanwhile is seen later */

    if (snapshot_create(settings, r->old->generation + 1, &r->fresh, &fault) != CE_OK) {
        r->fresh = NULL;
        set_fault(r, fault.text);
        return;
    }
    r->digest = digest;
}

static void read_all(void *arg)
{
    struct reloader *r = arg;
    struct settings settings;
    size_t len;
    const char *path = r->app->path;

    free_retired(r, false);
    r->digest = secrets_digest(&r->old->settings);
    if (r->reads_file && config_read_file(path, &r->text, &len, &r->errors) != CE_OK) {
        set_fault(r, "the file cannot be read");
    } else if (config_parse(slice_str(r->text == NULL ? r->app->text : r->text), &settings,
                            &r->errors) != CE_OK) {
        set_fault(r, "the file has errors: see standard error or corral check");
    } else {
        build_snapshot(r, &settings);
    }
}

static void look_at_files(void *arg)
{
    struct reloader *r = arg;

    free_retired(r, false);
    r->digest = secrets_digest(&r->old->settings);
}

static void restore_budgets(void *arg)
{
    struct reloader *r = arg;

    if (limit_state_restore(r->app->budgets, &r->not_restored) != CE_OK) {
        r->restored = false;
    }
}

static void start_job(struct reloader *r, enum reload_stage stage, void (*work)(void *arg))
{
    r->stage = stage;
    helper_run(r->helper, work, r);
}

/* The next thing that was asked for, if nothing is under way. */
static void start_next(struct reloader *r)
{
    if (r->stage != RELOAD_IDLE || (!r->wants_file && !r->wants_secrets && !r->wants_look)) {
        return;
    }
    r->old = house_snapshot(&r->app->house);
    if (r->wants_file || r->wants_secrets) {
        r->cause = r->wants_file ? "SIGHUP" : "certificate or key files changed";
        r->reads_file = r->wants_file;
        r->wants_file = false;
        r->wants_secrets = false; /* the file's reload reads them as well */
        start_job(r, RELOAD_READING, read_all);
    } else {
        r->wants_look = false;
        start_job(r, RELOAD_LOOKING, look_at_files);
    }
}

/* The job has ended, one way or the other: forget what it worked on. */
static void end_job(struct reloader *r)
{
    snapshot_unref(r->old);
    snapshot_unref(r->fresh);
    free(r->text);
    config_errors_finish(&r->errors);
    r->old = NULL;
    r->fresh = NULL;
    r->text = NULL;
    r->fault[0] = '\0';
    r->stage = RELOAD_IDLE;
}

static void end_reload(struct reloader *r)
{
    struct app *a = r->app;
    const char *name = a->path == NULL ? "built-in" : a->path;

    check_print(name, &r->errors);
    if (r->fresh != NULL) {
        put_into_force(a, snapshot_ref(r->fresh));
        budgets_reloaded(a, &r->old->settings, &r->fresh->settings);
        retire(r, snapshot_ref(r->old));
    }
    if (r->fresh != NULL && r->text != NULL) {
        free(a->text);
        a->text = r->text;
        r->text = NULL;
    }
    report(a, r->cause, r->fresh != NULL, r->fault);
    r->known = r->digest;
    end_job(r);
}

/* Listening sockets live as long as the process: with others the whole reload is refused. What else
 * needs a new process is said, and the rest is taken. */
static void judge_restart(struct reloader *r)
{
    struct buf keys = buf_make(SANDBOX_FAULT_BYTES / 2);
    enum corral_err err = config_changed_for_restart(&r->old->settings, &r->fresh->settings, &keys);
    const char *more = err == CE_OK ? "" : ", ...";
    char text[SANDBOX_FAULT_BYTES];

    if (slice_starts_with(buf_slice(&keys), SLICE_LITERAL("listeners"))) {
        snprintf(text, sizeof(text), "%.*s%s changed: that needs a restart",
                 SLICE_ARG(buf_slice(&keys)), more);
        set_fault(r, text);
        retire(r, r->fresh);
        r->fresh = NULL;
    } else if (keys.len > 0) {
        snprintf(text, sizeof(text), "%.*s%s changed: that needs a restart; the rest is in force",
                 SLICE_ARG(buf_slice(&keys)), more);
        log_event(r->app->log, LOG_WARN, "reload.restart_needed", "detail", text);
    }
    buf_finish(&keys);
}

/* Numbers of tenants are for the process's life: two with one would share counts and limits. */
static void judge_tenants(struct reloader *r)
{
    const struct auth_settings *auth = &r->fresh->settings.auth;
    struct intern *names = r->app->house.tenants;
    size_t wanted = intern_count(names);

    for (size_t i = 0; i < auth->tenant_count; i++) {
        wanted += intern_find(names, slice_str(auth->tenants[i].name)) == INTERN_NONE;
    }
    if (wanted > APP_MAX_TENANTS + 1) {
        set_fault(r, "more names of tenants came up since the start than can be counted: that "
                     "needs a restart");
        retire(r, r->fresh);
        r->fresh = NULL;
    }
}

static void judge_reading(struct reloader *r)
{
    if (r->fresh != NULL) {
        judge_restart(r);
    }
    if (r->fresh != NULL) {
        judge_tenants(r);
    }
    if (r->fresh == NULL) {
        end_reload(r);
        return;
    }
    introduce(r->app, r->fresh);
    if (r->app->budgets == NULL) {
        end_reload(r);
    } else {
        r->restored = true;
        start_job(r, RELOAD_RESTORING, restore_budgets);
    }
}

void reload_go_on(struct reloader *r)
{
    switch (r->stage) {
    case RELOAD_LOOKING:
        r->wants_secrets = r->wants_secrets || r->digest != r->known;
        r->known = r->digest; /* a half-written pair fails and is tried again at the next change */
        end_job(r);
        break;
    case RELOAD_READING:
        judge_reading(r);
        break;
    case RELOAD_RESTORING:
        if (!r->restored) {
            log_event(r->app->log, LOG_ERROR, "budgets.not_restored", "detail",
                      r->not_restored.text);
        }
        end_reload(r);
        break;
    case RELOAD_IDLE:
        break;
    }
    start_next(r);
}

void reload_file(struct reloader *r)
{
    if (r->app->path == NULL) {
        r->wants_secrets = true;
    } else {
        r->wants_file = true;
    }
    start_next(r);
}

static void on_look(struct deadline *d)
{
    struct app *a = CONTAINER_OF(d, struct app, secrets_look);

    a->reloader->wants_look = true;
    start_next(a->reloader);
    deadline_set(&a->main_worker->wheel, &a->secrets_look, a->main_worker->now_ms,
                 SECRETS_WATCH_MS);
}

void reload_watch_secrets(struct reloader *r)
{
    struct app *a = r->app;

    deadline_init(&a->secrets_look, on_look);
    deadline_set(&a->main_worker->wheel, &a->secrets_look, a->main_worker->now_ms,
                 SECRETS_WATCH_MS);
}

struct reloader *reloader_create(struct app *a)
{
    struct reloader *r = xcalloc(1, sizeof(*r));

    r->app = a;
    list_init(&r->retired);
    r->known = a->files_read;
    r->helper = helper_create(a->main_worker, MAIL_HELPED);
    return r;
}

bool reloader_destroy(struct reloader *r)
{
    if (!helper_destroy(r->helper)) {
        return false;
    }
    end_job(r);
    free_retired(r, true);
    free(r);
    return true;
}
