/*
 * load_h2.c: streams and connections that rest, over HTTP/2: by ALPN with TLS, without by prior
 * knowledge. nghttp2 makes the frames. Windows are so large that no update of theirs is measured.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"

enum { WINDOW_BYTES = (1 << 30) - 1, OUT_BYTES = 65536, IN_BYTES = 65536 };

struct h2_conn {
    struct load *load;
    int fd;
    SSL *ssl; /* NULL: clear */
    nghttp2_session *ng;
    unsigned begun; /* streams of which body bytes came */
    unsigned ended;
    char *lasts; /* of each stream, the last byte that came */
};

static struct h2_conn *conns;

/* ---- what nghttp2 asks and tells ---- */

static ssize_t on_read_body(nghttp2_session *ng, int32_t id, uint8_t *out, size_t capacity,
                            uint32_t *out_flags, nghttp2_data_source *source, void *arg)
{
    const struct load *l = source->ptr;
    size_t len = strlen(l->body);

    if (len > capacity) {
        load_fail("the body needs more than one frame");
    }
    memcpy(out, l->body, len);
    *out_flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    if (name_len == 7 && memcmp(name, ":status", 7) == 0 &&
        (value_len != 3 || memcmp(value, "200", 3) != 0)) {
        fprintf(stderr, "load: answered %.*s\n", (int)value_len, (const char *)value);
        exit(1);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *arg)
{
    struct h2_conn *c = arg;
    char *last = &c->lasts[id / 2];

    c->begun += *last == 0; /* no text has it */
    if (len > 0) {
        load_take_lines(c->load, last, (const char *)data, len);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct h2_conn *c = arg;

    if (code != NGHTTP2_NO_ERROR || c->load->streaming) {
        load_fail("a stream ended");
    }
    c->ended++;
    return 0;
}

/* ---- a connection ---- */

static void conn_send(struct h2_conn *c)
{
    static char out[OUT_BYTES];
    const uint8_t *frame;
    size_t used = 0;
    ssize_t len;

    while ((len = nghttp2_session_mem_send(c->ng, &frame)) > 0) {
        if (used + (size_t)len > sizeof(out)) {
            load_fail("too much to send at once");
        }
        memcpy(out + used, frame, (size_t)len);
        used += (size_t)len;
    }
    if (used > 0 && (c->ssl != NULL ? SSL_write(c->ssl, out, (int)used)
                                    : send(c->fd, out, used, MSG_NOSIGNAL)) != (ssize_t)used) {
        load_fail("send");
    }
}

static void conn_take(struct h2_conn *c, const char *data, ssize_t len)
{
    if (nghttp2_session_mem_recv(c->ng, (const uint8_t *)data, (size_t)len) != len ||
        nghttp2_session_want_read(c->ng) == 0) {
        load_fail("a connection ended");
    }
}

/* Reads what is there, at least one piece, and says what is to be said to it. */
static void conn_read(struct h2_conn *c)
{
    static char data[IN_BYTES];

    do {
        ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, data, sizeof(data))
                                   : recv(c->fd, data, sizeof(data), 0);

        if (n > 0) {
            conn_take(c, data, n);
        } else if (c->ssl == NULL || SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_READ) {
            load_fail("a connection ended");
        } else {
            return;
        }
    } while (c->ssl != NULL && SSL_has_pending(c->ssl));
    conn_send(c);
}

static void conn_open(struct load *l, struct h2_conn *c, nghttp2_session_callbacks *callbacks)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES}};
    const unsigned char *protocol = NULL;
    unsigned len = 0;

    c->load = l;
    c->fd = load_connect(l, &c->ssl);
    if (c->ssl != NULL) {
        SSL_get0_alpn_selected(c->ssl, &protocol, &len);
        if (len != 2 || memcmp(protocol, "h2", 2) != 0) {
            load_fail("HTTP/2 was not agreed on");
        }
    }
    c->lasts = calloc(1, l->h2_streams);
    if (c->lasts == NULL || nghttp2_session_client_new(&c->ng, callbacks, c) != 0 ||
        nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) != 0) {
        load_fail("memory");
    }
    conn_send(c);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void conn_ask(struct load *l, struct h2_conn *c)
{
    char token[4096];
    char length[24];
    const nghttp2_data_provider body = {.source.ptr = l, .read_callback = on_read_body};

    snprintf(token, sizeof(token), "Bearer %s", l->token);
    snprintf(length, sizeof(length), "%zu", strlen(l->body));
    const nghttp2_nv fields[] = {
        field(":method", "POST"),         field(":scheme", l->tls ? "https" : "http"),
        field(":authority", "localhost"), field(":path", "/api/chat"),
        field("authorization", token),    field("content-type", "application/json"),
        field("content-length", length),
    };
    if (nghttp2_submit_request(c->ng, NULL, fields, sizeof(fields) / sizeof(fields[0]), &body,
                               NULL) < 0) {
        load_fail("memory");
    }
    conn_send(c);
}

static void open_all(struct load *l)
{
    static const unsigned char alpn[] = "\x02h2";
    nghttp2_session_callbacks *callbacks;

    conns = calloc(l->count, sizeof(*conns));
    if (conns == NULL || nghttp2_session_callbacks_new(&callbacks) != 0) {
        load_fail("memory");
    }
    SSL_CTX_set_alpn_protos(l->ctx, alpn, sizeof(alpn) - 1);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < l->count; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conns[i]};

        conn_open(l, &conns[i], callbacks);
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, conns[i].fd, &ev);
    }
    nghttp2_session_callbacks_del(callbacks);
}

static void wait_until(struct load *l, uint64_t until_ns)
{
    struct epoll_event events[EVENTS];
    int n = load_wait(l, until_ns, events);

    for (int i = 0; i < n; i++) {
        conn_read(events[i].data.ptr);
    }
}

/* ---- modes ---- */

/* Streams begin one after another, on the connections in turn, so that each has its own phase. */
void load_h2_streams(struct load *l)
{
    unsigned total = l->count * l->h2_streams;

    open_all(l);
    uint64_t start = load_now_ns(CLOCK_MONOTONIC);
    uint64_t ramp = (uint64_t)(l->ramp * 1e9);
    uint64_t end = start + ramp + 200000000u;

    for (unsigned next = 0; load_now_ns(CLOCK_MONOTONIC) < end;) {
        uint64_t due = start + ramp * next / total;

        if (next < total && load_now_ns(CLOCK_MONOTONIC) >= due) {
            conn_ask(l, &conns[next++ % l->count]);
            continue;
        }
        wait_until(l, next < total ? due : end);
    }
    load_begin(l);
    end = load_now_ns(CLOCK_MONOTONIC) + (uint64_t)(l->seconds * 1e9);
    while (load_now_ns(CLOCK_MONOTONIC) < end) {
        wait_until(l, end);
    }
    load_mark("end");
}

void load_h2_hold(struct load *l)
{
    open_all(l);
    for (unsigned i = 0; i < l->count; i++) {
        for (unsigned k = 0; k < l->h2_streams; k++) {
            conn_ask(l, &conns[i]);
        }
        while (!l->streaming && conns[i].ended < l->h2_streams) {
            conn_read(&conns[i]);
        }
    }
    for (unsigned i = 0; l->streaming && i < l->count; i++) {
        while (conns[i].begun < l->h2_streams) {
            conn_read(&conns[i]);
        }
    }
    load_mark("begin");
    while (getchar() != EOF) {
    }
    load_mark("end");
}
