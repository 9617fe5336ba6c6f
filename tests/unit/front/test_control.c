#include "base/buf.h"
#include "front/control.h"
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

static unsigned answer_ok(void *arg, struct buf *out)
{
    return buf_append_str(out, "ok\n") == CE_OK ? 200 : 500;
}

static const struct control_route routes[] = {{"/healthz", "text/plain", answer_ok}};

static bool owns_host(void *arg, struct slice authority)
{
    return slice_eq_str(authority, "x");
}

static const struct control_site site = {routes, 1, owns_host};

static void on_mail(struct worker *w, const struct mail *mail)
{
    worker_stop(w);
}

static void *run(void *arg)
{
    worker_run(arg);
    return NULL;
}

/* Send bytes, read until the other side closes. */
static void talk(const struct net_address *to, const char *request, char *out, size_t capacity)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t len = 0;
    ssize_t n;

    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to->storage, to->len), 0);
    ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while ((n = read(fd, out + len, capacity - 1 - len)) > 0) {
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fd);
}

static const struct {
    const char *request;
    const char *begins;
    const char *ends;
} talks[] = {
    {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n"},
    {"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n"},
    {"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok\n"},
    {"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404", "not found\n"},
    {"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405", "only\n"},
    {"GET /healthz HTTP/1.1\n\n", "HTTP/1.1 400", "bad request\n"},
    {"GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok\n"},
    {"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421", "here\n"},
};

START_TEST(a_few_paths_and_nothing_else)
{
    struct worker *w = worker_create(0);
    struct net_address a;
    pthread_t thread;
    char text[4096];
    int fd;

    w->on_mail = on_mail;
    ck_assert_int_eq(net_address_parse(slice_str("127.0.0.1:0"), &a), CE_OK);
    ck_assert_int_eq(listener_open(&a, &fd), CE_OK);
    listener_local_address(fd, &a);
    struct control *c = control_create(w, fd, &site, NULL);

    pthread_create(&thread, NULL, run, w);
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        talk(&a, talks[i].request, text, sizeof(text));
        ck_assert_msg(strncmp(text, talks[i].begins, strlen(talks[i].begins)) == 0, "%s", text);
        ck_assert_msg(slice_ends_with(slice_str(text), slice_str(talks[i].ends)), "%s", text);
    }
    worker_mail(w, &(struct mail){0});
    pthread_join(thread, NULL);
    control_destroy(c);
    worker_reap_all(w);
    worker_destroy(w);
    close(fd);
}
END_TEST

START_TEST(a_second_listener_is_noticed)
{
    struct net_address a;
    int fd;

    ck_assert_int_eq(net_address_parse(slice_str("127.0.0.1:0"), &a), CE_OK);
    ck_assert_int_eq(listener_open(&a, &fd), CE_OK);
    listener_local_address(fd, &a);
    ck_assert_int_eq(listener_probe(&a), CE_ADDRESS);
    close(fd);
    ck_assert_int_eq(listener_probe(&a), CE_OK);
}
END_TEST

static Suite *control_suite(void)
{
    Suite *suite = suite_create("front");
    TCase *tc = tcase_create("control");

    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, a_few_paths_and_nothing_else);
    tcase_add_test(tc, a_second_listener_is_noticed);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(control_suite)
