/*
 * How a session ends: announced, refusing new streams, or at once. Called by receiving
 * (h2_session.c) and sending (h2_send.c), and by the front through http/h2.h.
 */
#include "base/mem.h"
#include "http/h2_impl.h"

void h2_must(int result)
{
    if (result == NGHTTP2_ERR_NOMEM) {
        mem_exhausted();
    }
}

/* The connection ends: a GOAWAY is queued, and what comes in is not read any more. */
void h2_session_fail(struct h2_session *s, enum corral_err why)
{
    static const struct {
        enum corral_err why;
        uint32_t code;
    } codes[] = {
        {CE_H2_PROTOCOL, NGHTTP2_PROTOCOL_ERROR},
        {CE_H2_PREFACE, NGHTTP2_PROTOCOL_ERROR},
        {CE_H2_PREFACE_TIMEOUT, NGHTTP2_NO_ERROR},
        {CE_H2_SETTINGS_TIMEOUT, NGHTTP2_SETTINGS_TIMEOUT},
        {CE_H2_STREAM_CLOSED, NGHTTP2_STREAM_CLOSED},
        {CE_H2_STREAM_ID, NGHTTP2_PROTOCOL_ERROR},
        {CE_NO_MEMORY, NGHTTP2_INTERNAL_ERROR},
        {CE_OK, NGHTTP2_NO_ERROR},
    };
    uint32_t code = NGHTTP2_ENHANCE_YOUR_CALM;

    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        code = codes[i].why == why ? codes[i].code : code;
    }
    if (s->fault == CE_OK) {
        s->fault = why;
        s->is_mute = nghttp2_session_terminate_session(s->ng, code) != 0;
    }
}

void h2_session_announce_end(struct h2_session *s)
{
    if (!s->refusing && !s->announced) {
        s->announced = true;
        h2_must(nghttp2_submit_shutdown_notice(s->ng));
    }
}

void h2_session_refuse_new(struct h2_session *s)
{
    if (!s->refusing) {
        s->refusing = true;
        s->guard.accept_until = nghttp2_session_get_last_proc_stream_id(s->ng);
        h2_must(nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, s->guard.accept_until,
                                      NGHTTP2_NO_ERROR, NULL, 0));
    }
}
