#include <assert.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "http/h2_impl.h"

/* ---- frames that go out ---- */

/*
 * All bytes that wait become one frame, as far as windows and the frame size allow. They are not
 * copied here: on_send_data hands them to the sink.
 */
/* parameters: nghttp2 calls it */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t capacity,
                       uint32_t *out_flags, nghttp2_data_source *source, void *arg)
{
    struct h2_session *s = arg;
    bool last = false;
    struct slice waiting = s->events->peek(source->ptr, &last);
    size_t len = waiting.len < capacity ? waiting.len : capacity;

    if (len == 0 && !last) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *out_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last && len == waiting.len) {
        *out_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t len, nghttp2_data_source *source, void *arg)
{
    struct h2_session *s = arg;
    struct h2_stream *st = source->ptr;
    bool last;
    struct slice waiting = s->events->peek(st, &last);

    assert(len <= waiting.len && frame->data.padlen == 0);
    s->sink.write(s->sink.arg, slice_of((const char *)frame_head, H2_FRAME_HEAD_BYTES));
    s->sink.write(s->sink.arg, slice_of(waiting.ptr, len));
    s->events->taken(s->owner, st, len);
    h2_guard_sent_data(&s->guard);
    return s->sink.room(s->sink.arg) ? 0 : NGHTTP2_ERR_PAUSE;
}

/* An answer that is complete before its request: RFC 9113 section 8.1. */
static void on_answer_end(struct h2_session *s, int32_t id)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s->ng, id);

    if (st != NULL && !st->request_ended) {
        s->events->on_early_answer(s->owner, st);
    }
}

/* What makes us reset streams is the client's doing, if it was not ours (MadeYouReset). */
static void on_reset_sent(struct h2_session *s, int32_t id)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s->ng, id);

    if (st != NULL) {
        st->reset_sent = true;
    }
    if (st == NULL || !st->reset_by_us) {
        enum corral_err err = h2_guard_spend(&s->guard, &s->limits, H2_RESETS_SENT);
        if (err != CE_OK) {
            h2_session_fail(s, err);
        }
    }
}

static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
    struct h2_session *s = arg;

    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        on_reset_sent(s, frame->hd.stream_id);
    } else if (frame->hd.type == NGHTTP2_GOAWAY && s->fault == CE_OK &&
               frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        s->fault = CE_H2_PROTOCOL; /* nghttp2's own judgement */
    } else if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        on_answer_end(s, frame->hd.stream_id);
    }
    return 0;
}

void h2_send_register(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
}

/* The first frame is our SETTINGS: the client is told the real number of streams. */
static void greet(struct h2_session *s, struct slice frame)
{
    enum { VALUE_AT = H2_FRAME_HEAD_BYTES + 2, MAX_BYTES = 64 };
    char copy[MAX_BYTES];
    uint32_t value = s->limits.max_streams;

    assert(frame.len <= sizeof(copy) && frame.ptr[3] == NGHTTP2_SETTINGS &&
           frame.ptr[VALUE_AT - 1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    memcpy(copy, frame.ptr, frame.len);
    for (int i = 3; i >= 0; i--) {
        copy[VALUE_AT + i] = (char)(value & 0xff);
        value >>= 8;
    }
    s->greeted = true;
    s->sink.write(s->sink.arg, slice_of(copy, frame.len));
}

/*
 * The next frames; 0: none. nghttp2 drops a frame for which memory is too short: the connection
 * ends, and a GOAWAY says so if it can. Nobody asks again, so that is looked for here.
 */
static ssize_t next_frames(struct h2_session *s, const uint8_t **out)
{
    ssize_t len = nghttp2_session_mem_send(s->ng, out);

    if (len < 0 && s->fault == CE_OK) {
        h2_session_fail(s, CE_NO_MEMORY);
        len = nghttp2_session_mem_send(s->ng, out);
    }
    if (len < 0) {
        s->is_mute = true;
        len = 0;
    }
    return len;
}

enum corral_err h2_session_send(struct h2_session *s, struct h2_sink sink)
{
    const uint8_t *bytes;
    ssize_t len = 1;

    s->sink = sink;
    while (len > 0 && sink.room(sink.arg)) {
        len = next_frames(s, &bytes);
        if (len > 0 && !s->greeted) {
            greet(s, slice_of((const char *)bytes, (size_t)len));
        } else if (len > 0) {
            sink.write(sink.arg, slice_of((const char *)bytes, (size_t)len));
        }
    }
    return s->fault;
}

bool h2_session_has_output(const struct h2_session *s)
{
    return nghttp2_session_want_write(s->ng) != 0;
}

/* ---- what the front asks for ---- */

/* A name in small letters: RFC 9113 section 8.2.1. */
static size_t lower(struct slice name, char *out)
{
    for (size_t i = 0; i < name.len; i++) {
        out[i] = ascii_lower(name.ptr[i]);
    }
    return name.len;
}

static nghttp2_nv field_of(struct slice name, struct slice value, bool indexed)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, indexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX};
}

void h2_stream_respond(struct h2_session *s, struct h2_stream *st, unsigned status,
                       const struct h2_field *fields, size_t count, bool body)
{
    NOT_ZEROED nghttp2_nv nv[H2_MAX_ANSWER_FIELDS + 1];
    NOT_ZEROED char names[H2_MAX_ANSWER_FIELDS * HTTP_MAX_NAME_BYTES];
    char digits[3];
    const nghttp2_data_provider provider = {.source.ptr = st, .read_callback = on_read};
    size_t used = 0;

    assert(count <= H2_MAX_ANSWER_FIELDS && !st->responded);
    decimal_fixed(digits, status, sizeof(digits));
    nv[0] = field_of(SLICE_LITERAL(":status"), slice_of(digits, sizeof(digits)), true);
    for (size_t i = 0; i < count; i++) {
        struct slice name = slice_of(names + used, fields[i].name.len);

        assert(used + name.len <= sizeof(names));
        used += lower(fields[i].name, names + used);
        nv[i + 1] = field_of(name, fields[i].value, fields[i].indexed);
    }
    st->responded = true;
    st->has_body = body;
    h2_must(nghttp2_submit_response(s->ng, st->id, nv, count + 1, body ? &provider : NULL));
}

void h2_stream_continue(struct h2_session *s, struct h2_stream *st)
{
    const nghttp2_nv nv = field_of(SLICE_LITERAL(":status"), SLICE_LITERAL("100"), true);

    h2_must(nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, st->id, NULL, &nv, 1, NULL));
}

void h2_stream_wake(struct h2_session *s, struct h2_stream *st)
{
    if (st->responded && st->has_body) {
        h2_must(nghttp2_session_resume_data(s->ng, st->id)); /* not deferred: harmless */
    }
}

void h2_stream_reset(struct h2_session *s, struct h2_stream *st, enum corral_err why)
{
    uint32_t code = why == CE_OK               ? NGHTTP2_NO_ERROR
                    : why == CE_CLIENT_STALLED ? NGHTTP2_CANCEL
                                               : NGHTTP2_INTERNAL_ERROR;

    st->reset_by_us = true;
    h2_must(nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, code));
}
