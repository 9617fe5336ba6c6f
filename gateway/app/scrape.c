#include "app/scrape.h"

#include <stdio.h>

#include "app/commit.h"
#include "app/expiry.h"
#include "app/version.h"
#include "base/mem.h"
#include "limit/state.h"
#include "sched/ledger_view.h"

enum { LABEL_BYTES = 16, MAX_TABLES = 65 };

struct scrape {
    struct app *app;
    struct buf *out;
    enum corral_err err;
    char number[LABEL_BYTES];
};

static struct slice route_label(uint32_t number)
{
    const char *label = number == 0 ? NULL : route_label_of((enum route_id)(number - 1));

    return slice_str(label == NULL ? "none" : label);
}

static struct slice pick(const char *const *names, size_t count, uint32_t number)
{
    return slice_str(number < count ? names[number] : "other");
}

static struct slice resolve(void *arg, enum metric_label label, uint32_t number)
{
    static const char *const directions[] = {"input", "output"};
    static const char *const phases[] = {"body", "queued", "loading", "first_byte", "stream"};
    static const char *const dialects[] = {"native", "openai", "anthropic"};
    static const char *const results[] = {"ok", "failed"};
    struct scrape *s = arg;

    switch (label) {
    case ML_TENANT:
        return intern_name(s->app->house.tenants, number);
    case ML_MODEL:
        return intern_name(s->app->house.models, number);
    case ML_LIMIT:
        return intern_name(s->app->house.limits, number);
    case ML_REPLICA:
        return intern_name(s->app->house.replicas, number);
    case ML_ROUTE:
        return route_label(number);
    case ML_STATUS:
        snprintf(s->number, sizeof(s->number), "%u", number);
        return slice_str(s->number);
    case ML_REASON:
        return slice_str(number < CE_COUNT ? err_reason((enum corral_err)number) : "other");
    case ML_DIRECTION:
        return pick(directions, ARRAY_LEN(directions), number);
    case ML_PHASE:
        return pick(phases, ARRAY_LEN(phases), number);
    case ML_DIALECT:
        return pick(dialects, ARRAY_LEN(dialects), number);
    case ML_RESULT:
        return pick(results, ARRAY_LEN(results), number);
    case ML_NONE:
        break;
    }
    return slice_str("other");
}

static void put_row(struct scrape *s, const struct ledger_row_view *row, const char *state,
                    uint32_t value)
{
    struct slice replica = intern_name(s->app->house.replicas, row->replica);
    struct slice model = intern_name(s->app->house.models, row->model);

    if (s->err == CE_OK) {
        s->err =
            buf_printf(s->out, "corral_slots{replica=\"%.*s\",model=\"%.*s\",state=\"%s\"} %u\n",
                       SLICE_ARG(replica), SLICE_ARG(model), state, value);
    }
}

static void each_row(void *arg, const struct ledger_row_view *row)
{
    struct scrape *s = arg;
    uint32_t slots = row->usable ? row->slots : 0;

    put_row(s, row, "busy", row->in_flight - row->draining);
    put_row(s, row, "draining", row->draining);
    put_row(s, row, "free", slots > row->in_flight ? slots - row->in_flight : 0);
}

/* A series of one tenant; `more`: labels behind its name. */
static void put_of_tenant(struct scrape *s, const char *series, uint32_t tenant, const char *more,
                          uint64_t value)
{
    struct slice name = intern_name(s->app->house.tenants, tenant);

    if (s->err == CE_OK && tenant != INTERN_OTHER) {
        s->err = buf_printf(s->out, "%s{tenant=\"%.*s\"%s} %llu\n", series, SLICE_ARG(name), more,
                            (unsigned long long)value);
    }
}

static void each_tenant(void *arg, const struct ledger_tenant_view *t)
{
    put_of_tenant(arg, "corral_queue_waiting", t->tenant, ",class=\"interactive\"", t->waiting);
}

static void each_service(void *arg, const struct ledger_tenant_view *t)
{
    put_of_tenant(arg, "corral_service_units_total", t->tenant, "", t->service);
}

static void each_bodies(void *arg, const struct ledger_tenant_view *t)
{
    struct scrape *s = arg;

    put_of_tenant(s, "corral_body_bytes", t->tenant, "",
                  body_budget_held(&s->app->house.bodies, t->tenant));
}

static void each_answers(void *arg, const struct ledger_tenant_view *t)
{
    struct scrape *s = arg;

    put_of_tenant(s, "corral_answer_bytes", t->tenant, "",
                  body_budget_held(&s->app->house.answers, t->tenant));
}

static void each_connections(void *arg, const struct ledger_tenant_view *t)
{
    struct scrape *s = arg;

    put_of_tenant(s, "corral_tenant_connections", t->tenant, "",
                  connection_share_held(&s->app->house.shares, t->tenant));
}

static void head(struct scrape *s, const char *name, const char *kind, const char *help)
{
    if (s->err == CE_OK) {
        s->err = buf_printf(s->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
    }
}

static void write_one(struct scrape *s, const char *name, const char *kind, const char *help,
                      uint64_t value)
{
    head(s, name, kind, help);
    if (s->err == CE_OK) {
        s->err = buf_printf(s->out, "%s %llu\n", name, (unsigned long long)value);
    }
}

static void put_expiry(void *arg, const char *label, const char *file, int64_t at_s)
{
    struct scrape *s = arg;

    if (s->err == CE_OK) {
        s->err = buf_printf(
            s->out, "corral_certificate_expiry_timestamp_seconds{certificate=\"%s\"} %lld\n", label,
            (long long)at_s);
    }
}

static void write_expiry(struct scrape *s)
{
    struct snapshot *snapshot = house_snapshot(&s->app->house);

    head(s, "corral_certificate_expiry_timestamp_seconds", "gauge",
         "When certificates, client authorities and revocation lists expire.");
    expiry_each(snapshot, put_expiry, s);
    snapshot_unref(snapshot);
}

static void write_gauges(struct scrape *s)
{
    struct house *h = &s->app->house;
    struct limit_totals limits = limiter_totals(h->limiter);

    head(s, "corral_slots", "gauge", "Slots by replica, model and state.");
    ledger_each_row(h->ledger, each_row, s);
    head(s, "corral_queue_waiting", "gauge", "Requests waiting for a slot.");
    ledger_each_tenant(h->ledger, each_tenant, s);
    head(s, "corral_service_units_total", "counter",
         "Service given to each tenant: prompt tokens plus twice the output tokens.");
    ledger_each_tenant(h->ledger, each_service, s);
    write_expiry(s);
    write_one(s, "corral_open_connections", "gauge", "Client connections open now.",
              atomic_load_explicit(&h->shares.total, memory_order_relaxed));
    head(s, "corral_tenant_connections", "gauge",
         "Open connections by the tenant whose credential came first on them.");
    ledger_each_tenant(h->ledger, each_connections, s);
    head(s, "corral_body_bytes", "gauge", "Bytes of request bodies held in memory.");
    ledger_each_tenant(h->ledger, each_bodies, s);
    head(s, "corral_answer_bytes", "gauge",
         "Memory counted for answers that wait because their clients do not read.");
    ledger_each_tenant(h->ledger, each_answers, s);
    write_one(s, "corral_limit_counters", "gauge", "Counters of limits in use, over all tenants.",
              limits.counters);
    write_one(s, "corral_limit_reservations", "gauge",
              "Requests whose tokens are reserved and not settled yet.", limits.grants);
    if (s->app->budgets != NULL) {
        struct limit_state_counts state = limit_state_counts(s->app->budgets);

        write_one(s, "corral_budget_rows_written_total", "counter",
                  "Token budgets written to the state directory.", state.rows_written);
        write_one(s, "corral_budget_writes_failed_total", "counter",
                  "Writes to the state directory that failed; they are tried again.",
                  state.writes_failed);
    }
    write_one(s, "corral_log_dropped_total", "counter",
              "Log lines lost: ring full or target failing.", logger_dropped(s->app->logger));
    head(s, "corral_build_info", "gauge", "Version and commit.");
    if (s->err == CE_OK) {
        s->err = buf_printf(s->out, "corral_build_info{version=\"%s\",commit=\"%s\"} 1\n",
                            CORRAL_VERSION, CORRAL_COMMIT);
    }
}

enum corral_err scrape_write(struct app *a, struct buf *out)
{
    struct scrape s = {.app = a, .out = out};
    struct metrics_table *tables[MAX_TABLES];
    size_t count = 0;

    tables[count++] = a->metrics;
    for (size_t i = 0; i < a->house.worker_count && count < MAX_TABLES; i++) {
        tables[count++] = a->house.engines[i]->metrics;
    }
    s.err = metrics_write(tables, count, resolve, &s, out);
    write_gauges(&s);
    return s.err;
}
