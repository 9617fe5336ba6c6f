#include "obs/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

struct family {
    const char *name;
    const char *help;
    enum metric_label labels[METRICS_LABELS];
    const char *label_names[METRICS_LABELS];
    bool histogram; /* in seconds */
};

static const struct family families[M_COUNT] = {
    [M_REQUESTS] = {"corral_requests_total",
                    "Requests answered, by status sent to the client.",
                    {ML_TENANT, ML_ROUTE, ML_STATUS},
                    {"tenant", "route", "status"},
                    false},
    [M_AUTH_FAILURES] = {"corral_auth_failures_total",
                         "Credentials refused, by reason.",
                         {ML_REASON},
                         {"reason"},
                         false},
    [M_LIMITED] = {"corral_limited_total",
                   "Requests refused because a limit was reached.",
                   {ML_TENANT, ML_LIMIT},
                   {"tenant", "limit"},
                   false},
    [M_SHADOW_LIMITED] = {"corral_shadow_limited_total",
                          "Requests that a limit in shadow mode would have refused.",
                          {ML_TENANT, ML_LIMIT},
                          {"tenant", "limit"},
                          false},
    [M_QUEUE_WAIT] = {"corral_queue_wait_seconds",
                      "Time from admission asked to slot granted.",
                      {ML_NONE},
                      {NULL},
                      true},
    [M_LOAD_WAIT] = {"corral_load_wait_seconds",
                     "First byte wait of requests that loaded a model.",
                     {ML_NONE},
                     {NULL},
                     true},
    [M_TTFT] = {"corral_ttft_seconds",
                "Time from request head to first output byte.",
                {ML_NONE},
                {NULL},
                true},
    [M_INTER_TOKEN] =
        {"corral_inter_token_seconds", "Gaps between chunks of output.", {ML_NONE}, {NULL}, true},
    [M_TOKENS] = {"corral_tokens_total",
                  "Tokens, as Ollama counted them or as chunks seen.",
                  {ML_TENANT, ML_MODEL, ML_DIRECTION},
                  {"tenant", "model", "direction"},
                  false},
    [M_CANCELS] = {"corral_cancels_total",
                   "Requests whose client left, by phase.",
                   {ML_PHASE},
                   {"phase"},
                   false},
    [M_UPSTREAM_FAILURES] = {"corral_upstream_failures_total",
                             "Failures of replicas.",
                             {ML_REPLICA, ML_REASON},
                             {"replica", "reason"},
                             false},
    [M_TRUNCATED] = {"corral_truncated_streams_total",
                     "Streams cut after their first byte.",
                     {ML_DIALECT},
                     {"dialect"},
                     false},
    [M_OVERHEAD] = {"corral_overhead_seconds",
                    "Time spent in corral itself until dispatch.",
                    {ML_NONE},
                    {NULL},
                    true},
    [M_WORKER_TURN] = {"corral_worker_turn_seconds",
                       "Length of a worker's turn: how long one client can make another wait.",
                       {ML_NONE},
                       {NULL},
                       true},
    [M_RELOADS] = {"corral_reloads_total",
                   "Configuration and certificate reloads.",
                   {ML_RESULT},
                   {"result"},
                   false},
    [M_CONNECTIONS] =
        {"corral_connections_total", "Client connections accepted.", {ML_NONE}, {NULL}, false},
    [M_CONNECTIONS_REFUSED] = {"corral_connections_refused_total",
                               "Client connections closed at once because a cap was reached.",
                               {ML_REASON},
                               {"reason"},
                               false},
    [M_H2_CONNECTIONS] = {"corral_http2_connections_total",
                          "Connections that speak HTTP/2.",
                          {ML_NONE},
                          {NULL},
                          false},
    [M_H2_ENDED] =
        {"corral_http2_ended_total",
         "HTTP/2 connections that corral ended, by the rule broken or the limit reached.",
         {ML_REASON},
         {"reason"},
         false},
    [M_H2_MALFORMED] = {"corral_http2_malformed_total",
                        "HTTP/2 frames and heads refused without an answer (stream reset).",
                        {ML_NONE},
                        {NULL},
                        false},
    [M_LOG_SAMPLED] = {"corral_log_sampled_total",
                       "Lines about refused strangers that were counted instead of written.",
                       {ML_NONE},
                       {NULL},
                       false},
    [M_RETRIES] = {"corral_upstream_retries_total",
                   "Requests tried again because nothing had reached the replica, by what failed.",
                   {ML_REASON},
                   {"reason"},
                   false},
};

/* Upper bounds in microseconds; one more bucket is +Inf, one place holds the sum. */
static const uint64_t bounds_us[METRICS_BUCKETS] = {
    100,    500,    1000,   2500,    5000,    10000,    25000,    50000,
    100000, 250000, 500000, 1000000, 5000000, 15000000, 60000000, 300000000};

enum { BUCKET_INF = METRICS_BUCKETS, BUCKET_SUM = METRICS_BUCKETS + 1 };

struct place {
    atomic_uint_fast64_t key; /* 0: free; written once by the owner, after the value is 0 */
    atomic_uint_fast64_t value;
};

struct metrics_table {
    struct place places[METRICS_PLACES];
    uint32_t used; /* the owner's, and so is what follows */
    struct place *histograms[M_COUNT][METRICS_BUCKETS + 2]; /* once found; the last is the sum */
};

static uint64_t make_key(enum metric m, uint32_t a, uint32_t b, uint32_t c)
{
    return ((uint64_t)m + 1) << 56 | (uint64_t)(a & 0xfffffu) << 36 |
           (uint64_t)(b & 0xfffffu) << 16 | (c & 0xffffu);
}

struct metrics_table *metrics_table_create(void)
{
    return xcalloc(1, sizeof(struct metrics_table));
}

void metrics_table_destroy(struct metrics_table *t)
{
    free(t);
}

static struct place *find(struct metrics_table *t, uint64_t key)
{
    uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 40) % METRICS_PLACES;

    while (true) {
        uint64_t at = atomic_load_explicit(&t->places[i].key, memory_order_acquire);

        if (at == key || at == 0) {
            return &t->places[i];
        }
        i = (i + 1) % METRICS_PLACES;
    }
}

/* The place of a series, taken when it had none; NULL: the table is full. */
static struct place *place_of(struct metrics_table *t, uint64_t key, bool last_resort)
{
    enum { KEEP_FREE = METRICS_PLACES / 4 };
    struct place *p = find(t, key);

    if (atomic_load_explicit(&p->key, memory_order_relaxed) == 0) {
        if (t->used >= METRICS_PLACES - KEEP_FREE && !last_resort) {
            return NULL;
        }
        t->used++;
        atomic_store_explicit(&p->key, key, memory_order_release);
    }
    return p;
}

static void add_to(struct place *p, uint64_t value)
{
    atomic_store_explicit(&p->value, atomic_load_explicit(&p->value, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

void metrics_add(struct metrics_table *t, enum metric m, uint32_t a, uint32_t b, uint32_t c,
                 uint64_t value)
{
    if (t == NULL) {
        return;
    }
    struct place *p = place_of(t, make_key(m, a, b, c), false);

    add_to(p != NULL ? p : place_of(t, make_key(m, 0, 0, 0), true), value);
}

/* Histograms have few series, and none depends on a client: there is always room. */
static void add_to_histogram(struct metrics_table *t, enum metric m, uint32_t bucket,
                             uint64_t value)
{
    struct place **known = &t->histograms[m][bucket];

    if (*known == NULL) {
        *known = place_of(t, make_key(m, 0, 0, bucket), true);
    }
    add_to(*known, value);
}

void metrics_observe(struct metrics_table *t, enum metric m, uint64_t us)
{
    uint32_t bucket = 0;

    if (t == NULL) {
        return;
    }
    while (bucket < METRICS_BUCKETS && us > bounds_us[bucket]) {
        bucket++;
    }
    add_to_histogram(t, m, bucket, 1);
    add_to_histogram(t, m, BUCKET_SUM, us);
}

uint64_t metrics_sum(struct metrics_table *const *tables, size_t count, enum metric m, uint32_t a,
                     uint32_t b, uint32_t c)
{
    uint64_t key = make_key(m, a, b, c);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct place *p = find(tables[i], key);

        if (atomic_load_explicit(&p->key, memory_order_acquire) == key) {
            sum += atomic_load_explicit(&p->value, memory_order_relaxed);
        }
    }
    return sum;
}

static enum corral_err write_labels(const struct family *f, uint64_t key, metrics_resolve *resolve,
                                    void *arg, struct buf *out)
{
    const uint32_t numbers[METRICS_LABELS] = {(uint32_t)(key >> 36 & 0xfffffu),
                                              (uint32_t)(key >> 16 & 0xfffffu),
                                              (uint32_t)(key & 0xffffu)};
    enum corral_err err = CE_OK;

    for (size_t i = 0; i < METRICS_LABELS && f->labels[i] != ML_NONE && err == CE_OK; i++) {
        struct slice text = resolve(arg, f->labels[i], numbers[i]);

        err = buf_printf(out, "%s%s=\"", i == 0 ? "{" : ",", f->label_names[i]);
        if (err == CE_OK) {
            err = buf_append_json(out, text);
        }
        if (err == CE_OK) {
            err = buf_append_str(out, "\"");
        }
    }
    return f->labels[0] == ML_NONE || err != CE_OK ? err : buf_append_str(out, "}");
}

/* A series is written where it is met first: when no earlier table has it. */
static bool seen_before(struct metrics_table *const *tables, size_t before, uint64_t key)
{
    for (size_t i = 0; i < before; i++) {
        if (atomic_load_explicit(&find(tables[i], key)->key, memory_order_acquire) == key) {
            return true;
        }
    }
    return false;
}

static uint64_t sum_of_key(struct metrics_table *const *tables, size_t count, uint64_t key)
{
    return metrics_sum(tables, count, (enum metric)((key >> 56) - 1), (uint32_t)(key >> 36),
                       (uint32_t)(key >> 16), (uint32_t)key);
}

static enum corral_err write_counter(struct metrics_table *const *tables, size_t count,
                                     enum metric m, metrics_resolve *resolve, void *arg,
                                     struct buf *out)
{
    enum corral_err err = CE_OK;

    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < METRICS_PLACES && err == CE_OK; i++) {
            uint64_t key = atomic_load_explicit(&tables[t]->places[i].key, memory_order_acquire);

            if (key >> 56 != (uint64_t)m + 1 || seen_before(tables, t, key)) {
                continue;
            }
            err = buf_append_str(out, families[m].name);
            if (err == CE_OK) {
                err = write_labels(&families[m], key, resolve, arg, out);
            }
            if (err == CE_OK) {
                err =
                    buf_printf(out, " %llu\n", (unsigned long long)sum_of_key(tables, count, key));
            }
        }
    }
    return err;
}

static enum corral_err write_histogram(struct metrics_table *const *tables, size_t count,
                                       enum metric m, struct buf *out)
{
    const char *name = families[m].name;
    uint64_t total = 0;
    enum corral_err err = CE_OK;

    for (uint32_t i = 0; i <= BUCKET_INF && err == CE_OK; i++) {
        total += metrics_sum(tables, count, m, 0, 0, i);
        err = i == BUCKET_INF ? buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name,
                                           (unsigned long long)total)
                              : buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name,
                                           (double)bounds_us[i] / 1e6, (unsigned long long)total);
    }
    uint64_t sum = metrics_sum(tables, count, m, 0, 0, BUCKET_SUM);

    return err != CE_OK ? err
                        : buf_printf(out, "%s_sum %.6f\n%s_count %llu\n", name, (double)sum / 1e6,
                                     name, (unsigned long long)total);
}

enum corral_err metrics_write(struct metrics_table *const *tables, size_t count,
                              metrics_resolve *resolve, void *arg, struct buf *out)
{
    enum corral_err err = CE_OK;

    for (int m = 0; m < M_COUNT && err == CE_OK; m++) {
        const struct family *f = &families[m];

        err = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                         f->histogram ? "histogram" : "counter");
        if (err == CE_OK) {
            err = f->histogram ? write_histogram(tables, count, (enum metric)m, out)
                               : write_counter(tables, count, (enum metric)m, resolve, arg, out);
        }
    }
    return err;
}
