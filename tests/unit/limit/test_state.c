#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "limit/life.h"
#include "obs/log.h"

static bool has_written(void *arg)
{
    struct life *l = arg;

    return limit_state_counts(l->state).rows_written > 0;
}

static bool has_failed_twice(void *arg)
{
    struct life *l = arg;

    return limit_state_counts(l->state).writes_failed > 1;
}

static unsigned count_in_file(const char *path, const char *text)
{
    static char bytes[65536];
    FILE *in = fopen(path, "r");
    unsigned count = 0;

    ck_assert_ptr_nonnull(in);
    bytes[fread(bytes, 1, sizeof(bytes) - 1, in)] = '\0';
    fclose(in);
    for (const char *at = bytes; (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

START_TEST(budgets_survive)
{
    struct life l = begin();
    uint64_t seed = l.limiter->seed;

    use(&l, "acme", "ann", 100);
    use(&l, "acme", "bob", 20);
    use(&l, "acme", "ann", 3);
    struct limit_grant *g = ask(&l, "acme", "ann", 500); /* not settled when the process ends */

    write_now(&l);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 3);
    ck_assert_uint_eq(limit_state_counts(l.state).writes_failed, 0);
    limit_settle(g, (struct limit_counts){-1, -1}, clock_wall_ms());
    end(&l);

    l = begin();
    ck_assert_uint_eq(l.limiter->seed, seed);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_restored, 3);
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 103);
    ck_assert_uint_eq(look(&l, "acme", "bob", DAILY).used, 20);
    ck_assert_uint_eq(look(&l, "acme", "ann", MONTHLY).used, 123);
    ck_assert_uint_eq(look(&l, "acme", "ann", MONTHLY).reserved, 0);
    ck_assert_uint_eq(look(&l, "acme", "ann", MINUTELY).used, 0);
    ck_assert_uint_eq(limiter_totals(l.limiter).counters, 3);
    use(&l, "acme", "ann", 7); /* they go on, and are written again */
    write_now(&l);
    end(&l);

    l = begin();
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 110);
    ck_assert_uint_eq(look(&l, "acme", "ann", MONTHLY).used, 130);
    end(&l);
    limit_state_close(NULL);
}
END_TEST

START_TEST(debt_survives)
{
    struct life l = begin();
    struct limit_grant *g = ask(&l, "acme", "ann", 900);

    limit_meter(g, true, 0, clock_wall_ms());
    limit_settle(g, (struct limit_counts){1400, -1}, clock_wall_ms());
    write_now(&l);
    end(&l);
    l = begin();
    ck_assert_uint_eq(look(&l, "acme", "ann", MONTHLY).used, 1000);
    ck_assert_uint_eq(look(&l, "acme", "ann", MONTHLY).debt, 400);
    end(&l);
}
END_TEST

START_TEST(only_what_changed_is_written)
{
    struct life l = begin();

    use(&l, "acme", "ann", 1);
    write_now(&l);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 2);
    write_now(&l);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 2);
    use(&l, "acme", "ann", 1);
    use(&l, "acme", "ann", 1);
    write_now(&l);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 4);
    end(&l);
}
END_TEST

START_TEST(the_thread_writes_by_itself)
{
    struct life l = begin();

    limit_state_start(l.state, NULL);
    use(&l, "acme", "ann", 5);
    wait_until(has_written, &l);
    end(&l); /* stops it */
    l = begin();
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 5);
    end(&l);
}
END_TEST

/* More rows than a transaction has; all users of a tenant and of another one. */
START_TEST(many_users_survive)
{
    enum { USERS = 40000 };
    struct life l = begin();
    char user[16];

    add_tenant(&l, "other");
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(user, sizeof(user), "u%u", i);
        use(&l, i % 2 == 0 ? "acme" : "other", user, i % 100 == 1);
        if (i % 500 == 0) {
            ck_assert_int_eq(limit_state_restore(l.state, &fault), CE_OK);
        }
    }
    write_now(&l);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, USERS + 2);
    end(&l);
    l = prepare(100000);
    add_tenant(&l, "other");
    add_tenant(&l, "acme");
    ck_assert_int_eq(try_open(&l), CE_OK);
    for (unsigned i = 1; i < USERS; i += 2) {
        snprintf(user, sizeof(user), "u%u", i);
        ck_assert_uint_eq(look(&l, "other", user, DAILY).used, i % 100 == 1);
    }
    end(&l);
}
END_TEST

START_TEST(tenants_of_a_reload_are_restored)
{
    struct life l = begin();

    add_tenant(&l, "other");
    ck_assert_int_eq(limit_state_restore(l.state, &fault), CE_OK);
    use(&l, "other", "ann", 77);
    use(&l, "acme", "ann", 1);
    write_now(&l);
    end(&l);

    l = begin(); /* without the other one: its rows stay */
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 1);
    limit_state_start(l.state, NULL);
    use(&l, "acme", "ann", 10);
    add_tenant(&l, "other");
    ck_assert_int_eq(limit_state_restore(l.state, &fault), CE_OK);
    ck_assert_uint_eq(look(&l, "other", "ann", DAILY).used, 77);
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 11); /* not set back */
    end(&l);
}
END_TEST

static bool sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
              sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;

    sqlite3_close(db);
    return ok;
}

static int row_count(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT count(*) FROM counters", -1, &stmt, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
    int count = sqlite3_column_int(stmt, 0);

    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return count;
}

/* Windows that ended so long ago; with debt or without. */
START_TEST(what_is_over_is_forgotten)
{
    struct life l = begin();
    char text[512];
    int64_t now = (int64_t)clock_wall_ms();
    const int64_t day = 86400000;

    use(&l, "acme", "ann", 1);
    write_now(&l);
    end(&l);
    ck_assert_int_eq(row_count(), 2);
    snprintf(text, sizeof(text),
             "INSERT INTO counters VALUES('acme', zeroblob(16), %lld, 5, 0),"
             "('acme', randomblob(16), %lld, 5, 6), ('acme', randomblob(16), %lld, 5, 6),"
             "('gone', zeroblob(16), %lld, 5, 0), ('gone', randomblob(16), %lld, 5, 0)",
             (long long)(now - 1), (long long)(now - 31 * day), (long long)(now - 33 * day),
             (long long)(now - 1), (long long)(now + day));
    ck_assert(sql(file, text));
    l = begin();
    ck_assert_uint_eq(limit_state_counts(l.state).rows_restored, 3);
    write_now(&l);
    end(&l);
    ck_assert_int_eq(row_count(), 4);
}
END_TEST

START_TEST(a_full_account_drops_rows)
{
    struct life l = begin();

    use(&l, "acme", "ann", 1);
    use(&l, "acme", "bob", 1);
    use(&l, "acme", "cyd", 1);
    write_now(&l);
    end(&l);
    l = prepare(3);
    add_tenant(&l, "acme");
    ck_assert_int_eq(try_open(&l), CE_OK);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_restored, 3);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_dropped, 1);
    end(&l);
}
END_TEST

START_TEST(the_file_is_private)
{
    struct life l = begin();
    struct stat st;
    char wal[80];

    use(&l, "acme", "ann", 1);
    write_now(&l);
    snprintf(wal, sizeof(wal), "%s-wal", file);
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(wal, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    end(&l);
    ck_assert_int_ne(stat(wal, &st), 0); /* all of it is in the file */
}
END_TEST

/* The disk is full: serving goes on, nothing is lost, and once there is room all is written. */
START_TEST(a_full_disk_is_survived)
{
    struct life l = begin();
    struct logger *logger;
    struct rlimit room;
    struct limit_usage u;
    char user[16];
    char log[80];

    snprintf(log, sizeof(log), "%s/log", folder);
    const struct log_settings settings = {LOG_INFO, log};

    use(&l, "acme", "ann", 1);
    write_now(&l);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &room), 0);
    struct rlimit none = {4096, room.rlim_max};

    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(user, sizeof(user), "u%u", i);
        use(&l, "acme", user, 1);
    }
    ck_assert_int_eq(logger_create(&settings, &logger), CE_OK);
    logger_start(logger);
    limit_state_start(l.state, logger_source(logger));
    wait_until(has_failed_twice, &l);
    use(&l, "acme", "ann", 1);
    u = look(&l, "acme", "ann", DAILY);
    ck_assert_uint_eq(u.used, 2);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 2);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
    limit_state_stop(l.state);
    logger_destroy(logger);
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 2 + 502);
    ck_assert_uint_eq(count_in_file(log, "limits.not_kept"), 1); /* not once a second */
    ck_assert_uint_eq(count_in_file(log, file), 1);
    ck_assert_uint_eq(count_in_file(log, "limits.kept_again"), 1);
    (void)unlink(log);
    end(&l);
    l = begin();
    ck_assert_uint_eq(look(&l, "acme", "u499", DAILY).used, 1);
    ck_assert_uint_eq(look(&l, "acme", "ann", MONTHLY).used, 502);
    end(&l);
}
END_TEST

/* What the killed one counted, and when (monotonic ms). */
struct diary {
    _Atomic uint32_t lines;
    uint64_t at_ms[100000];
};

static void keep_diary(struct diary *d)
{
    struct life l = begin();

    limit_state_start(l.state, NULL);
    for (uint32_t i = 0; i < ARRAY_LEN(d->at_ms); i++) {
        use(&l, "acme", "ann", 0); /* a request, then its token */
        struct limit_grant *g = ask(&l, "acme", "ann", 0);

        limit_meter(g, false, 1, clock_wall_ms());
        d->at_ms[i] = clock_mono_ms();
        atomic_store(&d->lines, i + 1);
        limit_settle(g, (struct limit_counts){-1, -1}, clock_wall_ms());
        if (i >= 900) {
            usleep(2000); /* the month has 1000 */
        }
        usleep(2000);
    }
    _exit(1);
}

static bool two_seconds_long(void *arg)
{
    struct diary *d = arg;
    uint32_t lines = atomic_load(&d->lines);

    return lines > 0 && d->at_ms[lines - 1] - d->at_ms[0] > 2300;
}

START_TEST(a_kill_loses_the_last_second)
{
    enum { SLOW_MS = 500 }; /* a loaded machine wakes late, and writing takes time */
    struct diary *d =
        mmap(NULL, sizeof(*d), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();

    if (child == 0) {
        keep_diary(d);
    }
    wait_until(two_seconds_long, d);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    uint64_t killed_ms = clock_mono_ms();

    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    uint32_t lines = atomic_load(&d->lines);
    uint32_t older = 0;

    while (older < lines && d->at_ms[older] + LIMIT_STATE_PERIOD_MS + SLOW_MS < killed_ms) {
        older++;
    }
    struct life l = begin();
    uint64_t used = look(&l, "acme", "ann", DAILY).used;

    ck_assert_uint_gt(older, 100);
    ck_assert_uint_ge(used, older);
    ck_assert_uint_le(used, lines + 1);
    end(&l);
    munmap(d, sizeof(*d));
}
END_TEST

/* SQLite's own file calls, but a sync waits until the test opens the gate. */
static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    sqlite3_io_methods methods;
    int (*real_sync)(sqlite3_file *f, int flags);
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    unsigned waiting;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int on_sync(sqlite3_file *f, int flags)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    gate.waiting--;
    pthread_mutex_unlock(&gate.lock);
    return gate.real_sync(f, flags);
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    int status = gate.real->xOpen(gate.real, name, f, flags, out_flags);

    if (status == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0) {
        gate.methods = *f->pMethods;
        gate.real_sync = gate.methods.xSync;
        gate.methods.xSync = on_sync;
        f->pMethods = &gate.methods;
    }
    return status;
}

static void set_gate(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

/* Were a mutex of an account held while the disk is slow, this would never end. */
START_TEST(a_slow_disk_blocks_nobody)
{
    gate.real = sqlite3_vfs_find(NULL);
    gate.vfs = *gate.real;
    gate.vfs.zName = "gate";
    gate.vfs.xOpen = on_open;
    ck_assert_int_eq(sqlite3_vfs_register(&gate.vfs, 1), SQLITE_OK);
    struct life l = begin();

    add_tenant(&l, "other");
    set_gate(true);
    use(&l, "acme", "ann", 1);
    use(&l, "other", "ann", 1);
    limit_state_start(l.state, NULL);
    pthread_mutex_lock(&gate.lock);
    while (gate.waiting == 0) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    for (unsigned i = 0; i < 100; i++) { /* the thread is in fsync now */
        use(&l, "acme", "ann", 1);
        use(&l, "other", "bob", 1);
    }
    ck_assert_uint_eq(limit_state_counts(l.state).rows_written, 0);
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 101);
    set_gate(false);
    end(&l);
    l = begin();
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 101);
    end(&l);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/state");
    TCase *c = tcase_create("state");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, budgets_survive);
    tcase_add_test(c, debt_survives);
    tcase_add_test(c, only_what_changed_is_written);
    tcase_add_test(c, the_thread_writes_by_itself);
    tcase_add_test(c, many_users_survive);
    tcase_add_test(c, tenants_of_a_reload_are_restored);
    tcase_add_test(c, what_is_over_is_forgotten);
    tcase_add_test(c, a_full_account_drops_rows);
    tcase_add_test(c, the_file_is_private);
    tcase_add_test(c, a_full_disk_is_survived);
    tcase_add_test(c, a_kill_loses_the_last_second);
    tcase_add_test(c, a_slow_disk_blocks_nobody);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
