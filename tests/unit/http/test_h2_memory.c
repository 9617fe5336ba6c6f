#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/pages.h"
#include "http/h2_memory.h"
#include "unit.h"

enum { FRAMES_BYTES = 16394, EARLY_BYTES = 3072 };

/* What a session asks for when it begins lies in its slot, whatever comes later does not. */
START_TEST(a_session_begins_in_its_slot)
{
    struct pages *pool = h2_memory_pool();
    struct h2_memory m;

    for (int life = 0; life < 3; life++) {
        h2_memory_init(&m, pool);
        nghttp2_mem hooks = h2_memory_hooks(&m);
        char *session = hooks.calloc(1, 2928, &m);
        char *small = hooks.malloc(65, &m);
        char *too_much = hooks.malloc(200, &m);
        char *table = hooks.calloc(256, 16, &m);
        char *frames = hooks.realloc(NULL, FRAMES_BYTES, &m);
        char *second = hooks.realloc(NULL, FRAMES_BYTES, &m);
        char *late = hooks.malloc(16, &m);
        char *none = calloc(1, 2928);

        ck_assert_ptr_eq(session, m.slot);
        ck_assert_mem_eq(session, none, 2928);
        ck_assert_ptr_eq(small, m.slot + 2928);
        ck_assert_ptr_eq(frames, m.slot + EARLY_BYTES);
        memset(session, 1, 2928);
        memset(small, 2, 65);
        memset(frames, 3, FRAMES_BYTES);
        memset(second, 4, FRAMES_BYTES);
        memset(too_much, 5, 200);
        memset(late, 6, 16);
        ck_assert_int_eq(session[2927] + small[64] + frames[0], 6);
        ck_assert_int_eq(second[0] + too_much[0] + late[0] + table[0], 15);

        small = hooks.realloc(small, 4000, &m);
        ck_assert_int_eq(small[64], 2);
        memset(small, 7, 4000);
        frames = hooks.realloc(frames, 30000, &m);
        ck_assert_int_eq(frames[FRAMES_BYTES - 1], 3);
        memset(frames, 8, 30000);
        ck_assert_int_eq(session[2927], 1);
        second = hooks.realloc(second, 10, &m);
        ck_assert_int_eq(second[9], 4);

        void *all[] = {session, small, too_much, table, frames, second, late, NULL};
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            hooks.free(all[i], &m);
        }
        free(none);
        h2_memory_finish(&m);
        h2_memory_finish(&m);
    }
    pages_destroy(pool);
}
END_TEST

/* As where the system has no pages to give. */
START_TEST(without_a_slot_it_is_malloc)
{
    struct h2_memory m = {0};
    nghttp2_mem hooks = h2_memory_hooks(&m);
    char *session = hooks.calloc(1, 2928, &m);
    char *frames = hooks.realloc(NULL, FRAMES_BYTES, &m);

    memset(session, 1, 2928);
    memset(frames, 1, FRAMES_BYTES);
    frames = hooks.realloc(frames, 20000, &m);
    ck_assert_int_eq(frames[FRAMES_BYTES - 1], 1);
    hooks.free(frames, &m);
    hooks.free(session, &m);
    h2_memory_finish(&m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("http/h2_memory");
    TCase *c = tcase_create("memory");

    tcase_add_test(c, a_session_begins_in_its_slot);
    tcase_add_test(c, without_a_slot_it_is_malloc);
    suite_add_tcase(s, c);
    return s;
}

UNIT_MAIN(suite)
