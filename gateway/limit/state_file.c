#include "limit/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rand.h"
#include "limit/state_guard.h"

enum {
    SCHEMA_VERSION = 1,          /* another way to make keys (limiter_key) is another schema, too */
    APPLICATION_ID = 0x636f7272, /* "corr" */
    KEY_BYTES = sizeof(struct counter_key),
    ERROR_BYTES = 256,
};

struct state_file {
    char *path;  /* owned */
    sqlite3 *db; /* owned, and what was prepared in it */
    sqlite3_stmt *put;
    sqlite3_stmt *read;
    sqlite3_stmt *prune;
    struct state_guard guard;
    uint64_t bytes; /* its size when it was opened */
    uint64_t seed;
    int status; /* the first error of the transaction */
    char error[ERROR_BYTES];
};

static enum corral_err fault_set(struct limit_state_fault *f, const char *format, ...)
    PRINTF_LIKE(2, 3);

static enum corral_err fault_set(struct limit_state_fault *f, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
    return CE_IO;
}

static enum corral_err cannot_make(struct limit_state_fault *f, const char *path)
{
    return fault_set(f, "cannot make %s: %s; state_dir must name a folder that corral may write",
                     path, strerror(errno));
}

static enum corral_err is_foreign(struct limit_state_fault *f, const char *path)
{
    return fault_set(f,
                     "%s is not a file of corral's, or is cut off; nothing was changed. Move it "
                     "away and start again: budgets then begin at zero",
                     path);
}

static enum corral_err is_damaged(struct limit_state_fault *f, const char *path, const char *what)
{
    return fault_set(f,
                     "%s is damaged (%s); nothing was changed. Move it and %s-wal away and start "
                     "again: budgets then begin at zero",
                     path, what, path);
}

/* What SQLite told of opening: somebody else's lock, a damaged file, or the system. */
static enum corral_err blame(struct limit_state_fault *fault, const struct state_file *f)
{
    int code = sqlite3_extended_errcode(f->db);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return fault_set(fault,
                         "%s is in use by another process: each corral needs a state_dir of its "
                         "own",
                         f->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or column is missing */
    case SQLITE_TOOBIG:
        return is_damaged(fault, f->path, sqlite3_errmsg(f->db));
    case SQLITE_INTERRUPT:
        return is_damaged(fault, f->path, "reading it has no end");
    default:
        return fault_set(fault, "cannot open %s: %s (%s)", f->path, sqlite3_errmsg(f->db),
                         strerror(sqlite3_system_errno(f->db)));
    }
}

/*
 * Look at the header by hand: SQLite would take any database for its own, and makes a file beside
 * it when it opens one. Header: https://sqlite.org/fileformat2.html section 1.3.
 */
static enum corral_err check_header(int fd, const char *path, uint64_t *out_bytes,
                                    struct limit_state_fault *fault)
{
    enum { HEADER = 100, ID_AT = 68 };
    static const unsigned char id[] = {APPLICATION_ID >> 24, APPLICATION_ID >> 16 & 0xff,
                                       APPLICATION_ID >> 8 & 0xff, APPLICATION_ID & 0xff};
    char header[HEADER];
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return fault_set(fault, "%s is not a regular file; move it away", path);
    }
    if (st.st_size == 0) {
        return CE_OK; /* made, and nothing written yet */
    }
    if (st.st_size / (1024 * 1024) >= STATE_FILE_MAX_MIB) {
        return fault_set(fault,
                         "%s is larger than %d MiB; nothing was changed. Move it away: "
                         "budgets then begin at zero",
                         path, (int)STATE_FILE_MAX_MIB);
    }
    *out_bytes = (uint64_t)st.st_size;
    if (pread(fd, header, sizeof(header), 0) != HEADER ||
        memcmp(header, "SQLite format 3", sizeof("SQLite format 3")) != 0 ||
        memcmp(header + ID_AT, id, sizeof(id)) != 0) {
        return is_foreign(fault, path);
    }
    return CE_OK;
}

/* Before SQLite has it open: to close a descriptor of a file drops all of the process's locks. */
static enum corral_err find_or_make(const char *path, uint64_t *out_bytes,
                                    struct limit_state_fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT) {
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            return cannot_make(fault, path);
        }
    }
    if (fd < 0) {
        return errno == ELOOP ? fault_set(fault, "%s is a symbolic link; move it away", path)
                              : fault_set(fault, "cannot open %s: %s", path, strerror(errno));
    }
    enum corral_err err = check_header(fd, path, out_bytes, fault);

    close(fd);
    return err;
}

static bool run(struct state_file *f, const char *sql)
{
    return sqlite3_exec(f->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* One number; false: error, or there is none. */
static bool ask_number(struct state_file *f, const char *sql, sqlite3_int64 *out)
{
    sqlite3_stmt *stmt = NULL;
    bool ok = sqlite3_prepare_v2(f->db, sql, -1, &stmt, NULL) == SQLITE_OK &&
              sqlite3_step(stmt) == SQLITE_ROW;

    if (ok) {
        *out = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    return ok;
}

/*
 * Locks are taken at the first access and kept (EXCLUSIVE); so there is no -shm file either, and
 * any file system will do. What is refused later must not be changed by closing it: no checkpoint.
 */
static enum corral_err connect_and_lock(struct state_file *f, struct limit_state_fault *fault)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

    if (sqlite3_open_v2(f->path, &f->db, flags, NULL) != SQLITE_OK) {
        return blame(fault, f);
    }
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    state_guard_begin(&f->guard, f->db);
    if (!run(f, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")) {
        return blame(fault, f);
    }
    if (sqlite3_db_readonly(f->db, "main") == 1) {
        return fault_set(fault, "%s may not be written by corral", f->path);
    }
    return CE_OK;
}

/* All in one transaction, while the journal is the old kind: the header gets its id with it. */
static enum corral_err create(struct state_file *f, struct limit_state_fault *fault)
{
    char sql[256];

    snprintf(sql, sizeof(sql),
             "PRAGMA application_id = %d; INSERT INTO meta VALUES('schema', %d), ('seed', %lld);",
             APPLICATION_ID, SCHEMA_VERSION, (long long)rand_u64());
    if (run(f, "BEGIN") && run(f, state_meta_sql) && run(f, state_counters_sql) && run(f, sql) &&
        run(f, "COMMIT")) {
        return CE_OK;
    }
    return blame(fault, f);
}

static enum corral_err check_content(struct state_file *f, struct limit_state_fault *fault)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3_int64 version;
    enum corral_err err = CE_OK;

    if (sqlite3_prepare_v2(f->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW) {
        err = blame(fault, f);
    } else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0) {
        err = is_damaged(fault, f->path, (const char *)sqlite3_column_text(stmt, 0));
    }
    sqlite3_finalize(stmt);
    if (err != CE_OK) {
        return err;
    }
    if (!ask_number(f, "SELECT value FROM meta WHERE name = 'schema'", &version)) {
        return is_damaged(fault, f->path, "its schema version is missing");
    }
    if (version != SCHEMA_VERSION) {
        return fault_set(fault,
                         "%s has schema version %lld, this corral knows %d; nothing was changed. "
                         "Start the corral that wrote it, or move the file away: budgets then "
                         "begin at zero",
                         f->path, (long long)version, SCHEMA_VERSION);
    }
    return CE_OK;
}

/* The file itself, and what a crash has left beside it. */
static uint64_t size_of(const struct state_file *f)
{
    char wal[PATH_MAX];
    struct stat st;
    int n = snprintf(wal, sizeof(wal), "%s-wal", f->path);

    if (n < 0 || (size_t)n >= sizeof(wal) || stat(wal, &st) != 0) {
        return f->bytes;
    }
    return f->bytes + (uint64_t)st.st_size;
}

static enum corral_err create_or_check(struct state_file *f, struct limit_state_fault *fault)
{
    char object[STATE_OBJECT_BYTES];

    switch (state_guard_look(f->db, object)) {
    case STATE_SCHEMA_EMPTY:
        return create(f, fault);
    case STATE_SCHEMA_OURS:
        state_guard_allow(&f->guard, size_of(f));
        return check_content(f, fault);
    case STATE_SCHEMA_PARTIAL:
        return is_damaged(fault, f->path, "a table is missing");
    case STATE_SCHEMA_FOREIGN:
        return fault_set(fault,
                         "%s holds what this corral did not make (%s); nothing was changed. Start "
                         "the corral that wrote it, or move it and %s-wal away: budgets then begin "
                         "at zero",
                         f->path, object, f->path);
    case STATE_SCHEMA_ERROR:
        break;
    }
    return blame(fault, f);
}

static bool prepare(struct state_file *f, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v3(f->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK;
}

/* FULL: what was written is there after a power cut, too. */
static enum corral_err begin_use(struct state_file *f, struct limit_state_fault *fault)
{
    sqlite3_int64 seed;

    if (!run(f, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL") ||
        !prepare(f, "INSERT OR REPLACE INTO counters VALUES(?1, ?2, ?3, ?4, ?5)", &f->put) ||
        !prepare(f, "SELECT key, ends_ms, used, debt FROM counters WHERE tenant = ?1", &f->read) ||
        !prepare(f,
                 "DELETE FROM counters WHERE ends_ms + CASE debt WHEN 0 THEN 0 ELSE ?2 END <= ?1",
                 &f->prune)) {
        return blame(fault, f);
    }
    if (!ask_number(f, "SELECT value FROM meta WHERE name = 'seed'", &seed)) {
        return is_damaged(fault, f->path, "its seed is missing");
    }
    f->seed = (uint64_t)seed;
    state_guard_end_bound(f->db);
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return CE_OK;
}

enum corral_err state_file_open(const char *directory, struct limit_state_fault *out_fault,
                                struct state_file **out)
{
    static const char name[] = "/limits.db";
    struct state_file *f = xcalloc(1, sizeof(*f));
    size_t room = strlen(directory) + sizeof(name);

    f->path = xcalloc(1, room);
    snprintf(f->path, room, "%s%s", directory, name);
    enum corral_err err = find_or_make(f->path, &f->bytes, out_fault);

    err = err == CE_OK ? connect_and_lock(f, out_fault) : err;
    err = err == CE_OK ? create_or_check(f, out_fault) : err;
    err = err == CE_OK ? begin_use(f, out_fault) : err;
    if (err == CE_OK) {
        *out = f;
    } else {
        state_file_close(f);
    }
    return err;
}

void state_file_close(struct state_file *f)
{
    if (f == NULL) {
        return;
    }
    sqlite3_finalize(f->put);
    sqlite3_finalize(f->read);
    sqlite3_finalize(f->prune);
    sqlite3_close(f->db);
    free(f->path);
    free(f);
}

uint64_t state_file_seed(const struct state_file *f)
{
    return f->seed;
}

const char *state_file_error(const struct state_file *f)
{
    return f->error;
}

static void note_error(struct state_file *f, int status)
{
    int number = sqlite3_system_errno(f->db);

    f->status = status;
    snprintf(f->error, sizeof(f->error), "%s: %s%s%s", f->path, sqlite3_errmsg(f->db),
             number == 0 ? "" : ", ", number == 0 ? "" : strerror(number));
}

static uint64_t column(sqlite3_stmt *stmt, int number)
{
    return (uint64_t)sqlite3_column_int64(stmt, number);
}

/* SQLite's numbers are signed. */
static void bind(sqlite3_stmt *stmt, int number, uint64_t value)
{
    sqlite3_bind_int64(stmt, number, value > INT64_MAX ? INT64_MAX : (sqlite3_int64)value);
}

enum corral_err state_file_read(struct state_file *f, struct slice tenant,
                                void (*on_row)(void *arg, const struct state_row *row), void *arg)
{
    int status;

    sqlite3_bind_text(f->read, 1, tenant.ptr, (int)tenant.len, SQLITE_STATIC);
    while ((status = sqlite3_step(f->read)) == SQLITE_ROW) {
        struct state_row row = {
            .ends_ms = column(f->read, 1), .used = column(f->read, 2), .debt = column(f->read, 3)};

        if (sqlite3_column_bytes(f->read, 0) == KEY_BYTES) {
            memcpy(&row.key, sqlite3_column_blob(f->read, 0), KEY_BYTES);
            on_row(arg, &row);
        }
    }
    if (status != SQLITE_DONE) {
        note_error(f, status);
    }
    sqlite3_reset(f->read);
    return status == SQLITE_DONE ? CE_OK : CE_IO;
}

static void step(struct state_file *f, sqlite3_stmt *stmt)
{
    int status = sqlite3_step(stmt);

    if (status != SQLITE_DONE) {
        note_error(f, status);
    }
    sqlite3_reset(stmt);
}

void state_file_begin(struct state_file *f)
{
    f->status = SQLITE_OK;
    if (!run(f, "BEGIN IMMEDIATE")) {
        note_error(f, sqlite3_extended_errcode(f->db));
    }
}

void state_file_put(struct state_file *f, struct slice tenant, const struct state_row *row)
{
    if (f->status != SQLITE_OK) {
        return;
    }
    sqlite3_bind_text(f->put, 1, tenant.ptr, (int)tenant.len, SQLITE_STATIC);
    sqlite3_bind_blob(f->put, 2, &row->key, KEY_BYTES, SQLITE_STATIC);
    bind(f->put, 3, row->ends_ms);
    bind(f->put, 4, row->used);
    bind(f->put, 5, row->debt);
    step(f, f->put);
}

void state_file_prune(struct state_file *f, uint64_t now_ms)
{
    if (f->status != SQLITE_OK) {
        return;
    }
    bind(f->prune, 1, now_ms);
    bind(f->prune, 2, COUNTER_DEBT_MS);
    step(f, f->prune);
}

enum corral_err state_file_end(struct state_file *f)
{
    if (f->status == SQLITE_OK && !run(f, "COMMIT")) {
        note_error(f, sqlite3_extended_errcode(f->db));
    }
    if (f->status != SQLITE_OK && sqlite3_get_autocommit(f->db) == 0) {
        run(f, "ROLLBACK");
    }
    return f->status == SQLITE_OK ? CE_OK : CE_IO;
}
