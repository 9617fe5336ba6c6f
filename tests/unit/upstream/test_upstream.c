#include "base/mem.h"
#include "net/listener.h"
#include "unit.h"
#include "upstream/call.h"
#include "upstream/resolve.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* A server that answers one connection with fixed bytes, cut where the case says. */
struct script {
    int fd;
    const char *answer;
    bool keep_open;
};

static void *serve(void *arg)
{
    struct script *s = arg;
    char request[4096];
    int c;

    do {
        c = accept(s->fd, NULL, NULL);
        usleep(1000);
    } while (c < 0);
    ck_assert_int_gt(read(c, request, sizeof(request)), 0);
    ck_assert_int_eq(write(c, s->answer, strlen(s->answer)), (ssize_t)strlen(s->answer));
    if (s->keep_open) {
        ck_assert_int_eq(read(c, request, sizeof(request)), 0); /* until the other side closes */
    }
    close(c);
    return NULL;
}

struct seen {
    struct worker *worker;
    unsigned status;
    struct buf body;
    bool ended;
    bool failed;
    enum corral_err why;
};

static void on_head(struct call *c, const struct http_response_head *head)
{
    struct seen *s = call_owner(c);

    s->status = head->status;
}

static void on_body(struct call *c, struct slice bytes)
{
    struct seen *s = call_owner(c);

    ck_assert_int_eq(buf_append(&s->body, bytes), CE_OK);
}

static void on_end(struct call *c)
{
    struct seen *s = call_owner(c);

    s->ended = true;
    worker_stop(s->worker);
}

static void on_fail(struct call *c, enum corral_err why)
{
    struct seen *s = call_owner(c);

    s->failed = true;
    s->why = why;
    worker_stop(s->worker);
}

static const struct call_events events = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static void on_mail(struct worker *w, const struct mail *mail)
{
    worker_stop(w);
}

static struct worker *make_worker(void)
{
    struct worker *w = worker_create(0);

    w->on_mail = on_mail;
    return w;
}

static void call_once(const char *answer, bool keep_open, struct seen *s)
{
    struct script script = {.answer = answer, .keep_open = keep_open};
    struct replica r = {0};
    pthread_t thread;

    *s = (struct seen){.worker = make_worker(), .body = buf_make(100000)};
    ck_assert_int_eq(net_address_parse(slice_str("127.0.0.1:0"), &r.address), CE_OK);
    ck_assert_int_eq(listener_open(&r.address, &script.fd), CE_OK);
    listener_local_address(script.fd, &r.address);
    pthread_create(&thread, NULL, serve, &script);
    struct pool *pool = pool_create(s->worker, (struct pool_times){2000, 60000});
    struct call *c = call_start(pool, &r, CALL_KEPT, &events, s);

    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(call_write(c, slice_str("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), CE_OK);
    call_request_done(c);
    worker_run(s->worker);
    pool_destroy(pool);
    pthread_join(thread, NULL);
    worker_reap_all(s->worker);
    worker_destroy(s->worker);
    close(script.fd);
}

static const struct {
    const char *answer;
    bool keep_open;
    bool ends;
    enum corral_err why;
    const char *body;
} calls[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, true, CE_OK, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", true,
     true, CE_OK, "hi"},
    {"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true, true, CE_OK,
     "hi"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", false, false, CE_UPSTREAM_CUT, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", false, false,
     CE_UPSTREAM_CUT, "h"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nh\r\n", true, false,
     CE_UPSTREAM_CUT, ""},
    {"HTTP/1.1 200 OK\r\nContent-", false, false, CE_UPSTREAM_CLOSED, ""},
    {"SSH-2.0-x\r\n\r\n", true, false, CE_UPSTREAM_NONSENSE, ""},
    {"HTTP/1.1 101 Switching\r\n\r\n", true, false, CE_UPSTREAM_NONSENSE, ""},
    {"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", true, false,
     CE_UPSTREAM_NONSENSE, ""},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", true, false,
     CE_UPSTREAM_NONSENSE, ""},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", true, false,
     CE_UPSTREAM_NONSENSE, ""},
    {"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", true, false, CE_UPSTREAM_NONSENSE, ""},
};

START_TEST(answers_end_or_fail_for_a_reason)
{
    struct seen s;

    call_once(calls[_i].answer, calls[_i].keep_open, &s);
    ck_assert_msg(s.ended == calls[_i].ends && s.failed != s.ended, "%s", calls[_i].answer);
    ck_assert_msg(s.why == calls[_i].why, "%s: %s", calls[_i].answer, err_reason(s.why));
    ck_assert(slice_eq_str(buf_slice(&s.body), calls[_i].body));
    buf_finish(&s.body);
}
END_TEST

START_TEST(interim_floods_end)
{
    char flood[CALL_MAX_INTERIM * 40 + 200] = "";
    struct seen s;

    for (int i = 0; i <= CALL_MAX_INTERIM; i++) {
        strncat(flood, "HTTP/1.1 103 Early\r\n\r\n", 40);
    }
    strncat(flood, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 100);
    call_once(flood, true, &s);
    ck_assert(s.failed);
    ck_assert_int_eq(s.why, CE_UPSTREAM_NONSENSE);
    buf_finish(&s.body);
}
END_TEST

START_TEST(a_refused_port_is_a_connect_failure)
{
    struct seen s = {.worker = make_worker()};
    struct replica r = {0};
    int fd;

    ck_assert_int_eq(net_address_parse(slice_str("127.0.0.1:0"), &r.address), CE_OK);
    ck_assert_int_eq(listener_open(&r.address, &fd), CE_OK);
    listener_local_address(fd, &r.address);
    close(fd);
    struct pool *pool = pool_create(s.worker, (struct pool_times){500, 60000});

    ck_assert_ptr_nonnull(call_start(pool, &r, CALL_KEPT, &events, &s));
    worker_run(s.worker);
    ck_assert_int_eq(s.why, CE_UPSTREAM_CONNECT);
    pool_destroy(pool);
    worker_reap_all(s.worker);
    worker_destroy(s.worker);
}
END_TEST

/* Two names of one address: a request tells the one that it was meant for. */
START_TEST(a_call_has_the_host_of_its_replica)
{
    static const char *const hosts[] = {"a.test:1", "b.test:1", "a.test:1"};
    struct seen s = {.worker = make_worker()};
    struct replica r = {0};
    struct call *made[ARRAY_LEN(hosts)];
    int fd;

    ck_assert_int_eq(net_address_parse(slice_str("127.0.0.1:0"), &r.address), CE_OK);
    ck_assert_int_eq(listener_open(&r.address, &fd), CE_OK);
    listener_local_address(fd, &r.address);
    struct pool *pool = pool_create(s.worker, (struct pool_times){500, 60000});

    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        snprintf(r.host, sizeof(r.host), "%s", hosts[i]);
        made[i] = call_start(pool, &r, CALL_KEPT, &events, &s);
        ck_assert_ptr_nonnull(made[i]);
        ck_assert(!call_is_open(made[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        ck_assert(slice_eq_str(call_host(made[i]), hosts[i]));
    }
    pool_destroy(pool);
    close(fd);
    worker_reap_all(s.worker);
    worker_destroy(s.worker);
}
END_TEST

START_TEST(names_resolve_in_the_helper)
{
    struct worker *w = make_worker();
    struct resolver *r = resolver_create(w, 7);
    struct net_address found[RESOLVE_MAX_ADDRESSES];

    resolver_ask(r, 3, "127.0.0.1", 11434); /* names need a resolver, which not all have */
    worker_run(w);
    size_t count = resolver_take(r, 3, found);

    ck_assert_uint_ge(count, 1);
    for (size_t i = 0; i < count; i++) {
        ck_assert(net_address_is_loopback(&found[i]));
        ck_assert_uint_eq(net_address_port(&found[i]), 11434);
    }
    resolver_destroy(r);
    worker_destroy(w);
}
END_TEST

START_TEST(views_live_as_long_as_their_readers)
{
    struct replica_board b;

    replica_board_init(&b);
    struct replica_view *fresh = replica_view_create(1);

    fresh->replicas[0].id = 5;
    fresh->replicas[0].tags = replica_catalog_create(NULL);
    replica_board_publish(&b, fresh);
    struct replica_view *mine = replica_board_get(&b);

    replica_board_publish(&b, replica_view_create(0));
    ck_assert_ptr_nonnull(replica_view_find(mine, 5));
    ck_assert_ptr_null(replica_view_find(mine, 6));
    replica_view_unref(mine);
    replica_board_finish(&b);
}
END_TEST

static Suite *upstream_suite(void)
{
    Suite *suite = suite_create("upstream");
    TCase *tc = tcase_create("upstream");

    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, answers_end_or_fail_for_a_reason, 0, (int)ARRAY_LEN(calls));
    tcase_add_test(tc, interim_floods_end);
    tcase_add_test(tc, a_refused_port_is_a_connect_failure);
    tcase_add_test(tc, a_call_has_the_host_of_its_replica);
    tcase_add_test(tc, names_resolve_in_the_helper);
    tcase_add_test(tc, views_live_as_long_as_their_readers);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(upstream_suite)
