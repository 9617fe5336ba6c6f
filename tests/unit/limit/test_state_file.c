#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "limit/life.h"

/* What it writes stays in the -wal file, as after a kill. */
static bool sql(const char *text)
{
    sqlite3 *db = NULL;
    bool ok = sqlite3_open(file, &db) == SQLITE_OK &&
              sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK &&
              sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;

    sqlite3_close(db);
    return ok;
}

static void expect_refusal(const char *word)
{
    struct life l = prepare(10);

    add_tenant(&l, "acme");
    fault.text[0] = '\0';
    ck_assert_int_eq(try_open(&l), CE_IO);
    ck_assert_msg(strstr(fault.text, folder) != NULL, "%s", fault.text);
    ck_assert_msg(strstr(fault.text, word) != NULL, "%s", fault.text);
    end(&l);
}

START_TEST(a_second_one_is_refused)
{
    int ready[2];
    int finish[2];
    char byte = 0;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(finish), 0);
    pid_t first = fork();

    if (first == 0) {
        struct life l = begin();

        limit_state_start(l.state, NULL);
        use(&l, "acme", "ann", 9);
        (void)!write(ready[1], "", 1);
        (void)!read(finish[0], &byte, 1);
        use(&l, "acme", "ann", 1);
        end(&l);
        _exit(0);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    expect_refusal("in use by another process");
    expect_refusal("in use by another process"); /* the refusal took no lock away */
    ck_assert_int_eq(write(finish[1], "", 1), 1);
    int status;

    ck_assert_int_eq(waitpid(first, &status, 0), first);
    ck_assert_int_eq(status, 0);
    struct life l = begin();

    ck_assert_uint_eq(look(&l, "acme", "ann", DAILY).used, 10);
    expect_refusal("in use by another process"); /* in the same process, too */
    end(&l);
}
END_TEST

static void put_file(const char *bytes, size_t len)
{
    FILE *out = fopen(file, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, len, out), len);
    ck_assert_int_eq(fclose(out), 0);
}

static char *get_file(size_t *len)
{
    struct stat st;
    FILE *in = fopen(file, "r");

    ck_assert_ptr_nonnull(in);
    ck_assert_int_eq(stat(file, &st), 0);
    char *bytes = xcalloc(1, (size_t)st.st_size + 1);

    *len = fread(bytes, 1, (size_t)st.st_size, in);
    ck_assert_uint_eq(*len, (size_t)st.st_size);
    fclose(in);
    return bytes;
}

/* Refused, and not a byte of it was changed; nor is it by closing it. */
static void expect_untouched(const char *word)
{
    size_t before_len;
    size_t after_len;
    char *before = get_file(&before_len);

    expect_refusal(word);
    char *after = get_file(&after_len);

    ck_assert_uint_eq(after_len, before_len);
    ck_assert_int_eq(memcmp(after, before, before_len), 0);
    free(before);
    free(after);
}

/* A file with some hundreds of rows. */
static void make_file(void)
{
    struct life l = begin();
    char user[16];

    for (unsigned i = 0; i < 500; i++) {
        snprintf(user, sizeof(user), "u%u", i);
        use(&l, "acme", user, 1);
    }
    write_now(&l);
    end(&l);
}

START_TEST(foreign_files_are_left_alone)
{
    static const char text[] = "these are my notes\n";
    char moved[80];

    put_file(text, sizeof(text) - 1);
    expect_untouched("Move it away");
    ck_assert_int_eq(unlink(file), 0);
    ck_assert(sql("PRAGMA journal_mode = WAL; CREATE TABLE mine(a)"));
    expect_untouched("Move it away");
    ck_assert_int_eq(unlink(file), 0);
    make_file();
    ck_assert_int_eq(truncate(file, 50), 0);
    expect_untouched("Move it away");
    snprintf(moved, sizeof(moved), "%s-moved", file); /* as told */
    ck_assert_int_eq(rename(file, moved), 0);
    struct life l = begin();

    ck_assert_uint_eq(limit_state_counts(l.state).rows_restored, 0);
    end(&l);
}
END_TEST

START_TEST(damaged_files_are_left_alone)
{
    size_t len;

    make_file();
    char *bytes = get_file(&len);

    ck_assert_uint_gt(len, 5 * 4096);
    memset(bytes + 3 * 4096, 0x5a, 4096); /* a page in the middle */
    put_file(bytes, len);
    expect_untouched("is damaged");
    free(bytes);
    ck_assert_int_eq(unlink(file), 0);
    make_file();
    ck_assert_int_eq(truncate(file, 8192), 0);
    expect_untouched("is damaged");
    ck_assert_int_eq(unlink(file), 0);
    make_file();
    ck_assert(sql("DROP TABLE meta"));
    expect_untouched("is damaged");
    ck_assert_int_eq(unlink(file), 0);
    make_file();
    ck_assert(sql("DROP TABLE counters"));
    expect_untouched("is damaged");
    ck_assert_int_eq(unlink(file), 0);
    make_file();
    ck_assert(sql("DELETE FROM meta WHERE name = 'seed'"));
    expect_untouched("is damaged");
}
END_TEST

START_TEST(newer_files_are_left_alone)
{
    make_file();
    ck_assert(sql("UPDATE meta SET value = 2 WHERE name = 'schema'"));
    expect_untouched("schema version 2");
}
END_TEST

START_TEST(bad_places_are_named)
{
    char target[80];

    snprintf(target, sizeof(target), "%s-moved", file);
    ck_assert_int_eq(symlink(target, file), 0);
    expect_refusal("symbolic link");
    ck_assert_int_eq(unlink(file), 0);
    ck_assert_int_eq(mkdir(file, 0700), 0);
    expect_refusal("not a regular file");
    ck_assert_int_eq(rmdir(file), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    expect_refusal("state_dir must name a folder");
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("limit/state_file");
    TCase *c = tcase_create("state_file");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_second_one_is_refused);
    tcase_add_test(c, foreign_files_are_left_alone);
    tcase_add_test(c, damaged_files_are_left_alone);
    tcase_add_test(c, newer_files_are_left_alone);
    tcase_add_test(c, bad_places_are_named);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
