#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "limit/state.h"

/* The configuration's folder, else the one systemd made (StateDirectory=). NULL: none. */
const char *budgets_directory(const struct settings *s)
{
    const char *given = getenv("STATE_DIRECTORY");

    if (s->state_dir != NULL) {
        return s->state_dir;
    }
    return given != NULL && given[0] != '\0' ? given : NULL;
}

static bool has_budget(const struct settings *s)
{
    for (size_t i = 0; i < s->auth.tenant_count; i++) {
        for (size_t n = 0; n < s->auth.tenants[i].limit_count; n++) {
            if (s->auth.tenants[i].limits[n].calendar != LIMIT_NO_CALENDAR) {
                return true;
            }
        }
    }
    return false;
}

bool budgets_open(struct app *a, const struct settings *s)
{
    const char *directory = budgets_directory(s);
    struct limit_state_fault fault = {{0}};

    if (directory == NULL && has_budget(s)) {
        log_event(a->log, LOG_WARN, "budgets.not_kept", "detail",
                  "token budgets begin anew at every start: set state_dir to keep them");
    }
    if (directory == NULL || (s->state_dir == NULL && !has_budget(s))) {
        return true;
    }
    if (limit_state_open(directory, a->house.limiter, a->house.tenants, &fault, &a->budgets) !=
        CE_OK) {
        fprintf(stderr, "corral: %s\n", fault.text);
        return false;
    }
    return true;
}

void budgets_prepare(struct app *a, struct settings *s)
{
    for (size_t i = 0; i < s->auth.tenant_count; i++) {
        struct tenant_settings *t = &s->auth.tenants[i];

        for (size_t n = 0; n < t->limit_count; n++) {
            limiter_prepare(a->house.limiter, &t->limits[n]);
        }
    }
}

void budgets_reloaded(struct app *a, const struct settings *old, const struct settings *fresh)
{
    if (a->budgets == NULL && has_budget(fresh) && !has_budget(old)) {
        log_event(a->log, LOG_WARN, "budgets.not_kept", "detail",
                  budgets_directory(fresh) == NULL
                      ? "token budgets begin anew at every start: set state_dir to keep them"
                      : "token budgets are new: they are kept after a restart");
    }
}

void budgets_start(struct app *a)
{
    if (a->budgets != NULL) {
        limit_state_start(a->budgets, logger_source(a->logger));
    }
}

void budgets_close(struct app *a)
{
    if (a->budgets != NULL) {
        limit_state_stop(a->budgets);
        limit_state_close(a->budgets);
        a->budgets = NULL;
    }
}
