#include "h2_peer.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/mem.h"

struct peer_stream {
    struct h2_stream stream;
    struct list of_peer;
    size_t left;   /* bytes of the answer that no frame took yet */
    uint64_t body; /* digest of what came of it */
};

const struct h2_settings h2_peer_settings = {
    .max_streams = 100,
    .stream_window_bytes = 65536,
    .connection_window_bytes = 1048576,
    .continuations_per_head = 4,
    .settings_ack_s = 10,
    .resets_received_burst = 100,
    .resets_received_per_s = 20,
    .resets_before_response = 50,
    .resets_sent_burst = 50,
    .resets_sent_per_s = 5,
    .resets_sent_lifetime = 500,
    .empty_data_per_s = 100,
    .pings_per_s = 100,
    .settings_per_s = 100,
    .priorities_per_s = 100,
    .window_updates_per_s = 100,
    .unknown_frames_per_s = 100,
    .stale_frames_per_s = 1000,
    .frames_lifetime = 10000,
};

static void note(struct h2_peer *p, char what, struct slice bytes)
{
    p->digest = (p->digest ^ (unsigned char)what) * 1099511628211u;
    for (size_t i = 0; i < bytes.len; i++) {
        p->digest = (p->digest ^ (unsigned char)bytes.ptr[i]) * 1099511628211u;
    }
}

static struct peer_stream *own(struct h2_stream *st)
{
    return CONTAINER_OF(st, struct peer_stream, stream);
}

static struct h2_stream *create(void *owner)
{
    struct h2_peer *p = owner;
    struct peer_stream *s = xcalloc(1, sizeof(*s));

    list_push_back(&p->streams, &s->of_peer);
    return &s->stream;
}

static void on_gone(void *owner, struct h2_stream *st)
{
    struct h2_peer *p = owner;

    p->gone++;
    list_unlink(&own(st)->of_peer);
    free(own(st));
}

static void answer(struct h2_peer *p, struct h2_stream *st, unsigned status, size_t bytes)
{
    const struct h2_field type = {SLICE_LITERAL("Content-Type"), SLICE_LITERAL("text/plain"), true};

    if (!st->responded) {
        own(st)->left = bytes;
        h2_stream_respond(p->session, st, status, &type, 1, bytes > 0);
    }
}

static void on_request(void *owner, struct h2_stream *st, const struct http_request *r)
{
    struct h2_peer *p = owner;
    size_t len = r->path.len < sizeof(p->last_path) - 1 ? r->path.len : sizeof(p->last_path) - 1;

    p->requests++;
    memcpy(p->last_path, r->path.ptr, len);
    p->last_path[len] = '\0';
    note(p, 'r', r->method);
    note(p, 'p', r->path);
    note(p, 'a', r->authority);
    for (size_t i = 0; i < r->fields.count; i++) {
        note(p, 'n', r->fields.at[i].name);
        note(p, 'v', r->fields.at[i].value);
    }
    if (r->path.len % 2 == 1) {
        answer(p, st, 200, r->path.len * 7);
    }
}

static void on_refused(void *owner, struct h2_stream *st, enum corral_err why,
                       const struct http_request *request)
{
    struct h2_peer *p = owner;

    p->refused++;
    p->last_refusal = why;
    note(p, 'x', slice_str(err_reason(why)));
    answer(p, st, 400, 0);
}

static void on_malformed(void *owner)
{
    struct h2_peer *p = owner;

    p->malformed++;
}

static void on_body(void *owner, struct h2_stream *st, struct slice bytes)
{
    struct h2_peer *p = owner;

    p->body_bytes += bytes.len;
    for (size_t i = 0; i < bytes.len; i++) {
        own(st)->body = (own(st)->body ^ (unsigned char)bytes.ptr[i]) * 1099511628211u;
    }
}

static void on_body_end(void *owner, struct h2_stream *st)
{
    struct h2_peer *p = owner;

    note(p, 'e', slice_of((const char *)&own(st)->body, sizeof(uint64_t)));
    answer(p, st, 200, 40000);
}

static void on_early_answer(void *owner, struct h2_stream *st)
{
    struct h2_peer *p = owner;

    h2_stream_reset(p->session, st, CE_OK);
}

static struct slice peek(struct h2_stream *st, bool *out_last)
{
    static const char bytes[16384];

    *out_last = own(st)->left <= sizeof(bytes);
    return slice_of(bytes, *out_last ? own(st)->left : sizeof(bytes));
}

static void taken(void *owner, struct h2_stream *st, size_t len)
{
    own(st)->left -= len;
}

static const struct h2_events events = {
    .create = create,
    .on_gone = on_gone,
    .on_request = on_request,
    .on_refused = on_refused,
    .on_malformed = on_malformed,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_early_answer = on_early_answer,
    .peek = peek,
    .taken = taken,
};

void h2_peer_begin(struct h2_peer *p, const struct h2_settings *settings)
{
    *p = (struct h2_peer){.now_ms = 1000, .digest = 14695981039346656037u, .settings = *settings};
    p->out = buf_make(64 << 20);
    list_init(&p->streams);
    p->room = h2_room_create();
    p->session = h2_session_create(p->room, settings, &events, p, false);
}

void h2_peer_end(struct h2_peer *p)
{
    struct list *link;

    h2_session_destroy(p->session);
    while ((link = list_pop_front(&p->streams)) != NULL) {
        free(CONTAINER_OF(link, struct peer_stream, of_peer));
    }
    h2_room_destroy(p->room);
    buf_finish(&p->out);
}

enum corral_err h2_peer_receive(struct h2_peer *p, struct slice bytes, size_t step)
{
    enum corral_err err = CE_OK;

    for (size_t at = 0; at < bytes.len && err == CE_OK; at += step) {
        size_t len = bytes.len - at < step ? bytes.len - at : step;

        err = h2_session_receive(p->session, slice_of(bytes.ptr + at, len), p->now_ms);
    }
    return err;
}

static bool room(void *arg)
{
    return true;
}

static void write_out(void *arg, struct slice bytes)
{
    struct h2_peer *p = arg;

    if (buf_append(&p->out, bytes) != CE_OK) {
        abort();
    }
}

enum corral_err h2_peer_send(struct h2_peer *p)
{
    buf_clear(&p->out);
    return h2_session_send(p->session, (struct h2_sink){p, room, write_out});
}

int h2_peer_goaway(const struct h2_peer *p)
{
    struct slice rest = buf_slice(&p->out);
    int code = -1;

    while (rest.len >= 9) {
        const unsigned char *b = (const unsigned char *)rest.ptr;
        size_t len = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2];

        if (b[3] == NGHTTP2_GOAWAY) {
            code = b[9 + 7];
        }
        rest = slice_from(rest, 9 + len);
    }
    return code;
}

void h2_peer_frame(struct buf *to, unsigned type, unsigned flags, uint32_t stream,
                   struct slice payload)
{
    const char head[9] = {(char)(payload.len >> 16),
                          (char)(payload.len >> 8),
                          (char)payload.len,
                          (char)type,
                          (char)flags,
                          (char)(stream >> 24),
                          (char)(stream >> 16),
                          (char)(stream >> 8),
                          (char)stream};

    if (buf_append(to, slice_of(head, sizeof(head))) != CE_OK || buf_append(to, payload) != CE_OK) {
        abort();
    }
}

void h2_peer_hello(struct buf *to)
{
    if (buf_append_str(to, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") != CE_OK) {
        abort();
    }
    h2_peer_frame(to, NGHTTP2_SETTINGS, 0, 0, slice_of(NULL, 0));
    h2_peer_frame(to, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, slice_of(NULL, 0));
}

/* GET / of localhost; POST; the same with a length; a bad path; a table size; half a block. */
static const struct slice blocks[] = {
    {"\x82\x86\x84\x01\x09localhost", 13},
    {"\x83\x86\x04\x09/api/chat\x01\x09localhost", 23},
    {"\x83\x86\x84\x01\x09localhost\x0f\x0d\x01\x35", 17},
    {"\x82\x86\x04\x03/#x\x01\x09localhost", 17},
    {"\x20\x82\x86\x84\x01\x09localhost", 14},
    {"\x82\x86\x84", 3},
    {"\x40\x01x\x05value", 9},
    {"\xbe\xbe\xbe\xbe\xbe\xbe\xbe\xbe", 8},
};

void h2_peer_grammar(struct buf *to, struct slice choices)
{
    static const char zeros[256];
    static const unsigned char kinds[] = {0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 0x10, 0xbb};

    while (choices.len >= 4) {
        const unsigned char *c = (const unsigned char *)choices.ptr;
        unsigned kind = kinds[c[0] % sizeof(kinds)];
        unsigned flags = c[1];
        uint32_t stream = c[2] % 24;
        struct slice payload = slice_of(zeros, c[3]);

        choices = slice_from(choices, 4);
        if (kind == NGHTTP2_HEADERS || kind == NGHTTP2_CONTINUATION) {
            payload = blocks[c[3] % ARRAY_LEN(blocks)];
            flags &= (c[3] & 0x80) != 0 ? 0xffu : 0x05u;
        } else if (kind == NGHTTP2_RST_STREAM || kind == NGHTTP2_WINDOW_UPDATE) {
            payload = choices.len >= 4 && (flags & 1) != 0 ? slice_of(choices.ptr, 4)
                                                           : slice_of("\0\0\0\x08", 4);
        } else if (kind == NGHTTP2_PING) {
            payload.len = (flags & 2) != 0 ? payload.len : 8;
        } else if (kind == NGHTTP2_SETTINGS) {
            payload.len = (flags & 1) != 0 ? 0 : payload.len % 7 * 6;
            stream = (flags & 0x40) != 0 ? stream : 0;
        } else if (kind == NGHTTP2_PRIORITY) {
            payload.len = 5;
        }
        h2_peer_frame(to, kind, flags, stream, payload);
    }
}
