#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls_ctx.h"
#include "net/transport.h"

/*
 * OpenSSL reads and writes through a BIO of ours. What it reads comes from the socket. Records that
 * it writes go into the worker's flat cipher buffer, and from there to the socket in one send. The
 * buffer belongs to one connection at a time: whoever lets OpenSSL write calls ship() before
 * returning to the loop.
 */
static int cipher_read(BIO *bio, char *bytes, int len)
{
    struct conn *c = BIO_get_data(bio);
    ssize_t n;

    do {
        n = recv(c->fd, bytes, (size_t)len, 0);
    } while (n < 0 && errno == EINTR);
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        BIO_set_retry_read(bio);
    } else if (n == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return (int)n;
}

static int cipher_write(BIO *bio, const char *bytes, int len)
{
    struct conn *c = BIO_get_data(bio);
    struct worker *w = c->worker;
    size_t need = w->cipher_len + (size_t)len;

    if (need > w->cipher_capacity) {
        w->cipher_capacity = need + need / 2;
        w->cipher = xrealloc(w->cipher, w->cipher_capacity);
    }
    memcpy(w->cipher + w->cipher_len, bytes, (size_t)len);
    w->cipher_len = need;
    return len;
}

static long cipher_ctrl(BIO *bio, int command, long number, void *pointer)
{
    if (command == BIO_CTRL_EOF) {
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    }
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method; /* written once under method_once */
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "corral cipher");
    if (method == NULL) {
        mem_exhausted();
    }
    BIO_meth_set_read(method, cipher_read);
    BIO_meth_set_write(method, cipher_write);
    BIO_meth_set_ctrl(method, cipher_ctrl);
}

/* Send what OpenSSL has just written; what the kernel refuses is kept in c->wire. */
static enum io_result ship(struct conn *c)
{
    struct worker *w = c->worker;
    size_t sent = 0;

    if (c->wire == NULL) {
        while (sent < w->cipher_len) {
            ssize_t n = send(c->fd, w->cipher + sent, w->cipher_len - sent, MSG_NOSIGNAL);

            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
                w->cipher_len = 0;
                return IO_BROKEN;
            }
            if (n < 0) {
                break;
            }
            sent += (size_t)n;
        }
    }
    struct slice rest = slice_of(w->cipher + sent, w->cipher_len - sent);

    w->cipher_len = 0;
    if (rest.len > 0 && block_append(&w->blocks, &c->wire, rest) != CE_OK) {
        return IO_BROKEN;
    }
    return c->wire == NULL ? IO_OK : IO_AGAIN;
}

static enum io_result judge(struct conn *c, int result)
{
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_NONE:
        return IO_OK;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return IO_EOF;
    default:
        return IO_BROKEN;
    }
}

/* For the log: what was wrong with the peer's certificate, else what OpenSSL says. Static text. */
static const char *fault_of(struct conn *c)
{
    long verified = SSL_get_verify_result(c->ssl);
    const char *text = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                             : ERR_reason_error_string(ERR_peek_last_error());

    return text == NULL ? "the peer closed" : text;
}

static enum io_result tls_handshake(struct conn *c)
{
    ERR_clear_error();
    enum io_result result = judge(c, SSL_do_handshake(c->ssl));
    if (c->fault == NULL && (result == IO_BROKEN || result == IO_EOF)) {
        c->fault = fault_of(c);
    }
    return ship(c) == IO_BROKEN ? IO_BROKEN : result;
}

enum { MAX_UNASKED_BYTES = 96 * 1024 }; /* above what one flush of data leaves */

static enum io_result tls_read(struct conn *c, char *out, size_t capacity, size_t *out_len)
{
    ERR_clear_error();
    int n = SSL_read(c->ssl, out, (int)capacity);
    enum io_result result = judge(c, n);

    if (c->worker->cipher_len > 0) {
        enum io_result shipped = ship(c); /* KeyUpdate, alerts */

        if (shipped == IO_BROKEN || block_len(c->wire) > MAX_UNASKED_BYTES) {
            return IO_BROKEN; /* answers to a peer that does not read them */
        }
    }
    if (c->key_updates > TLS_KEY_UPDATES_MAX) {
        return IO_BROKEN;
    }
    if (result == IO_OK) {
        *out_len = (size_t)n;
    } else if (result == IO_BROKEN && SSL_get_error(c->ssl, n) == SSL_ERROR_SSL) {
        c->fault = fault_of(c); /* TLS 1.3: a server refuses our certificate only here */
    }
    return result;
}

static bool tls_has_buffered(const struct conn *c)
{
    return SSL_has_pending(c->ssl) == 1;
}

static enum io_result tls_flush(struct conn *c)
{
    enum { RECORDS_PER_SEND = 4 };
    size_t sent = 0;
    enum io_result result = transport_send_block(c, &c->wire, &sent);

    if (c->state == CONN_HANDSHAKE) {
        return result; /* data waits for its end */
    }
    while (result == IO_OK && c->out != NULL) {
        for (int i = 0; i < RECORDS_PER_SEND && c->out != NULL; i++) {
            struct slice rest = block_slice(c->out);

            ERR_clear_error();
            int n = SSL_write(c->ssl, rest.ptr, (int)(rest.len > 16384 ? 16384 : rest.len));
            if (n <= 0) {
                (void)ship(c);
                return IO_BROKEN;
            }
            block_consume(&c->worker->blocks, &c->out, (size_t)n);
            c->bytes_out += (size_t)n;
        }
        result = ship(c);
    }
    return result;
}

static void tls_goodbye(struct conn *c)
{
    ERR_clear_error();
    (void)SSL_shutdown(c->ssl);
    (void)ship(c);
}

const struct transport transport_tls = {
    .handshake = tls_handshake,
    .read = tls_read,
    .has_buffered = tls_has_buffered,
    .flush = tls_flush,
    .goodbye = tls_goodbye,
};

/* RFC 8446 section 4.6.3 sets no bound: a peer could make us renew keys for ever. */
/* parameters: OpenSSL calls it */
static void on_message(int write, int version, int type, const void *bytes, size_t len, SSL *ssl,
                       void *arg)
{
    struct conn *c = arg;

    if (write != 0 || type != SSL3_RT_HANDSHAKE || len == 0 ||
        *(const unsigned char *)bytes != SSL3_MT_KEY_UPDATE) {
        return;
    }
    if (c->worker->now_ms - c->key_updates_since_ms >= TLS_KEY_UPDATE_WINDOW_MS) {
        c->key_updates_since_ms = c->worker->now_ms;
        c->key_updates = 0;
    }
    c->key_updates++;
}

static void start(struct conn *c, SSL_CTX *ssl)
{
    pthread_once(&method_once, make_method);
    BIO *bio = BIO_new(method);

    c->ssl = SSL_new(ssl);
    if (bio == NULL || c->ssl == NULL) {
        mem_exhausted();
    }
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_msg_callback(c->ssl, on_message);
    SSL_set_msg_callback_arg(c->ssl, c);
    SSL_set_app_data(c->ssl, c);
    c->transport = &transport_tls;
}

void tls_conn_start(struct conn *c, struct tls_ctx *ctx)
{
    start(c, ctx->first);
    c->tls = tls_ctx_ref(ctx);
    SSL_set_accept_state(c->ssl);
}

void tls_conn_start_client(struct conn *c, struct tls_client *t)
{
    start(c, t->ssl);
    c->tls_client = tls_client_ref(t);
    SSL_set_connect_state(c->ssl);
    if (!t->name_is_address && SSL_set_tlsext_host_name(c->ssl, t->name) != 1) {
        mem_exhausted();
    }
}

void tls_conn_free(struct conn *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    tls_ctx_unref(c->tls);
    c->tls = NULL;
    tls_client_unref(c->tls_client);
    c->tls_client = NULL;
}
