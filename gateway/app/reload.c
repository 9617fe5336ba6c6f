#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/expiry.h"
#include "base/mem.h"
#include "config/load.h"

enum { RESULT_OK = 0, RESULT_FAILED = 1 };

static int by_place(const void *a, const void *b)
{
    const struct config_error *x = a;
    const struct config_error *y = b;

    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    return x->column == y->column ? 0 : x->column < y->column ? -1 : 1;
}

/* A pipe whose reader has stopped must not stop the main thread: then nothing is said. */
static bool stderr_takes_a_line(void)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&p, 1, 0) > 0;
}

static void print_errors(const char *name, struct config_errors *errors)
{
    qsort(errors->at, errors->count, sizeof(errors->at[0]), by_place);
    for (size_t i = 0; i < errors->count && stderr_takes_a_line(); i++) {
        const struct config_error *e = &errors->at[i];

        if (e->line == 0) {
            fprintf(stderr, "%s: %s\n", name, e->text);
        } else {
            fprintf(stderr, "%s:%zu:%zu: %s\n", name, e->line, e->column, e->text);
        }
    }
    config_errors_finish(errors);
}

bool reload_read(const char *path, char **out_text)
{
    struct config_errors errors = {0};
    size_t len;

    if (config_read_file(path, out_text, &len, &errors) == CE_OK) {
        return true;
    }
    print_errors(path, &errors);
    return false;
}

bool reload_parse(const char *name, const char *text, struct settings *out)
{
    struct config_errors errors = {0};

    if (config_parse(slice_str(text), out, &errors) == CE_OK) {
        return true;
    }
    print_errors(name, &errors);
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

bool reload_publish(struct app *a, struct settings *settings, struct auth_fault *out_fault)
{
    struct snapshot *s;

    if (snapshot_create(settings, a->generation + 1, &s, out_fault) != CE_OK) {
        return false;
    }
    a->generation++;
    number_tenants(a, s);
    budgets_prepare(a, &s->settings);
    budgets_restore(a);
    ledger_set_queue(a->house.ledger, s->settings.queue.max_waiting,
                     s->settings.queue.replica_grace_s * 1000);
    replicas_watch_grace(a);
    logger_set_level(a->logger, s->settings.log_level);
    if (a->poller != NULL) {
        poller_configure(a->poller, s->settings.replicas, s->settings.replica_count);
    }
    house_set_snapshot(&a->house, s);
    if (a->expiry != NULL) {
        expiry_watch_look(a->expiry);
    }
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Listening sockets live as long as the process: what needs others needs a restart. */
static bool same_listeners(const struct settings *a, const struct settings *b)
{
    bool same = a->listener_count == b->listener_count;

    for (size_t i = 0; same && i < a->listener_count; i++) {
        same = same_text(a->listeners[i].address, b->listeners[i].address) &&
               a->listeners[i].tls == b->listeners[i].tls;
    }
    return same;
}

static void warn_restart(struct app *a, const struct settings *old, const struct settings *fresh)
{
    if (old->workers != fresh->workers || !same_text(old->health_address, fresh->health_address) ||
        !same_text(old->metrics_address, fresh->metrics_address) ||
        !same_text(old->log_file, fresh->log_file) ||
        old->limits.connections != fresh->limits.connections ||
        old->limits.counters_per_tenant != fresh->limits.counters_per_tenant ||
        !same_text(old->state_dir, fresh->state_dir)) {
        log_event(a->log, LOG_WARN, "reload.restart_needed", "detail",
                  "workers, health, metrics, log.file, state_dir, limits.connections or "
                  "limits.counters_per_tenant changed: these need a restart; everything else is "
                  "in force");
    }
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

/* False: the old one stays in force. */
static bool reload_text(struct app *a, const char *text, const char *cause)
{
    struct snapshot *old = house_snapshot(&a->house);
    struct settings fresh;
    struct auth_fault fault = {{0}};
    struct sandbox_fault outside = {{0}};
    bool ok = false;

    if (!reload_parse(a->path == NULL ? "built-in" : a->path, text, &fresh)) {
        report(a, cause, false, "the file has errors: see standard error or corral check");
    } else if (!sandbox_covers(&a->sandbox, &fresh, &outside)) {
        settings_finish(&fresh);
        report(a, cause, false, outside.text);
    } else if (!same_listeners(&old->settings, &fresh)) {
        settings_finish(&fresh);
        report(a, cause, false, "listeners changed: that needs a restart");
    } else {
        warn_restart(a, &old->settings, &fresh);
        ok = reload_publish(a, &fresh, &fault);
        report(a, cause, ok, fault.text);
        if (ok) {
            budgets_reloaded(a, &old->settings, &a->house.snapshot->settings);
        }
    }
    snapshot_unref(old);
    if (a->secrets != NULL) {
        secrets_watch_note(a->secrets);
    }
    return ok;
}

void reload_file(struct app *a)
{
    char *text = NULL;

    if (a->path == NULL) {
        reload_secrets(a);
        return;
    }
    if (!reload_read(a->path, &text)) {
        report(a, "SIGHUP", false, "the file cannot be read");
        return;
    }
    if (reload_text(a, text, "SIGHUP")) {
        free(a->text);
        a->text = text;
    } else {
        free(text);
    }
}

void reload_secrets(struct app *a)
{
    (void)reload_text(a, a->text, "certificate or key files changed");
}
