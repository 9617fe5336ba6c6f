#include "net/address.h"
#include "net/block.h"
#include "net/source_count.h"
#include "net/wheel.h"
#include "unit.h"

static int fired;
static uint64_t now;
static struct wheel wheel;

static void on_fire(struct deadline *d)
{
    ck_assert_uint_ge(now, d->at_ms); /* never early */
    ck_assert_uint_le(now, d->at_ms + 3 * WHEEL_SLOT_MS);
    fired++;
}

static void run_to(uint64_t at_ms)
{
    while (now < at_ms) {
        now += WHEEL_SLOT_MS;
        wheel_sweep(&wheel, now);
        while (wheel_fire_one(&wheel)) {
            ;
        }
    }
}

START_TEST(deadlines_fire_once_and_never_early)
{
    static const uint64_t timeouts[] = {0, 1, 99, 100, 101, 5000, 75000, 150000, 600000};
    struct deadline d[ARRAY_LEN(timeouts)];

    fired = 0;
    now = 1234567;
    wheel_init(&wheel, now);
    for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
        deadline_init(&d[i], on_fire);
        deadline_set(&wheel, &d[i], now, timeouts[i]);
    }
    run_to(now + 700000);
    ck_assert_int_eq(fired, (int)ARRAY_LEN(timeouts));
}
END_TEST

START_TEST(deadlines_move_both_ways)
{
    struct deadline d;

    fired = 0;
    now = 1000;
    wheel_init(&wheel, now);
    deadline_init(&d, on_fire);
    deadline_set(&wheel, &d, now, 1000);
    run_to(1500);
    deadline_set(&wheel, &d, now, 2000); /* later: lazily */
    run_to(3000);
    ck_assert_int_eq(fired, 0);
    deadline_set(&wheel, &d, now, 100000);
    deadline_set(&wheel, &d, now, 100); /* earlier: at once */
    run_to(3500);
    ck_assert_int_eq(fired, 1);
    deadline_set(&wheel, &d, now, 100);
    deadline_cancel(&d);
    deadline_cancel(&d);
    run_to(5000);
    ck_assert_int_eq(fired, 1);
}
END_TEST

START_TEST(blocks_grow_and_come_back)
{
    struct block_pool pool = {0};
    struct block *b = NULL;
    size_t total = 0;

    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(block_append(&pool, &b, slice_str("0123456789")), CE_OK);
        total += 10;
        if (i % 3 == 0) {
            ck_assert_int_eq(block_slice(b).ptr[0], '0');
            block_consume(&pool, &b, 10);
            total -= 10;
        }
    }
    ck_assert_uint_eq(block_len(b), total);
    block_consume(&pool, &b, total);
    ck_assert_ptr_null(b);
    block_pool_finish(&pool);
}
END_TEST

START_TEST(addresses_parse)
{
    static const struct {
        const char *text;
        bool ok;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:80", true, true},      {"[::1]:80", true, true},
        {"0.0.0.0:80", true, false},       {"[::]:80", true, false},
        {"localhost:1", true, true},       {"example.com:80", false, false},
        {"127.0.0.1", false, false},       {":80", false, false},
        {"127.0.0.1:99999", false, false}, {"::1:80", false, false},
        {"127.0.0.1:-1", false, false},    {"", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct net_address a;
        bool ok = net_address_parse(slice_str(cases[i].text), &a) == CE_OK;

        ck_assert_msg(ok == cases[i].ok, "%s", cases[i].text);
        ck_assert(!ok || net_address_is_loopback(&a) == cases[i].loopback);
    }
}
END_TEST

START_TEST(prefixes_contain)
{
    static const struct {
        const char *prefix;
        const char *address;
        bool inside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2:1", true},    {"10.0.0.0/8", "11.0.0.1:1", false},
        {"10.0.0.0/9", "10.128.0.1:1", false},   {"192.168.1.1", "192.168.1.1:1", true},
        {"192.168.1.1", "192.168.1.2:1", false}, {"fd00::/8", "[fd12::1]:1", true},
        {"fd00::/8", "[fe80::1]:1", false},      {"0.0.0.0/0", "8.8.8.8:1", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct net_prefix p;
        struct net_address a;

        ck_assert_int_eq(net_prefix_parse(slice_str(cases[i].prefix), &p), CE_OK);
        ck_assert_int_eq(net_address_parse(slice_str(cases[i].address), &a), CE_OK);
        ck_assert_msg(net_prefix_contains(&p, &a) == cases[i].inside, "%s %s", cases[i].prefix,
                      cases[i].address);
    }
    struct net_prefix p;

    ck_assert_int_eq(net_prefix_parse(slice_str("10.0.0.0/33"), &p), CE_ADDRESS);
    ck_assert_int_eq(net_prefix_parse(slice_str("ten"), &p), CE_ADDRESS);
}
END_TEST

START_TEST(sources_are_capped)
{
    struct source_count *s = source_count_create();

    ck_assert(source_count_take(s, 7, 2));
    ck_assert(source_count_take(s, 7, 2));
    ck_assert(!source_count_take(s, 7, 2));
    ck_assert(source_count_take(s, 8, 2));
    source_count_release(s, 7);
    ck_assert(source_count_take(s, 7, 2));
    source_count_destroy(s);
}
END_TEST

static uint64_t source_of(const struct net_address *a)
{
    struct net_peer p = net_peer_of(a);

    return net_peer_source(&p);
}

START_TEST(one_source_is_an_ipv4_address_or_an_ipv6_64)
{
    struct net_address a;
    struct net_address b;

    ck_assert_int_eq(net_address_parse(slice_str("[2001:db8::1]:1"), &a), CE_OK);
    ck_assert_int_eq(net_address_parse(slice_str("[2001:db8::ffff:1]:2"), &b), CE_OK);
    ck_assert_uint_eq(source_of(&a), source_of(&b));
    ck_assert_int_eq(net_address_parse(slice_str("[2001:db8:0:1::1]:1"), &b), CE_OK);
    ck_assert_uint_ne(source_of(&a), source_of(&b));
    ck_assert_int_eq(net_address_parse(slice_str("1.2.3.4:1"), &a), CE_OK);
    ck_assert_int_eq(net_address_parse(slice_str("1.2.3.5:1"), &b), CE_OK);
    ck_assert_uint_ne(source_of(&a), source_of(&b));
}
END_TEST

START_TEST(sockets_in_the_file_system_are_addresses)
{
    static const char *const bad[] = {"unix:", "unix:/", "unix:a", "unix", "/run/a", "tcp:/run/a"};
    struct net_address a;
    struct net_address stranger = {.len = 2};
    struct net_prefix everything;
    char text[NET_ADDRESS_TEXT_BYTES];
    char longest[5 + 108 + 1] = "unix:/";

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_eq(net_address_parse_unix(slice_str(bad[i]), &a), CE_ADDRESS);
    }
    memset(longest + 6, 'a', 106);
    ck_assert_int_eq(net_address_parse_unix(slice_str(longest), &a), CE_OK);
    net_address_format(&a, text);
    ck_assert_str_eq(text, longest);
    longest[5 + 107] = 'a';
    ck_assert_int_eq(net_address_parse_unix(slice_str(longest), &a), CE_ADDRESS);
    ck_assert_int_eq(net_address_parse_unix(slice_of("unix:/a\0b", 9), &a), CE_ADDRESS);

    ck_assert_int_eq(net_address_parse_unix(slice_str("unix:/run/a.sock"), &a), CE_OK);
    stranger.storage.ss_family = AF_UNIX;
    ck_assert(net_address_is_unix(&a) && net_address_is_loopback(&a));
    ck_assert_uint_eq(source_of(&a), source_of(&stranger));
    ck_assert_int_eq(net_prefix_parse(slice_str("0.0.0.0/0"), &everything), CE_OK);
    ck_assert(!net_prefix_contains(&everything, &a));
    struct net_peer peer = net_peer_of(&a);

    net_peer_format(&peer, text);
    ck_assert_str_eq(text, "unix");
}
END_TEST

static Suite *net_suite(void)
{
    Suite *suite = suite_create("net");
    TCase *tc = tcase_create("net");

    tcase_add_test(tc, deadlines_fire_once_and_never_early);
    tcase_add_test(tc, deadlines_move_both_ways);
    tcase_add_test(tc, blocks_grow_and_come_back);
    tcase_add_test(tc, addresses_parse);
    tcase_add_test(tc, prefixes_contain);
    tcase_add_test(tc, sources_are_capped);
    tcase_add_test(tc, sockets_in_the_file_system_are_addresses);
    tcase_add_test(tc, one_source_is_an_ipv4_address_or_an_ipv6_64);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(net_suite)
