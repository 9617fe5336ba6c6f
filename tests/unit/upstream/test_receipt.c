/* What the kernel's evidence says of a request on a connection that the peer has closed. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"
#include "upstream/receipt.h"

struct pair {
    int near;
    int far;
    struct receipt_mark before;
};

enum { LONG_US = 10 * 1000 * 1000, FIRST_BYTES = 100, ANSWER_BYTES = 50 };

/* A connection that has carried a request and its answer, as a kept one has. */
static struct pair connect_pair(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char bytes[FIRST_BYTES] = "GET / HTTP/1.1";
    int door = socket(AF_INET, SOCK_STREAM, 0);
    struct pair p;

    ck_assert_int_eq(bind(door, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(door, 1), 0);
    ck_assert_int_eq(getsockname(door, (struct sockaddr *)&at, &len), 0);
    p.near = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(p.near, (struct sockaddr *)&at, sizeof(at)), 0);
    p.far = accept(door, NULL, NULL);
    close(door);
    ck_assert_int_eq(write(p.near, bytes, sizeof(bytes)), sizeof(bytes));
    ck_assert_int_eq(recv(p.far, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
    ck_assert_int_eq(write(p.far, bytes, ANSWER_BYTES), ANSWER_BYTES);
    ck_assert_int_eq(recv(p.near, bytes, ANSWER_BYTES, MSG_WAITALL), ANSWER_BYTES);
    p.before = receipt_mark_now(p.near);
    return p;
}

static void ask(struct pair *p)
{
    ck_assert_int_eq(send(p->near, "POST / HTTP/1.1\r\n\r\n", 19, MSG_NOSIGNAL), 19);
}

static void wait_for_end(struct pair *p)
{
    char byte;

    ck_assert_int_le(recv(p->near, &byte, 1, 0), 0);
}

static void reset(int fd)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fd);
}

/* What call.c counts on for plain connections: the SYN, and every byte that was taken. */
START_TEST(what_was_acknowledged_can_be_counted)
{
    struct pair p = connect_pair();

    ck_assert_uint_eq(p.before.acknowledged, FIRST_BYTES + 1);
    ck_assert_uint_eq(p.before.received, ANSWER_BYTES);
    close(p.near);
    close(p.far);
}
END_TEST

START_TEST(closed_before_it_was_sent_is_not_received)
{
    struct pair p = connect_pair();

    close(p.far);
    ask(&p);
    wait_for_end(&p);
    ck_assert(receipt_is_none(p.near, p.before, LONG_US, 0));
    close(p.near);
}
END_TEST

/* Also when the end was not read yet, and the kernel has been told that the peer is gone. */
START_TEST(closed_while_it_was_sent_is_not_received)
{
    struct pair p = connect_pair();

    close(p.far);
    ask(&p);
    while (send(p.near, "x", 1, MSG_NOSIGNAL) == 1) {
        ;
    }
    ck_assert(receipt_is_none(p.near, p.before, LONG_US, 0));
    close(p.near);
}
END_TEST

START_TEST(a_farewell_is_no_answer)
{
    struct pair p = connect_pair();
    char bytes[RECEIPT_TLS_FAREWELL_BYTES + 1] = {0};

    ck_assert_int_eq(write(p.far, bytes, RECEIPT_TLS_FAREWELL_BYTES), RECEIPT_TLS_FAREWELL_BYTES);
    close(p.far);
    ask(&p);
    ck_assert(receipt_is_none(p.near, p.before, LONG_US, RECEIPT_TLS_FAREWELL_BYTES));
    close(p.near);
    p = connect_pair();
    ck_assert_int_eq(write(p.far, bytes, sizeof(bytes)), sizeof(bytes));
    close(p.far);
    ask(&p);
    ck_assert(!receipt_is_none(p.near, p.before, LONG_US, RECEIPT_TLS_FAREWELL_BYTES));
    close(p.near);
}
END_TEST

static void read_request(struct pair *p)
{
    char bytes[19];

    ck_assert_int_eq(recv(p->far, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
}

START_TEST(read_and_closed_is_received)
{
    struct pair p = connect_pair();

    ask(&p);
    read_request(&p);
    close(p.far);
    wait_for_end(&p);
    ck_assert(!receipt_is_none(p.near, p.before, LONG_US, 0));
    close(p.near);
}
END_TEST

/* The acknowledgement may be on its way still: a RST does not bring it. */
START_TEST(read_and_reset_is_received)
{
    struct pair p = connect_pair();

    ask(&p);
    read_request(&p);
    reset(p.far);
    wait_for_end(&p);
    ck_assert(!receipt_is_none(p.near, p.before, LONG_US, 0));
    close(p.near);
}
END_TEST

START_TEST(arrived_and_not_read_may_be_received)
{
    struct pair p = connect_pair();

    ask(&p);
    close(p.far); /* unread bytes: the kernel sends a RST */
    wait_for_end(&p);
    ck_assert(!receipt_is_none(p.near, p.before, LONG_US, 0));
    close(p.near);
}
END_TEST

/* A RST that comes sooner than any answer ever could was not caused by the request. */
START_TEST(a_reset_that_comes_too_soon_is_not_an_answer)
{
    struct pair p = connect_pair();

    reset(p.far);
    wait_for_end(&p);
    ck_assert(receipt_is_none(p.near, p.before, 0, 0));
    ck_assert(!receipt_is_none(p.near, p.before, LONG_US, 0));
    close(p.near);
}
END_TEST

START_TEST(a_path_knows_nothing)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    ck_assert(!receipt_is_none(ends[0], receipt_mark_now(ends[0]), 0, 0));
    close(ends[0]);
}
END_TEST

static Suite *receipt_suite(void)
{
    Suite *suite = suite_create("receipt");
    TCase *tc = tcase_create("closed");

    tcase_add_test(tc, what_was_acknowledged_can_be_counted);
    tcase_add_test(tc, closed_before_it_was_sent_is_not_received);
    tcase_add_test(tc, closed_while_it_was_sent_is_not_received);
    tcase_add_test(tc, a_farewell_is_no_answer);
    tcase_add_test(tc, read_and_closed_is_received);
    tcase_add_test(tc, read_and_reset_is_received);
    tcase_add_test(tc, arrived_and_not_read_may_be_received);
    tcase_add_test(tc, a_reset_that_comes_too_soon_is_not_an_answer);
    tcase_add_test(tc, a_path_knows_nothing);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(receipt_suite)
