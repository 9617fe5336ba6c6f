#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "base/intern.h"
#include "base/lane.h"
#include "base/list.h"
#include "base/pages.h"
#include "base/slice.h"
#include "base/utf8.h"
#include "base/word.h"
#include "unit.h"

START_TEST(numbers_are_digits_only)
{
    static const struct {
        const char *text;
        enum corral_err err;
        uint64_t value;
    } cases[] = {
        {"0", CE_OK, 0},
        {"0002", CE_OK, 2},
        {"18446744073709551615", CE_OK, UINT64_MAX},
        {"18446744073709551616", CE_OVERFLOW, 0},
        {"", CE_NOT_A_NUMBER, 0},
        {"+2", CE_NOT_A_NUMBER, 0},
        {" 2", CE_NOT_A_NUMBER, 0},
        {"2 ", CE_NOT_A_NUMBER, 0},
        {"0x2", CE_NOT_A_NUMBER, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t value = 0;

        ck_assert_int_eq(slice_parse_u64(slice_str(cases[i].text), &value), cases[i].err);
        ck_assert_uint_eq(value, cases[i].value);
    }
}
END_TEST

START_TEST(buffers_stop_at_their_maximum)
{
    struct buf b = buf_make(1000);

    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(buf_append_str(&b, "0123456789"), CE_OK);
    }
    ck_assert_int_eq(buf_append_str(&b, "x"), CE_TOO_LARGE);
    ck_assert_uint_eq(b.len, 1000);
    buf_consume(&b, 995);
    ck_assert(slice_eq_str(buf_slice(&b), "56789"));
    ck_assert_int_eq(buf_append_str(&b, "abc"), CE_OK);
    ck_assert(slice_eq_str(buf_slice(&b), "56789abc"));
    buf_finish(&b);
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(json_text_is_escaped)
{
    struct buf b = buf_make(1000);

    ck_assert_int_eq(buf_append_json(&b, slice_of("a\"b\\\n\x01\x7f\xff\xc3\xa9", 10)), CE_OK);
    ck_assert(slice_eq_str(buf_slice(&b), "a\\\"b\\\\\\n\\u0001\\u007f\\ufffd\xc3\xa9"));
    buf_finish(&b);
}
END_TEST

START_TEST(utf8_is_strict)
{
    static const char *const good[] = {"", "abc", "\xc3\xa9", "\xe2\x84\xaa", "\xf0\x9f\x98\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\xae",
                                      "\xe0\x80\xaf",
                                      "\xed\xa0\x80",
                                      "\xf0\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xe2\x84",
                                      "\xff"};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert(utf8_valid(slice_str(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert(!utf8_valid(slice_str(bad[i])));
    }
}
END_TEST

START_TEST(base64url_has_one_spelling)
{
    static const char *const bad[] = {"A", "AB", "AAA=", "AA A", "A+AA", "A/AA", "AAB"};
    unsigned char bytes[16];
    char text[16];
    size_t len;

    ck_assert_int_eq(base64url_decode(slice_str("-_-_"), bytes, &len), CE_OK);
    ck_assert_uint_eq(len, 3);
    ck_assert_uint_eq(base64url_encode(bytes, len, text), 4);
    ck_assert_str_eq(text, "-_-_");
    ck_assert_int_eq(base64url_decode(slice_str("AA"), bytes, &len), CE_OK);
    ck_assert_uint_eq(len, 1);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(base64url_decode(slice_str(bad[i]), bytes, &len), CE_NOT_A_NUMBER);
    }
}
END_TEST

START_TEST(arenas_give_zeroed_memory_of_any_size)
{
    struct arena a = {0};
    char *small = arena_alloc(&a, 10);
    char *large = arena_alloc(&a, 100000);

    ck_assert_int_eq(small[9], 0);
    ck_assert_int_eq(large[99999], 0);
    ck_assert(slice_eq_str(arena_copy(&a, slice_str("name")), "name"));
    arena_finish(&a);
    ck_assert_ptr_null(a.blocks);
}
END_TEST

/* Given memory is used first and never freed; what does not fit gets blocks as ever. */
START_TEST(arenas_begin_where_they_are_told)
{
    static _Alignas(max_align_t) char memory[256];
    struct arena a;

    memset(memory, 'x', sizeof(memory));
    arena_begin(&a, memory, sizeof(memory));
    char *first = arena_alloc(&a, 100);
    char *second = arena_alloc(&a, 100);
    char *raw = arena_alloc_raw(&a, 5000);
    char *third = arena_alloc(&a, 100);

    ck_assert_int_eq(first[0] | first[99], 0); /* whatever stood there */
    ck_assert(first >= memory && first + 100 <= memory + sizeof(memory));
    ck_assert(second >= memory && second + 100 <= memory + sizeof(memory) && second != first);
    memset(raw, 'x', 5000);
    ck_assert(third < memory || third >= memory + sizeof(memory));
    ck_assert_int_eq(third[99], 0);
    arena_finish(&a);
    ck_assert_ptr_null(a.blocks);
    ck_assert_ptr_nonnull(arena_alloc(&a, 1)); /* empty, and usable again */
    arena_finish(&a);
}
END_TEST

static int resident_pages(void *slot)
{
    unsigned char resident[5];
    int count = 0;

    ck_assert_int_eq(mincore(slot, sizeof(resident) * 4096, resident), 0);
    for (size_t i = 0; i < sizeof(resident); i++) {
        count += resident[i] & 1;
    }
    return count;
}

/* More slots than the first region has; each costs the one page that is written. */
START_TEST(pages_cost_what_is_touched)
{
    enum { SLOTS = 1000 };
    struct pages *p = pages_create(5 * 4096);
    char *slots[SLOTS];

    for (int i = 0; i < SLOTS; i++) {
        slots[i] = pages_take(p);
        ck_assert_ptr_nonnull(slots[i]);
        ck_assert_int_eq(resident_pages(slots[i]), 0);
        slots[i][0] = 'x';
        ck_assert_int_eq(resident_pages(slots[i]), 1);
    }
    for (int i = 0; i < SLOTS; i++) {
        pages_give(p, slots[i]);
        ck_assert_int_eq(resident_pages(slots[i]), 0);
    }
    char *again = pages_take(p);

    ck_assert_ptr_eq(again, slots[SLOTS - 1]);
    ck_assert_int_eq(again[0], 0);
    pages_destroy(p);
}
END_TEST

START_TEST(pages_know_their_slots)
{
    struct pages *p = pages_create(20000);
    struct pages *other = pages_create(20000);
    void *stranger = aligned_alloc(4096, 4096);

    ck_assert(!pages_own(p, stranger));
    char *slot = pages_take(p);

    memset(slot, 1, 20000);
    ck_assert(pages_own(p, slot) && !pages_own(other, slot));
    ck_assert(!pages_own(p, slot + 1) && !pages_own(p, slot + 4096) && !pages_own(p, stranger));
    ck_assert(!pages_own(p, NULL));
    free(stranger);
    pages_destroy(p);
    pages_destroy(other);
    pages_destroy(NULL);
}
END_TEST

START_TEST(lists_unlink_twice)
{
    struct list head;
    struct list a;
    struct list b;

    list_init(&head);
    list_init(&a);
    list_push_back(&head, &a);
    list_push_front(&head, &b);
    ck_assert_ptr_eq(list_pop_front(&head), &b);
    list_unlink(&a);
    list_unlink(&a);
    ck_assert(list_empty(&head));
    ck_assert_ptr_null(list_pop_front(&head));
}
END_TEST

/* What printf makes of it, and not a byte before or behind. */
static void check_decimal(uint64_t value)
{
    char want[64];
    char room[64];

    memset(room, '#', sizeof(room));
    int len = snprintf(want, sizeof(want), "%llu", (unsigned long long)value);
    const char *digits = decimal_before(room + 60, value);

    ck_assert_ptr_eq(digits, room + 60 - len);
    ck_assert_mem_eq(digits, want, (size_t)len);
    ck_assert(digits[-1] == '#' && room[60] == '#');
    memset(room, '#', sizeof(room));
    ck_assert_ptr_eq(decimal_put(room + 10, value), room + 10 + len);
    ck_assert_mem_eq(room + 10, want, (size_t)len);
    ck_assert(room[9] == '#' && room[10 + len] == '#');
}

static void check_fixed(uint64_t value, int width)
{
    char want[64];
    char room[64];

    memset(room, '#', sizeof(room));
    int len = snprintf(want, sizeof(want), "%0*llu", width, (unsigned long long)value);
    decimal_fixed(room + 10, value, (unsigned)width);

    ck_assert_mem_eq(room + 10, want + len - width, (size_t)width);
    ck_assert(room[9] == '#' && room[10 + width] == '#');
}

START_TEST(numbers_are_written_as_printf_does)
{
    for (uint64_t small = 0; small < 2000; small++) {
        check_decimal(small);
        check_fixed(small, (int)(small % 7));
    }
    for (uint64_t power = 1; power < UINT64_MAX / 10; power *= 10) {
        for (uint64_t more = 0; more < 3; more++) {
            check_decimal(power * 10 - 1 + more);
            check_fixed(power * 10 - 1 + more, 20);
        }
    }
    check_decimal(UINT64_MAX);
    check_fixed(UINT64_MAX, 30);
}
END_TEST

/* Every byte in every place, among neighbours that borrow and that do not. */
static lane below_quote_high(lane l)
{
    return lane_below(l, 0x20) | lane_equal(l, '"') | lane_high(l);
}

static bool is_below_quote_high(unsigned char c)
{
    return c < 0x20 || c == '"' || c >= 0x80;
}

/* Every byte at every place of every length, and another such byte behind it. */
START_TEST(lanes_find_a_byte_anywhere)
{
    char text[48];
    unsigned wrong = 0;

    for (size_t len = 0; len <= 40; len++) {
        for (size_t at = 0; at <= len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'x', sizeof(text));
                text[len] = '"'; /* not of the text */
                if (at < len) {
                    text[at] = (char)c;
                }
                if (at + 2 < len) {
                    text[at + 2] = '"';
                }
                struct slice s = slice_of(text, len);
                size_t want = 0;

                while (want < len && !is_below_quote_high((unsigned char)text[want])) {
                    want++;
                }
                wrong += lane_find(s, below_quote_high, is_below_quote_high) != want;
                wrong += lane_any_of(s, below_quote_high) != (want < len);
            }
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(words_tell_their_first_byte)
{
    static const char around[] = {0, 1, 'a', '\x7f', '\x80', '\xff'};
    unsigned wrong = 0; /* an assertion is slow */

    for (size_t n = 0; n < ARRAY_LEN(around) * 256 * WORD_BYTES; n++) {
        char text[WORD_BYTES];
        size_t below = WORD_BYTES;
        size_t equal = WORD_BYTES;

        memset(text, around[n / 256 / WORD_BYTES], sizeof(text));
        text[n % WORD_BYTES] = (char)(n / WORD_BYTES % 256);
        for (size_t i = WORD_BYTES; i-- > 0;) {
            below = (unsigned char)text[i] < 0x20 ? i : below;
            equal = text[i] == '"' ? i : equal;
        }
        uint64_t found = word_below(word_load(text), 0x20);
        uint64_t same = word_equal(word_load(text), '"');

        wrong += (found == 0 ? (size_t)WORD_BYTES : word_first(found)) != below;
        wrong += (same == 0 ? (size_t)WORD_BYTES : word_first(same)) != equal;
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* Every pair of bytes, in a word and behind it: equal, or the same letter. */
START_TEST(case_is_of_letters_only)
{
    char a[] = "a?cdefgh-?";
    char b[] = "A?CDEFGH-?";
    unsigned wrong = 0;

    for (unsigned pair = 0; pair < 256 * 256; pair++) {
        a[1] = a[9] = (char)(pair / 256);
        b[1] = b[9] = (char)(pair % 256);
        bool same = ascii_lower(a[1]) == ascii_lower(b[1]);

        wrong += slice_eq_nocase(slice_of(a, 8), slice_of(b, 8)) != same;
        wrong += slice_eq_nocase(slice_of(a + 2, 8), slice_of(b + 2, 8)) != same;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert(!slice_eq_nocase(slice_of(a, 8), slice_of(b, 7)));
}
END_TEST

START_TEST(stamps_are_rfc3339)
{
    char stamp[CLOCK_STAMP_BYTES];

    clock_stamp(1795267349349u, stamp);
    ck_assert_str_eq(stamp, "2026-11-21T13:22:29.349Z");
}
END_TEST

START_TEST(a_stamp_is_right_on_every_day)
{
    char stamp[CLOCK_STAMP_BYTES];
    char want[CLOCK_STAMP_BYTES + 40];

    for (uint64_t day = 0; day < 400 * 366; day++) {
        time_t seconds = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm t;

        gmtime_r(&seconds, &t);
        size_t n = strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &t);
        snprintf(want + n, sizeof(want) - n, ".%03uZ", (unsigned)(day % 1000));
        clock_stamp((uint64_t)seconds * 1000 + day % 1000, stamp);
        ck_assert_str_eq(stamp, want);
    }
}
END_TEST

static bool is_even(void *arg, uint32_t id)
{
    return id % 2 == 0;
}

static bool is_none(void *arg, uint32_t id)
{
    return false;
}

/* Names of one number after the other; those that stay keep theirs, wherever they hash to. */
START_TEST(numbers_are_given_again)
{
    enum { ROOM = 300 };
    struct intern *t = intern_create(ROOM);
    char name[16];

    for (uint32_t i = 1; i <= ROOM; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        ck_assert_uint_eq(intern_add(t, slice_str(name)), i);
    }
    ck_assert_uint_eq(intern_add(t, SLICE_LITERAL("more")), INTERN_OTHER);
    ck_assert_uint_eq(intern_add_or_reuse(t, SLICE_LITERAL("more"), is_none, NULL), INTERN_OTHER);
    struct slice before = intern_name(t, 2);

    for (unsigned i = 0; i < 5 * ROOM; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        uint32_t id = intern_add_or_reuse(t, slice_str(name), is_even, NULL);

        ck_assert(id != INTERN_OTHER && id % 2 == 0);
        ck_assert(slice_eq_str(intern_name(t, id), name));
        ck_assert_uint_eq(intern_add_or_reuse(t, slice_str(name), is_even, NULL), id);
        if (i == 0) {
            ck_assert(slice_eq_str(before, "n2")); /* whoever reads it still may */
        }
        for (uint32_t n = 1; n <= ROOM; n += 2) {
            snprintf(name, sizeof(name), "n%u", n);
            ck_assert_uint_eq(intern_find(t, slice_str(name)), n);
        }
    }
    ck_assert_uint_eq(intern_find(t, SLICE_LITERAL("n2")), INTERN_NONE);
    ck_assert_uint_eq(intern_find(t, SLICE_LITERAL("m3")), INTERN_NONE);
    intern_destroy(t);
}
END_TEST

static Suite *base_suite(void)
{
    Suite *suite = suite_create("base");
    TCase *tc = tcase_create("base");

    tcase_set_timeout(tc, 60);

    tcase_add_test(tc, numbers_are_digits_only);
    tcase_add_test(tc, buffers_stop_at_their_maximum);
    tcase_add_test(tc, json_text_is_escaped);
    tcase_add_test(tc, numbers_are_given_again);
    tcase_add_test(tc, utf8_is_strict);
    tcase_add_test(tc, base64url_has_one_spelling);
    tcase_add_test(tc, arenas_give_zeroed_memory_of_any_size);
    tcase_add_test(tc, arenas_begin_where_they_are_told);
    tcase_add_test(tc, pages_cost_what_is_touched);
    tcase_add_test(tc, pages_know_their_slots);
    tcase_add_test(tc, lists_unlink_twice);
    tcase_add_test(tc, numbers_are_written_as_printf_does);
    tcase_add_test(tc, lanes_find_a_byte_anywhere);
    tcase_add_test(tc, words_tell_their_first_byte);
    tcase_add_test(tc, case_is_of_letters_only);
    tcase_add_test(tc, stamps_are_rfc3339);
    tcase_add_test(tc, a_stamp_is_right_on_every_day);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(base_suite)
