/*
 * Called by state_file.c while it opens limits.db, on the main thread at the start.
 *
 * Settings: https://sqlite.org/security.html. The bound is for trees of pages that come back to
 * themselves: SQLite notices some only after reading the same rows for ever.
 */
#include "limit/state_guard.h"

#include <stdio.h>
#include <string.h>

#include "base/slice.h"

enum {
    STEPS_A_CALL = 1000,
    STEPS_FOR_SCHEMA = 1000 * 1000,
    STEPS_A_BYTE = 8, /* a row of 40 bytes takes about 60 to check */
    TEXT_MAX_BYTES = 64 * 1024,
};

const char state_meta_sql[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID";

const char state_counters_sql[] =
    "CREATE TABLE counters(tenant TEXT NOT NULL, key BLOB NOT NULL CHECK(length(key) = 16),"
    " ends_ms INTEGER NOT NULL CHECK(ends_ms >= 0), used INTEGER NOT NULL CHECK(used >= 0),"
    " debt INTEGER NOT NULL CHECK(debt >= 0), PRIMARY KEY(tenant, key)) WITHOUT ROWID";

static int on_progress(void *arg)
{
    struct state_guard *g = arg;

    g->steps_left -= g->steps_left < STEPS_A_CALL ? g->steps_left : STEPS_A_CALL;
    return g->steps_left == 0; /* SQLITE_INTERRUPT */
}

void state_guard_begin(struct state_guard *g, sqlite3 *db)
{
    static const struct {
        int option;
        int value;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},       {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},  {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0}, {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},         {SQLITE_DBCONFIG_DQS_DDL, 0},
    };
    static const struct {
        int id;
        int value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, TEXT_MAX_BYTES},
        {SQLITE_LIMIT_SQL_LENGTH, TEXT_MAX_BYTES},
        {SQLITE_LIMIT_COLUMN, 16},
        {SQLITE_LIMIT_EXPR_DEPTH, 16},
        {SQLITE_LIMIT_COMPOUND_SELECT, 2},
        {SQLITE_LIMIT_FUNCTION_ARG, 8},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        sqlite3_db_config(db, settings[i].option, settings[i].value, NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        sqlite3_limit(db, limits[i].id, limits[i].value);
    }
    g->steps_left = STEPS_FOR_SCHEMA;
    sqlite3_progress_handler(db, STEPS_A_CALL, on_progress, g);
}

void state_guard_allow(struct state_guard *g, uint64_t bytes)
{
    g->steps_left = STEPS_FOR_SCHEMA + bytes * STEPS_A_BYTE;
}

void state_guard_end_bound(sqlite3 *db)
{
    sqlite3_progress_handler(db, 0, NULL, NULL);
}

static bool column_is(sqlite3_stmt *stmt, int column, const char *text)
{
    const unsigned char *value = sqlite3_column_text(stmt, column);

    return value != NULL && strcmp((const char *)value, text) == 0;
}

/* Which of ours a row of sqlite_schema is: a bit; 0: none. */
static unsigned known_object(sqlite3_stmt *stmt)
{
    if (!column_is(stmt, 0, "table")) {
        return 0;
    }
    if (column_is(stmt, 1, "meta") && column_is(stmt, 2, state_meta_sql)) {
        return 1;
    }
    return column_is(stmt, 1, "counters") && column_is(stmt, 2, state_counters_sql) ? 2 : 0;
}

/* For a sentence: "view v"; what is not printable is left out. */
static void describe_object(sqlite3_stmt *stmt, char object[static STATE_OBJECT_BYTES])
{
    const unsigned char *type = sqlite3_column_text(stmt, 0);
    const unsigned char *name = sqlite3_column_text(stmt, 1);

    snprintf(object, STATE_OBJECT_BYTES, "%.16s %.64s",
             type == NULL ? "object" : (const char *)type, name == NULL ? "" : (const char *)name);
    for (char *c = object; *c != '\0'; c++) {
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    }
}

enum state_schema state_guard_look(sqlite3 *db, char object[static STATE_OBJECT_BYTES])
{
    enum { ALL = 1 | 2 };
    sqlite3_stmt *stmt = NULL;
    unsigned seen = 0;
    unsigned one = ALL;
    int status =
        sqlite3_prepare_v2(db, "SELECT type, name, sql FROM sqlite_schema", -1, &stmt, NULL);

    while (status == SQLITE_OK || (status == SQLITE_ROW && one != 0)) {
        status = sqlite3_step(stmt);
        if (status == SQLITE_ROW) {
            one = known_object(stmt);
            one = (seen & one) == 0 ? one : 0; /* not twice */
            seen |= one;
        }
    }
    enum state_schema schema = seen == ALL ? STATE_SCHEMA_OURS
                               : seen == 0 ? STATE_SCHEMA_EMPTY
                                           : STATE_SCHEMA_PARTIAL;

    if (status == SQLITE_ROW) {
        describe_object(stmt, object);
        schema = STATE_SCHEMA_FOREIGN;
    } else if (status != SQLITE_DONE) {
        schema = STATE_SCHEMA_ERROR;
    }
    sqlite3_finalize(stmt);
    return schema;
}
