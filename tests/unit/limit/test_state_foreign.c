/* A limits.db that somebody else has written to: refused before anything in it is run. */
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "limit/life.h"
#include "limit/state_guard.h"

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "

static void sql(const char *text)
{
    sqlite3 *db = NULL;

    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", text,
                  sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void make_file(void)
{
    struct life l = begin();

    use(&l, "acme", "ann", 7);
    write_now(&l);
    end(&l);
}

static char *get_file(size_t *len)
{
    FILE *in = fopen(file, "r");
    struct stat st;

    ck_assert_ptr_nonnull(in);
    ck_assert_int_eq(stat(file, &st), 0);
    char *bytes = xcalloc(1, (size_t)st.st_size + 1);

    *len = fread(bytes, 1, (size_t)st.st_size, in);
    fclose(in);
    return bytes;
}

static void expect_untouched(const char *word)
{
    struct life l = prepare(10);
    size_t before_len;
    size_t after_len;
    char *before = get_file(&before_len);

    add_tenant(&l, "acme");
    ck_assert_int_eq(try_open(&l), CE_IO);
    ck_assert_msg(strstr(fault.text, word) != NULL, "%s", fault.text);
    ck_assert_msg(strstr(fault.text, file) != NULL, "%s", fault.text);
    end(&l);
    char *after = get_file(&after_len);

    ck_assert_uint_eq(after_len, before_len);
    ck_assert_int_eq(memcmp(after, before, before_len), 0);
    free(before);
    free(after);
}

static const struct {
    const char *text;
    const char *says;
} foreign[] = {
    {"CREATE VIEW v AS " ENDLESS "SELECT i FROM n", "view v"},
    {"DROP TABLE meta; CREATE VIEW meta(name, value) AS " ENDLESS
     "SELECT CASE WHEN i < 0 THEN 'schema' END, i FROM n",
     "view meta"},
    {"DROP TABLE counters; CREATE VIEW counters(tenant, key, ends_ms, used, debt) AS " ENDLESS
     "SELECT 'acme', zeroblob(16), i, i, i FROM n",
     "view counters"},
    {"CREATE TRIGGER t AFTER INSERT ON counters BEGIN DELETE FROM meta; END", "trigger t"},
    {"CREATE TABLE mine(a)", "table mine"},
    {"CREATE INDEX i ON counters(used)", "index i"},
    {"DROP TABLE meta; CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
     "table meta"},
    {"DROP TABLE meta; CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL, more"
     " AS (value + 1)) WITHOUT ROWID",
     "table meta"},
    {"ALTER TABLE counters ADD COLUMN more", "table counters"},
    {"ALTER TABLE counters ADD COLUMN more AS (used + 1)", "table counters"},
    {"ANALYZE", "sqlite_stat1"},
};

START_TEST(foreign_objects_are_refused)
{
    make_file();
    sql(foreign[_i].text);
    expect_untouched(foreign[_i].says);
    expect_untouched("nothing was changed");
}
END_TEST

/* Also when it stands in the -wal file only, as after a kill. */
START_TEST(foreign_objects_of_the_journal_are_refused)
{
    sqlite3 *db = NULL;

    make_file();
    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    ck_assert_int_eq(sqlite3_exec(db, "CREATE VIEW v AS SELECT 1", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_untouched("view v");
}
END_TEST

/* Tables of ours by name, whose pages lead to each other. */
START_TEST(shared_pages_are_damage)
{
    make_file();
    sql("PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE"
        " name = 'meta') WHERE name = 'counters'");
    expect_untouched("is damaged");
}
END_TEST

START_TEST(huge_files_are_refused)
{
    make_file();
    ck_assert_int_eq(truncate(file, (off_t)STATE_FILE_MAX_MIB * 1024 * 1024 + 1), 0);
    struct life l = prepare(10);

    ck_assert_int_eq(try_open(&l), CE_IO);
    ck_assert_msg(strstr(fault.text, "larger than") != NULL, "%s", fault.text);
    end(&l);
}
END_TEST

static int run(sqlite3 *db, const char *text)
{
    return sqlite3_exec(db, text, NULL, NULL, NULL);
}

/* What the checks before it might miss. */
START_TEST(work_has_a_bound)
{
    struct state_guard guard;
    sqlite3 *db = NULL;

    ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
    state_guard_begin(&guard, db);
    ck_assert_int_eq(run(db, ENDLESS "SELECT count(*) FROM n"), SQLITE_INTERRUPT);
    state_guard_allow(&guard, 1000 * 1000);
    ck_assert_int_eq(run(db, "SELECT 1"), SQLITE_OK);
    ck_assert_int_eq(run(db, ENDLESS "SELECT count(*) FROM n"), SQLITE_INTERRUPT);
    ck_assert_int_ne(run(db, "ATTACH ':memory:' AS more"), SQLITE_OK);
    ck_assert_int_ne(run(db, "SELECT \"no such column\""), SQLITE_OK);
    sqlite3_close(db);
}
END_TEST

/* Ten thousand budgets take less than the bound by far. */
START_TEST(good_files_pass)
{
    struct life l = begin();

    use(&l, "acme", "ann", 7);
    write_now(&l);
    end(&l);
    sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000)"
        " INSERT INTO counters SELECT 'other', randomblob(16), 9e15, i, 0 FROM n");
    sql("VACUUM");
    l = begin();
    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 7);
    end(&l);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/state_foreign");
    TCase *tc = tcase_create("foreign");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, foreign_objects_are_refused, 0, (int)ARRAY_LEN(foreign));
    tcase_add_test(tc, foreign_objects_of_the_journal_are_refused);
    tcase_add_test(tc, shared_pages_are_damage);
    tcase_add_test(tc, huge_files_are_refused);
    tcase_add_test(tc, work_has_a_bound);
    tcase_add_test(tc, good_files_pass);
    suite_add_tcase(s, tc);
    return s;
}

UNIT_MAIN(suite)
