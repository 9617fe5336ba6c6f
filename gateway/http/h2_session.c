#include <stdlib.h>

#include "base/mem.h"
#include "base/pages.h"
#include "http/h2_impl.h"
#include "http/request.h"

enum { LAST_STREAM_IDS = 1024, DEFLATE_TABLE_BYTES = 1024 };

/* ---- what nghttp2 tells ---- */

static struct h2_stream *stream_of(const struct h2_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s->ng, id);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *s = arg;

    h2_head_give(s->room, s->head); /* of a block that was broken off */
    s->head = NULL;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        s->head = h2_head_take(s->room);
        s->head->is_trailer = true;
        return 0;
    }
    struct h2_stream *st = s->streams < s->limits.max_streams ? s->events->create(s->owner) : NULL;

    if (st == NULL) {
        h2_must(nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                          NGHTTP2_REFUSED_STREAM));
        h2_guard_forget(&s->guard, frame->hd.stream_id, true);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    s->head = h2_head_take(s->room);
    *st = (struct h2_stream){.id = frame->hd.stream_id};
    s->streams++;
    nghttp2_session_set_stream_user_data(ng, st->id, st);
    return 0;
}

/* RFC 9113 section 8.1.1. `st` NULL: its head is still being read. */
static void reset_malformed(struct h2_session *s, int32_t id, struct h2_stream *st)
{
    h2_must(nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR));
    if (st != NULL) {
        st->malformed = true;
    }
    s->events->on_malformed(s->owner);
}

/* parameters: nghttp2 calls it */
static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct h2_session *s = arg;
    struct slice field = slice_of((const char *)name, name_len);
    struct slice content = slice_of((const char *)value, value_len);

    if (s->head == NULL) {
        return 0;
    }
    if (!h2_message_field_ok(s->head, field, content)) {
        h2_head_give(s->room, s->head);
        s->head = NULL;
        reset_malformed(s, frame->hd.stream_id, stream_of(s, frame->hd.stream_id));
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest of the block is only decoded */
    }
    enum corral_err err = h2_head_add(s->head, field, content);
    if (err != CE_OK) {
        h2_session_fail(s, err);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static void on_request_head(struct h2_session *s, struct h2_stream *st, bool ended)
{
    enum corral_err err = h2_head_finish(s->head, s->is_tls, ended);

    st->has_length = s->head->request.fields.times[HF_CONTENT_LENGTH] > 0 &&
                     http_read_length(&s->head->request.fields, &st->body_left) == CE_OK;
    if (st->id > s->guard.accept_until) {
        return; /* beyond the last stream that we named; nghttp2 ignores it */
    }
    if (!h2_message_head_ok(s->head) || (ended && st->body_left > 0)) {
        reset_malformed(s, st->id, st);
    } else if (err == CE_OK) {
        s->events->on_request(s->owner, st, &s->head->request);
    } else {
        s->events->on_refused(s->owner, st, err, &s->head->request);
    }
}

/* Trailers are dropped; they have a limit of their own, and end the body. Whether they are good. */
static bool take_trailers(struct h2_session *s, struct h2_stream *st, bool ended)
{
    if (!ended) {
        reset_malformed(s, st->id, st);
        return false;
    }
    if (s->head->fault == CE_OK && s->head->decoded <= H2_MAX_TRAILER_BYTES) {
        return true;
    }
    h2_must(nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_PROTOCOL_ERROR));
    return false;
}

static void on_stream_end(struct h2_session *s, struct h2_stream *st)
{
    if (st->malformed) {
        return;
    }
    if (st->body_left > 0) {
        reset_malformed(s, st->id, st);
        return;
    }
    st->request_ended = true;
    s->events->on_body_end(s->owner, st);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *s = arg;
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool good = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    struct h2_stream *st = good ? stream_of(s, frame->hd.stream_id) : NULL;

    if (frame->hd.type == NGHTTP2_HEADERS && s->head != NULL) {
        if (st != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
            on_request_head(s, st, ends);
        } else if (st != NULL) {
            good = take_trailers(s, st, ends);
        }
        h2_head_give(s->room, s->head);
        s->head = NULL;
    }
    if (ends && good && st != NULL) {
        on_stream_end(s, st);
    }
    return 0;
}

/* nghttp2 resets the stream, or ends the connection, as RFC 9113 says. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *arg)
{
    struct h2_session *s = arg;

    if (frame->hd.type == NGHTTP2_HEADERS) {
        h2_head_give(s->room, s->head);
        s->head = NULL;
    }
    s->events->on_malformed(s->owner);
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes,
                         size_t len, void *arg)
{
    struct h2_session *s = arg;
    struct h2_stream *st = stream_of(s, id);

    if (st == NULL || st->malformed || len == 0) {
        return 0;
    }
    if (st->has_length && len > st->body_left) {
        reset_malformed(s, id, st);
    } else {
        st->body_left -= st->has_length ? len : 0;
        s->events->on_body(s->owner, st, slice_of((const char *)bytes, len));
    }
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
    struct h2_session *s = arg;
    struct h2_stream *st = stream_of(s, id);

    if (st == NULL) {
        return 0;
    }
    h2_guard_forget(&s->guard, id,
                    (st->reset_sent && !st->request_ended) || id > s->guard.accept_until);
    s->streams--;
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    s->events->on_gone(s->owner, st);
    return 0;
}

/* ---- the room ---- */

struct h2_room *h2_room_create(void)
{
    struct h2_room *room = xcalloc(1, sizeof(*room));

    if (nghttp2_session_callbacks_new(&room->callbacks) != 0 ||
        nghttp2_option_new(&room->option) != 0) {
        mem_exhausted();
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(room->callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(room->callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(room->callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(room->callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(room->callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(room->callbacks, on_stream_close);
    h2_send_register(room->callbacks);
    room->slots = h2_memory_pool();
    /* A date for each second fills any table; what else we index takes less than half of this. */
    nghttp2_option_set_max_deflate_dynamic_table_size(room->option, DEFLATE_TABLE_BYTES);
    nghttp2_option_set_no_closed_streams(room->option, 1);
    nghttp2_option_set_no_http_messaging(room->option, 1); /* h2_message.c */
    /* h2_guard counts, by the settings; nghttp2's own limits are fixed and blame us. */
    nghttp2_option_set_max_continuations(room->option, SIZE_MAX);
    nghttp2_option_set_stream_reset_rate_limit(room->option, UINT64_MAX, UINT64_MAX);
    return room;
}

void h2_room_destroy(struct h2_room *room)
{
    if (room == NULL) {
        return;
    }
    while (room->heads != NULL) {
        struct h2_head *head = room->heads;

        room->heads = head->next;
        free(head);
    }
    nghttp2_session_callbacks_del(room->callbacks);
    nghttp2_option_del(room->option);
    pages_destroy(room->slots);
    free(room);
}

/* ---- a session ---- */

struct h2_session *h2_session_create(struct h2_room *room, const struct h2_settings *settings,
                                     const struct h2_events *events, void *owner, bool is_tls)
{
    const nghttp2_settings_entry ours[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings->max_streams + H2_STREAM_SLACK},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_MAX_HEAD_BYTES},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    struct h2_session *s = xcalloc(1, sizeof(*s));
    nghttp2_mem hooks = h2_memory_hooks(&s->memory);

    s->room = room;
    s->limits = *settings;
    s->events = events;
    s->owner = owner;
    s->is_tls = is_tls;
    s->preface_left = H2_PREFACE_BYTES;
    s->guard.accept_until = INT32_MAX;
    h2_memory_init(&s->memory, room->slots);
    if (nghttp2_session_server_new3(&s->ng, room->callbacks, s, room->option, &hooks) != 0 ||
        nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, ours, ARRAY_LEN(ours)) != 0 ||
        nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)settings->connection_window_bytes) != 0) {
        mem_exhausted();
    }
    return s;
}

void h2_session_destroy(struct h2_session *s)
{
    if (s == NULL) {
        return;
    }
    nghttp2_session_del(s->ng);
    h2_memory_finish(&s->memory);
    h2_head_give(s->room, s->head);
    free(s);
}

/* ---- receiving: frame by frame, so that the guard judges what nghttp2 has not seen yet ---- */

static enum corral_err judge(struct h2_session *s)
{
    const unsigned char *b = s->head_bytes;
    struct h2_frame f = {
        .len = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2],
        .type = b[3],
        .flags = b[4],
        .stream =
            (int32_t)(((uint32_t)b[5] << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8]) &
                      INT32_MAX),
    };
    bool is_live = f.stream > 0 && stream_of(s, f.stream) != NULL;

    s->frame_left = f.len;
    if (f.type == NGHTTP2_RST_STREAM && is_live && !stream_of(s, f.stream)->responded) {
        h2_guard_reset_early(&s->guard, &s->limits);
    }
    return h2_guard_frame(&s->guard, &s->limits, &f, is_live);
}

static enum corral_err feed(struct h2_session *s, struct slice bytes)
{
    ssize_t n = nghttp2_session_mem_recv(s->ng, (const uint8_t *)bytes.ptr, bytes.len);

    if (n >= 0) {
        return s->fault;
    }
    if (s->fault == CE_OK) {
        h2_session_fail(s, n == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? CE_H2_PREFACE
                           : n == NGHTTP2_ERR_NOMEM          ? CE_NO_MEMORY
                                                             : CE_H2_PROTOCOL);
    }
    return s->fault;
}

/*
 * A number for the connection's life is reached, or stream ids run out: come again on another.
 * Looked at between frames, so that nothing hangs on how they were split.
 */
static void look_at_age(struct h2_session *s)
{
    if (!s->refusing && !s->guard.in_head &&
        (s->guard.worn_out != CE_OK || s->guard.last_stream > INT32_MAX - LAST_STREAM_IDS)) {
        h2_session_refuse_new(s);
    }
}

/* The preface: nghttp2 knows it. */
static enum corral_err take_preface(struct h2_session *s, struct slice *rest)
{
    size_t len = rest->len < s->preface_left ? rest->len : s->preface_left;
    enum corral_err err = feed(s, slice_of(rest->ptr, len));

    s->preface_left -= (uint32_t)len;
    *rest = slice_from(*rest, len);
    return err;
}

/*
 * A frame's head, judged and then fed when it is whole: nghttp2 1.52 counts the head of a
 * CONTINUATION again for every piece of it.
 */
static enum corral_err take_frame_head(struct h2_session *s, struct slice *rest)
{
    size_t len = (size_t)H2_FRAME_HEAD_BYTES - s->head_len;

    len = len < rest->len ? len : rest->len;
    memcpy(s->head_bytes + s->head_len, rest->ptr, len);
    s->head_len += (uint8_t)len;
    *rest = slice_from(*rest, len);
    if (s->head_len < H2_FRAME_HEAD_BYTES) {
        return CE_OK;
    }
    s->head_len = 0;
    look_at_age(s);
    enum corral_err err = judge(s);
    if (err != CE_OK) {
        h2_session_fail(s, err);
        return err;
    }
    return feed(s, slice_of((const char *)s->head_bytes, H2_FRAME_HEAD_BYTES));
}

static enum corral_err take_payload(struct h2_session *s, struct slice *rest)
{
    size_t len = rest->len < s->frame_left ? rest->len : s->frame_left;

    s->frame_left -= (uint32_t)len;
    struct slice payload = slice_of(rest->ptr, len);

    *rest = slice_from(*rest, len);
    return feed(s, payload);
}

enum corral_err h2_session_receive(struct h2_session *s, struct slice bytes, uint64_t now_ms)
{
    struct slice rest = bytes;

    s->guard.now_us = now_ms * 1000;
    while (rest.len > 0 && s->fault == CE_OK) {
        enum corral_err err = s->preface_left > 0 ? take_preface(s, &rest)
                              : s->frame_left > 0 ? take_payload(s, &rest)
                                                  : take_frame_head(s, &rest);
        if (err != CE_OK) {
            break;
        }
    }
    if (s->frame_left == 0) {
        look_at_age(s);
    }
    return s->fault;
}

bool h2_session_is_over(const struct h2_session *s)
{
    return s->is_mute ||
           (nghttp2_session_want_read(s->ng) == 0 && nghttp2_session_want_write(s->ng) == 0);
}

bool h2_session_has_preface(const struct h2_session *s)
{
    return s->guard.settled;
}

enum corral_err h2_session_worn_out(const struct h2_session *s)
{
    return s->guard.worn_out;
}

bool h2_session_is_settled(const struct h2_session *s)
{
    return s->guard.settled && s->guard.acked;
}

bool h2_session_in_head(const struct h2_session *s)
{
    return s->guard.in_head || (s->frame_left > 0 && s->head_bytes[3] == NGHTTP2_HEADERS);
}

int32_t h2_session_last_stream(const struct h2_session *s)
{
    return s->guard.last_stream;
}
