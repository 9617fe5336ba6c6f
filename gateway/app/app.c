#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/app.h"
#include "app/check.h"
#include "app/commit.h"
#include "app/expiry.h"
#include "app/reload.h"
#include "app/serve.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/load.h"

enum {
    MAX_MODELS = 65535,
    MAX_REPLICAS = 4095,
    MAX_LIMITS = 4095,
    FDS_RESERVED = 256,
    FDS_LEAST = 512,
};

static void on_main_mail(struct worker *w, const struct mail *mail)
{
    struct app *a = w->upper;

    switch (mail->kind) {
    case MAIL_SUSPECT:
        poller_suspect(a->poller, mail->index, mail->value != 0);
        break;
    case MAIL_RESOLVED:
        poller_on_resolved(a->poller, mail->index);
        break;
    case MAIL_HELPED:
        reload_go_on(a->reloader);
        break;
    case MAIL_DRAINED:
        if (++a->drained == a->house.worker_count) {
            worker_stop(w);
        }
        break;
    default:
        break;
    }
}

static void tell_workers(struct app *a, enum mail_kind kind)
{
    for (size_t i = 0; i < a->house.worker_count; i++) {
        worker_mail(a->house.workers[i], &(struct mail){.kind = kind});
    }
}

static void on_drain_limit(struct deadline *d)
{
    app_stop_now(CONTAINER_OF(d, struct app, drain_limit));
}

static void stop_accepting(struct app *a)
{
    struct snapshot *s = house_snapshot(&a->house);

    log_event(a->log, LOG_INFO, "drain.begin", "detail",
              "no new connections; running answers go on; a second signal ends them");
    deadline_set(&a->main_worker->wheel, &a->drain_limit, a->main_worker->now_ms,
                 s->settings.timeouts.drain_s * 1000);
    snapshot_unref(s);
    tell_workers(a, MAIL_DRAIN);
}

static void on_drain_delay(struct deadline *d)
{
    stop_accepting(CONTAINER_OF(d, struct app, drain_delay));
}

void app_drain(struct app *a)
{
    struct snapshot *s = house_snapshot(&a->house);
    uint64_t delay_ms = s->settings.timeouts.drain_delay_s * 1000;

    snapshot_unref(s);
    a->draining = true;
    if (delay_ms == 0) {
        stop_accepting(a);
        return;
    }
    log_event(a->log, LOG_INFO, "drain.delay", "detail",
              "not ready any more; new requests are served for timeouts.drain_delay_s, their "
              "connections end with their answers; a second signal ends all");
    deadline_set(&a->main_worker->wheel, &a->drain_delay, a->main_worker->now_ms, delay_ms);
    tell_workers(a, MAIL_RETIRE);
}

void app_stop_now(struct app *a)
{
    log_event(a->log, LOG_WARN, "drain.cut", "detail", "ending what still runs");
    tell_workers(a, MAIL_STOP);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct app *a = arg;

    worker_touch(a->main_worker);
    switch (number) {
    case SIGHUP:
        reload_file(a->reloader);
        break;
    case SIGUSR1:
        logger_reopen(a->logger);
        break;
    default:
        if (a->draining) {
            app_stop_now(a);
        } else {
            app_drain(a);
        }
        break;
    }
}

static void take_signals(struct app *a)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1};

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        a->signals[i] = evsignal_new(a->main_worker->base, numbers[i], on_signal, a);
        event_add(a->signals[i], NULL);
    }
}

/* A daemon may be started with 0, 1 or 2 closed: then a socket would take their place. */
static void fill_standard_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

/* Raise the soft limit; connections get half of what is left, the other half is for upstreams. */
static bool plan_descriptors(struct app *a, const struct settings *s)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        limit = (struct rlimit){1024, 1024};
    }
    limit.rlim_cur = limit.rlim_max > 1048576 ? 1048576 : limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t need = s->limits.connections == 0 ? (rlim_t)FDS_LEAST
                                             : 2 * (rlim_t)s->limits.connections + FDS_RESERVED;

    if (limit.rlim_cur < need) {
        fprintf(stderr,
                "corral: %llu file descriptors are not enough: at least %llu are needed "
                "(ulimit -n, LimitNOFILE=)%s\n",
                (unsigned long long)limit.rlim_cur, (unsigned long long)need,
                s->limits.connections == 0 ? "" : " for limits.connections");
        return false;
    }
    a->house.shares.max = s->limits.connections != 0
                              ? s->limits.connections
                              : (uint32_t)((limit.rlim_cur - FDS_RESERVED) / 2);
    return true;
}

static uint32_t count_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

static void build_house(struct app *a, const struct settings *s)
{
    struct house *h = &a->house;

    h->worker_count = s->workers == 0 ? count_cores() : s->workers;
    h->worker_count = h->worker_count > 64 ? 64 : h->worker_count;
    h->workers = xcalloc(h->worker_count, sizeof(struct worker *));
    h->engines = xcalloc(h->worker_count, sizeof(struct engine *));
    h->ledger = ledger_create(engine_notify, h);
    h->tenants = intern_create(APP_MAX_TENANTS);
    h->models = intern_create(MAX_MODELS);
    h->replicas = intern_create(MAX_REPLICAS);
    h->limits = intern_create(MAX_LIMITS);
    h->limiter = limiter_create(APP_MAX_TENANTS + 1, s->limits.counters_per_tenant);
    body_budget_init(&h->bodies, APP_MAX_TENANTS + 1);
    body_budget_init(&h->answers, APP_MAX_TENANTS + 1);
    h->sources = source_count_create();
    h->known_sources = source_count_create();
    connection_share_init(&h->shares, APP_MAX_TENANTS + 1);
    replica_board_init(&h->board);
    pthread_mutex_init(&h->snapshot_lock, NULL);
    a->main_worker = worker_create(UINT16_MAX);
    a->main_worker->upper = a;
    a->main_worker->on_mail = on_main_mail;
    a->main_worker->thread = pthread_self();
    h->main_worker = a->main_worker;
    a->metrics = metrics_table_create();
    deadline_init(&a->drain_delay, on_drain_delay);
    deadline_init(&a->drain_limit, on_drain_limit);
    replicas_init(a);
}

static void demolish_house(struct app *a)
{
    struct house *h = &a->house;

    for (size_t i = 0; i < ARRAY_LEN(a->signals); i++) {
        if (a->signals[i] != NULL) {
            event_free(a->signals[i]);
        }
    }
    worker_reap_all(a->main_worker);
    worker_destroy(a->main_worker);
    snapshot_unref(h->snapshot);
    ledger_destroy(h->ledger);
    replica_board_finish(&h->board);
    source_count_destroy(h->sources);
    source_count_destroy(h->known_sources);
    connection_share_finish(&h->shares);
    intern_destroy(h->tenants);
    intern_destroy(h->models);
    intern_destroy(h->replicas);
    intern_destroy(h->limits);
    limiter_destroy(h->limiter);
    body_budget_finish(&h->bodies);
    body_budget_finish(&h->answers);
    pthread_mutex_destroy(&h->snapshot_lock);
    metrics_table_destroy(a->metrics);
    free(h->workers);
    free(h->engines);
    free(a->text);
}

static void log_start(struct app *a)
{
    struct log_line line;

    log_begin(&line, a->log, LOG_INFO, "start");
    log_str(&line, "version", CORRAL_VERSION);
    log_str(&line, "commit", CORRAL_COMMIT);
    log_str(&line, "configuration", a->path == NULL ? "built-in" : a->path);
    log_u64(&line, "workers", a->house.worker_count);
    log_u64(&line, "max_connections", a->house.shares.max);
    log_bool(&line, "sandbox", a->sandbox.entered);
    log_u64(&line, "landlock_abi", (uint64_t)a->sandbox.landlock_abi);
    log_end(&line);
}

/* Everything between "the ports are ours" and "all workers have stopped". */
static void run(struct app *a)
{
    const struct poller_hooks hooks = {replicas_on_change, replicas_know, a};
    struct snapshot *s = house_snapshot(&a->house);

    a->poller = poller_create(a->main_worker, &a->house.board, a->house.replicas, a->log,
                              MAIL_RESOLVED, &hooks);
    crew_start_all(a);
    a->began_ms = clock_mono_ms();
    poller_configure(a->poller, s->settings.replicas, s->settings.replica_count,
                     s->settings.timeouts.connect_ms);
    snapshot_unref(s);
    ports_serve(a);
    take_signals(a);
    a->reloader = reloader_create(a);
    reload_watch_secrets(a->reloader);
    a->expiry = expiry_watch_create(a->main_worker, &a->house, a->log);
    worker_run(a->main_worker);
    deadline_cancel(&a->drain_delay);
    deadline_cancel(&a->drain_limit);
    deadline_cancel(&a->replica_grace);
    deadline_cancel(&a->secrets_look);
    a->stuck = !reloader_destroy(a->reloader);
    expiry_watch_destroy(a->expiry);
    ports_close(a);
    poller_destroy(a->poller);
    crew_join_all(a);
    log_event(a->log, LOG_INFO, "stop", "detail",
              atomic_load(&a->cut) ? "running answers were cut" : "all answers were finished");
}

static bool start_logger(struct app *a, const struct settings *s)
{
    const struct log_settings settings = {s->log_level, s->log_file};

    if (logger_create(&settings, &a->logger) != CE_OK) {
        fprintf(stderr, "corral: cannot open the log file %s: %m\n", s->log_file);
        return false;
    }
    a->log = logger_source(a->logger);
    return true;
}

/* Before the first other thread: a thread is bound by what its maker was. */
static bool close_sandbox(struct app *a)
{
    const struct settings *s = &a->house.snapshot->settings;
    struct sandbox_fault fault = {{0}};

    if (!sandbox_enter(&a->sandbox, s, a->path, budgets_directory(s), &fault)) {
        fprintf(stderr, "corral: %s\n", fault.text);
        return false;
    }
    return true;
}

static const char *name_of(const struct app *a)
{
    return a->path == NULL ? "built-in configuration" : a->path;
}

/* One file was not as it should be: say all that is wrong, so that the next start may do. */
static void explain(const struct app *a, const struct auth_fault *fault)
{
    if (check_text(name_of(a), a->text, CHECK_MACHINE)) {
        fprintf(stderr, "corral: %s\n", fault->text);
    }
}

static int serve_settings(struct app *a, struct settings *settings)
{
    struct auth_fault fault = {{0}};

    if (!plan_descriptors(a, settings) || !start_logger(a, settings)) {
        settings_finish(settings);
        return EXIT_FAULT;
    }
    build_house(a, settings);
    int status = EXIT_FAULT;

    if (!reload_first(a, settings, &fault)) {
        explain(a, &fault);
    } else if (budgets_open(a, &a->house.snapshot->settings) &&
               ports_open(a, &a->house.snapshot->settings) && close_sandbox(a)) {
        budgets_prepare(a, &a->house.snapshot->settings); /* again: the file has its own seed */
        logger_start(a->logger);
        budgets_start(a);
        log_start(a);
        run(a);
        status = atomic_load(&a->cut) ? EXIT_DRAIN_CUT : 0;
    } else {
        ports_close(a);
    }
    budgets_close(a);
    if (a->stuck) {
        logger_destroy(a->logger);
        _exit(status);
    }
    demolish_house(a);
    sandbox_finish(&a->sandbox);
    logger_destroy(a->logger);
    return status;
}

int serve_run(const char *path)
{
    struct app a = {.path = path, .health_fd = -1, .metrics_fd = -1};
    struct settings settings;

    fill_standard_fds();
    mem_return_large_blocks();
    if (path == NULL ? !first_start_text(&a.text) : !reload_read(path, &a.text)) {
        return EXIT_FAULT;
    }
    struct config_errors errors = {.count = 0};
    enum corral_err err = config_parse(slice_str(a.text), &settings, &errors);

    config_errors_finish(&errors);
    if (err != CE_OK) {
        (void)check_text(name_of(&a), a.text, CHECK_MACHINE);
        free(a.text);
        return EXIT_FAULT;
    }
    return serve_settings(&a, &settings);
}

int serve_check(const char *path, bool with_files)
{
    char *text = NULL;

    if (!reload_read(path, &text)) {
        return EXIT_FAULT;
    }
    bool good = check_text(path, text, with_files ? CHECK_MACHINE : CHECK_TEXT);

    free(text);
    if (good) {
        printf("%s: is valid\n", path);
    }
    return good ? 0 : EXIT_FAULT;
}
