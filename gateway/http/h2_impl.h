/**
 * Shared by the files of http/h2 only. h2_session.c: receiving. h2_send.c: answering. h2_end.c: the
 * end. h2_head.c: a header block becomes a request. h2_message.c: what is malformed. h2_guard.c:
 * budgets. h2_memory.c: where nghttp2's memory is from.
 */
#ifndef CORRAL_HTTP_H2_IMPL_H
#define CORRAL_HTTP_H2_IMPL_H

#include <nghttp2/nghttp2.h>

#include "http/h2_guard.h"
#include "http/h2_memory.h"

/**
 * nghttp2 ends a connection for one stream too many, RFC 9113 section 5.1.2 refuses that stream
 * alone. So nghttp2 believes that more are allowed than the client is told, and we refuse: more
 * than one read can hold.
 */
enum { H2_STREAM_SLACK = 2048, H2_FRAME_HEAD_BYTES = 9 };

/** The header block that is being read; of a connection there is one at a time. */
struct h2_head {
    struct h2_head *next; /* in the room's freelist */
    struct http_request request;
    struct slice scheme;
    enum corral_err fault; /* the first rule broken; the block is read on for HPACK's sake */
    uint64_t decoded;      /* bytes with 32 for each field: RFC 9113 section 6.5.2 */
    uint32_t fields;
    uint8_t seen; /* h2_message.c */
    bool is_trailer;
    size_t len;
    char bytes[HTTP_MAX_HEAD_BYTES];
};

struct h2_room {
    nghttp2_session_callbacks *callbacks; /* owned */
    nghttp2_option *option;               /* owned */
    struct h2_head *heads;                /* owned; free ones */
    struct pages *slots;                  /* owned; h2_memory.h */
};

struct h2_session {
    nghttp2_session *ng; /* owned */
    struct h2_memory memory;
    struct h2_room *room;
    const struct h2_events *events;
    void *owner;
    struct h2_settings limits;
    struct h2_guard guard;
    struct h2_head *head; /* owned; NULL: no block is being read */
    struct h2_sink sink;  /* during h2_session_send */
    uint32_t streams;
    enum corral_err fault; /* why the connection ends */
    uint32_t preface_left;
    uint32_t frame_left; /* bytes of the current frame's payload */
    uint8_t head_len;    /* bytes of a frame head that came in pieces */
    uint8_t head_bytes[H2_FRAME_HEAD_BYTES];
    bool is_tls;
    bool greeted;   /* our SETTINGS are sent */
    bool announced; /* the first of two GOAWAYs is submitted */
    bool refusing;  /* the last GOAWAY is submitted */
    bool is_mute;   /* memory was too short even for a GOAWAY */
};

/** Take a field of the block. CE_OK also when it breaks a rule; CE_H2_HEAD: stop reading. */
MUST_USE enum corral_err h2_head_add(struct h2_head *head, struct slice name, struct slice value);

/** Whether a field may stand in a message at all, here; if not, the stream is to be reset. */
bool h2_message_field_ok(struct h2_head *head, struct slice name, struct slice value);

/** Whether a request's block has what every request has. */
bool h2_message_head_ok(const struct h2_head *head);

/** The block is complete: check it as a whole. `ended`: no body follows. */
MUST_USE enum corral_err h2_head_finish(struct h2_head *head, bool is_tls, bool ended);

struct h2_head *h2_head_take(struct h2_room *room);
void h2_head_give(struct h2_room *room, struct h2_head *head);

/** Frames that cannot be submitted: only memory can be short in that, and little is asked for. */
void h2_must(int result);

/** Callbacks for what is sent. h2_send.c */
void h2_send_register(nghttp2_session_callbacks *callbacks);

#endif
