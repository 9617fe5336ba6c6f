#include "net/conn.h"
#include "net/tls.h"
#include "net/tls_site.h"
#include "net/tls_ticket.h"
#include "unit.h"
#include <stdatomic.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ---- names ---- */

static uint64_t find(const struct tls_sites *s, const char *host)
{
    return tls_sites_find(s, slice_str(host));
}

START_TEST(names_are_exact_or_one_label_wide)
{
    struct tls_sites s = {0};

    ck_assert_uint_eq(find(&s, "a.test"), 0);
    tls_sites_add(&s, slice_str("b.test"), 1);
    tls_sites_add(&s, slice_str("A.test"), 0);
    tls_sites_add(&s, slice_str("a.TEST"), 2);
    tls_sites_add(&s, slice_str("*.wild.test"), 3);
    tls_sites_add(&s, slice_str("in.wild.test"), 4);
    tls_sites_add(&s, slice_of("n\0l.test", 8), 5);
    tls_sites_add(&s, slice_str("b*.test"), 5);
    tls_sites_add(&s, slice_str("*"), 5);
    tls_sites_add(&s, slice_str("*."), 5);
    tls_sites_add(&s, slice_str(""), 5);
    tls_sites_sort(&s);
    ck_assert_uint_eq(s.count, 4);
    ck_assert_uint_eq(find(&s, "a.test"), 1 | 4);
    ck_assert_uint_eq(find(&s, "A.Test"), 1 | 4);
    ck_assert_uint_eq(find(&s, "b.test"), 2);
    ck_assert_uint_eq(find(&s, "x.wild.test"), 8);
    ck_assert_uint_eq(find(&s, "in.wild.test"), 16);
    ck_assert_uint_eq(find(&s, "wild.test"), 0);
    ck_assert_uint_eq(find(&s, ".wild.test"), 0);
    ck_assert_uint_eq(find(&s, "x.y.wild.test"), 0);
    ck_assert_uint_eq(find(&s, "*.wild.test"), 0);
    ck_assert_uint_eq(find(&s, "test"), 0);
    ck_assert_uint_eq(find(&s, "127.0.0.1"), 0);
    ck_assert_uint_eq(find(&s, ""), 0);
    tls_sites_finish(&s);
}
END_TEST

START_TEST(names_have_a_longest)
{
    char longest[300];
    struct tls_sites s = {0};

    memset(longest, 'a', sizeof(longest));
    tls_sites_add(&s, slice_of(longest, TLS_NAME_BYTES - 1), 0);
    tls_sites_add(&s, slice_of(longest, TLS_NAME_BYTES), 1);
    tls_sites_sort(&s);
    ck_assert_uint_eq(s.count, 1);
    ck_assert_uint_eq(tls_sites_find(&s, slice_of(longest, TLS_NAME_BYTES - 1)), 1);
    ck_assert_uint_eq(tls_sites_find(&s, slice_of(longest, TLS_NAME_BYTES)), 0);
    tls_sites_finish(&s);
}
END_TEST

static const struct {
    const char *bytes;
    size_t len;
    const char *name; /* NULL: none */
} extensions[] = {
    {"\0\6\0\0\3a.b", 8, "a.b"},
    {"\0\4\0\0\1a", 6, "a"},
    {"", 0, NULL},
    {"\0", 1, NULL},
    {"\0\0", 2, NULL},
    {"\0\3\0\0\0", 5, NULL},
    {"\0\6\1\0\3a.b", 8, NULL},
    {"\0\5\0\0\3a.b", 8, NULL},
    {"\0\6\0\0\4a.b", 8, NULL},
    {"\0\6\0\0\2a.b", 8, NULL},
    {"\0\6\0\1\3a.b", 8, NULL},
    {"\0\7\0\0\3a.b", 8, NULL},
    {"\0\014\0\0\3a.b\0\0\3c.d", 14, NULL},
    {"\0\6\0\0\3a.b", 7, NULL},
};

START_TEST(the_server_name_is_read)
{
    struct slice name = {0};
    char *copy = malloc(extensions[_i].len + 1);

    memcpy(copy, extensions[_i].bytes, extensions[_i].len);
    bool found = tls_server_name_read(slice_of(copy, extensions[_i].len), &name);

    ck_assert_int_eq(found, extensions[_i].name != NULL);
    ck_assert(!found || slice_eq_str(name, extensions[_i].name));
    free(copy);
}
END_TEST

/* ---- ticket keys ---- */

START_TEST(ticket_keys_live_for_two_rotations)
{
    struct ticket_keys k;
    struct ticket_key first;
    struct ticket_key second;
    struct ticket_key third;
    struct ticket_key found;

    ticket_keys_init(&k, 1000, 5000);
    ticket_keys_current(&k, 5999, &first);
    ck_assert(ticket_keys_find(&k, first.name, 5999, &found));
    ticket_keys_current(&k, 6000, &second);
    ck_assert_mem_ne(first.name, second.name, sizeof(first.name));
    ck_assert_mem_ne(first.cipher_key, second.cipher_key, sizeof(first.cipher_key));
    ck_assert(ticket_keys_find(&k, first.name, 6999, &found));
    ck_assert_mem_eq(&found, &first, sizeof(first));
    ck_assert(!ticket_keys_find(&k, first.name, 7000, &found));
    ck_assert(ticket_keys_find(&k, second.name, 7000, &found));
    /* Nobody came for two periods: both are gone. */
    ticket_keys_current(&k, 7000, &third);
    ck_assert(!ticket_keys_find(&k, third.name, 9000, &found));
    ck_assert(!ticket_keys_find(&k, second.name, 9000, &found));
    ticket_keys_finish(&k);
}
END_TEST

START_TEST(no_ticket_is_named_nothing)
{
    static const unsigned char nothing[16] = {0};
    struct ticket_keys k;
    struct ticket_key found;

    ticket_keys_init(&k, 1000, 0);
    ck_assert(!ticket_keys_find(&k, nothing, 1, &found));
    ticket_keys_finish(&k);
}
END_TEST

/* ---- connections ---- */

static char folder[] = "/tmp/corral-tls-XXXXXX";
static char chain_file[64];
static char key_file[64];

static void write_pem(const char *path, X509 *certificate, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(certificate != NULL ? PEM_write_X509(f, certificate)
                                         : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL),
                     1);
    fclose(f);
}

static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    signal(SIGPIPE, SIG_IGN);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(chain_file, sizeof(chain_file), "%s/chain", folder);
    snprintf(key_file, sizeof(key_file), "%s/key", folder);
    X509_set_version(x, 2);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    write_pem(chain_file, x, NULL);
    write_pem(key_file, NULL, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void remove_certificate(void)
{
    unlink(chain_file);
    unlink(key_file);
    rmdir(folder);
}

/* A server's side on a worker, and an OpenSSL client in a thread. */
struct pair {
    struct worker *worker;
    struct conn *conn;
    struct deadline later;
    int client_fd;
    atomic_size_t got;
    size_t got_before_resume;
    size_t got_before_close; /* the client's */
    bool paused;
    bool closed;
    void (*talk)(struct pair *p, SSL *ssl);
    size_t updates;
};

static size_t on_data(struct conn *c, struct slice bytes)
{
    struct pair *p = c->owner;

    p->got += bytes.len;
    if (!p->paused) {
        p->paused = true;
        p->got_before_resume = p->got;
        conn_pause_read(c);
        deadline_set(&p->worker->wheel, &p->later, p->worker->now_ms, 300);
    }
    return bytes.len;
}

static void on_later(struct deadline *d)
{
    conn_resume_read(CONTAINER_OF(d, struct pair, later)->conn);
}

static void on_eof(struct conn *c)
{
    conn_close(c, CE_CLIENT_GONE);
}

static void on_closed(struct conn *c, enum corral_err why)
{
    struct pair *p = c->owner;

    p->closed = true;
    deadline_cancel(&p->later);
    worker_stop(p->worker);
}

static const struct conn_events events = {
    .on_data = on_data, .on_eof = on_eof, .on_closed = on_closed};

static void *run_client(void *arg)
{
    struct pair *p = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    char byte;

    SSL_set_fd(ssl, p->client_fd);
    if (SSL_connect(ssl) == 1) {
        p->talk(p, ssl);
    }
    /* Not before all was read: a close with unread tickets would be a reset. */
    shutdown(p->client_fd, SHUT_WR);
    while (recv(p->client_fd, &byte, 1, 0) == 1) {
        ;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(p->client_fd);
    return NULL;
}

static atomic_uint mail_count;

static void on_mail(struct worker *w, const struct mail *mail)
{
    atomic_fetch_add(&mail_count, 1);
}

static void run_pair(struct pair *p)
{
    struct tls_files files = {chain_file, key_file};
    struct tls_settings settings = {
        .certificates = &files, .certificate_count = 1, .ticket_rotation_s = 60};
    struct tls_fault fault = {{0}};
    struct tls_ctx *ctx;
    pthread_t thread;
    int fds[2];

    ck_assert_int_eq(tls_ctx_create(&settings, &ctx, &fault), CE_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(evutil_make_socket_nonblocking(fds[0]), 0);
    p->client_fd = fds[1];
    p->worker = worker_create(0);
    p->worker->on_mail = on_mail;
    deadline_init(&p->later, on_later);
    p->conn = conn_accept(p->worker, fds[0], ctx, 5000, &events, p);
    tls_ctx_unref(ctx); /* the connection has its own */
    pthread_create(&thread, NULL, run_client, p);
    worker_run(p->worker);
    pthread_join(thread, NULL);
    worker_destroy(p->worker);
}

/* S-191: 10,000 KeyUpdates that want an answer; all answers are read. */
static void flood_updates(struct pair *p, SSL *ssl)
{
    char byte;

    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* one record a call */
    for (p->updates = 0; p->updates < 10000; p->updates++) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1) {
            return;
        }
        while (recv(p->client_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
            int n = SSL_peek(ssl, &byte, 1);

            if (n <= 0 && SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ) {
                return;
            }
        }
    }
}

START_TEST(s191_floods_of_key_updates_are_cut)
{
    struct pair p = {.talk = flood_updates};

    run_pair(&p);
    ck_assert(p.closed);
    ck_assert_uint_lt(p.updates, 10000);
    ck_assert_uint_eq(p.got, 0);
}
END_TEST

/* As many as are allowed, then data: nothing is lost. */
static void update_a_little(struct pair *p, SSL *ssl)
{
    for (p->updates = 0; p->updates < TLS_KEY_UPDATES_MAX; p->updates++) {
        ck_assert_int_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(ssl), 1);
    }
    ck_assert_int_eq(SSL_write(ssl, "hello", 5), 5);
}

/* What OpenSSL has written to its memory goes to the socket, up to `most` bytes of it. */
static void pass_on(struct pair *p, BIO *written, int most)
{
    char bytes[1024];
    int n = BIO_read(written, bytes, most);

    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(write(p->client_fd, bytes, (size_t)n), n);
}

static bool mail_arrives(struct pair *p)
{
    unsigned before = atomic_load(&mail_count);

    worker_mail(p->worker, &(struct mail){0});
    for (int i = 0; i < 2000 && atomic_load(&mail_count) == before; i++) {
        usleep(1000);
    }
    return atomic_load(&mail_count) > before;
}

/* A KeyUpdate, and then data, of which the rest comes late: meanwhile the worker does its work. */
static void cut_an_update(struct pair *p, SSL *ssl)
{
    BIO *written = BIO_new(BIO_s_mem());

    SSL_set0_wbio(ssl, written);
    ck_assert_int_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ck_assert_int_eq(SSL_do_handshake(ssl), 1);
    ck_assert_int_eq(SSL_write(ssl, "hello", 5), 5);
    while (BIO_pending(written) > 0) {
        pass_on(p, written, 7);
        p->updates += mail_arrives(p) ? 0 : 1; /* how often the worker did not */
    }
}

START_TEST(a_record_in_pieces_stops_nobody)
{
    struct pair p = {.talk = cut_an_update};

    run_pair(&p);
    ck_assert_uint_eq(p.updates, 0);
    ck_assert_uint_eq(p.got, 5);
}
END_TEST

START_TEST(a_few_key_updates_are_fine)
{
    struct pair p = {.talk = update_a_little, .paused = true};

    run_pair(&p);
    ck_assert_uint_eq(p.got, 5);
}
END_TEST

/* Several records in one flight: OpenSSL reads them all, the paused owner gets the first. */
static void send_three_records(struct pair *p, SSL *ssl)
{
    BIO *wire = BIO_new(BIO_s_mem());
    char *bytes;

    SSL_set0_wbio(ssl, wire);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(SSL_write(ssl, "12345", 5), 5);
    }
    long len = BIO_get_mem_data(wire, &bytes);

    ck_assert_int_eq(send(p->client_fd, bytes, (size_t)len, 0), len);
    usleep(800 * 1000); /* past the resume; nothing more came by the wire */
    p->got_before_close = p->got;
}

START_TEST(bytes_inside_tls_come_after_a_resume)
{
    struct pair p = {.talk = send_three_records};

    run_pair(&p);
    ck_assert_uint_eq(p.got_before_resume, 5);
    ck_assert_uint_eq(p.got_before_close, 15);
}
END_TEST

static void count_closed(struct conn *c, enum corral_err why)
{
    ++*(unsigned *)c->owner;
}

/* Everybody's first bytes are nonsense: each step of a handshake closes one. */
START_TEST(handshakes_take_turns)
{
    enum { CLIENTS = 10 };
    static const struct conn_events counting = {
        .on_data = on_data, .on_eof = on_eof, .on_closed = count_closed};
    struct tls_files files = {chain_file, key_file};
    const struct tls_settings settings = {
        .certificates = &files, .certificate_count = 1, .ticket_rotation_s = 3600};
    struct worker *w = worker_create(0);
    struct tls_fault fault;
    struct tls_ctx *ctx;
    unsigned closed = 0;
    int far[CLIENTS];

    ck_assert_int_eq(tls_ctx_create(&settings, &ctx, &fault), CE_OK);
    for (size_t i = 0; i < CLIENTS; i++) {
        int ends[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        far[i] = ends[1];
        ck_assert_int_eq(write(far[i], "no TLS at all, not a bit of it", 30), 30);
        conn_accept(w, ends[0], ctx, 5000, &counting, &closed);
    }
    for (unsigned turn = 1; turn <= 3; turn++) {
        w->handshake_steps = 0; /* worker_run does both */
        w->turn_began_us = 0;
        event_base_loop(w->base, EVLOOP_ONCE);
        /* At least one; fewer than the most where a step takes a millisecond, as under valgrind. */
        ck_assert_uint_le(closed, turn * WORKER_HANDSHAKE_STEPS);
        ck_assert_uint_ge(closed, turn);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        close(far[i]);
    }
    tls_ctx_unref(ctx);
    worker_destroy(w);
}
END_TEST

static Suite *tls_suite(void)
{
    Suite *suite = suite_create("tls");
    TCase *names = tcase_create("names");
    TCase *conns = tcase_create("connections");

    tcase_add_test(names, names_are_exact_or_one_label_wide);
    tcase_add_test(names, names_have_a_longest);
    tcase_add_loop_test(names, the_server_name_is_read, 0,
                        (int)(sizeof(extensions) / sizeof(extensions[0])));
    tcase_add_test(names, ticket_keys_live_for_two_rotations);
    tcase_add_test(names, no_ticket_is_named_nothing);
    tcase_set_timeout(conns, 30);
    tcase_add_unchecked_fixture(conns, make_certificate, remove_certificate);
    tcase_add_test(conns, s191_floods_of_key_updates_are_cut);
    tcase_add_test(conns, a_few_key_updates_are_fine);
    tcase_add_test(conns, a_record_in_pieces_stops_nobody);
    tcase_add_test(conns, bytes_inside_tls_come_after_a_resume);
    tcase_add_test(conns, handshakes_take_turns);
    suite_add_tcase(suite, names);
    suite_add_tcase(suite, conns);
    return suite;
}

UNIT_MAIN(tls_suite)
