/**
 * The server side of one HTTP/2 connection (RFC 9113), without I/O: bytes in, requests out;
 * answers in, frames out. nghttp2 does framing and HPACK; what it does not watch (floods, frames
 * on streams it has forgotten, decoded sizes) h2_guard and h2_head watch.
 *
 * The front embeds a `struct h2_stream` in what it keeps for each request and gets it back in
 * every event. Body bytes of an answer stay with the front until a frame is made of them (`peek`,
 * `taken`), so that all bytes that are there at a flush go out as one DATA frame.
 *
 * Events are called from h2_session_receive and h2_session_send only. They may answer, reset and
 * wake any stream, but not call receive, send or destroy.
 */
#ifndef CORRAL_HTTP_H2_H
#define CORRAL_HTTP_H2_H

#include "http/message.h"

struct h2_room;
struct h2_session;

/** Limits of one connection. What a budget is and why: http/h2_guard.h. */
struct h2_settings {
    uint32_t max_streams;
    uint32_t stream_window_bytes;
    uint32_t connection_window_bytes;
    uint32_t continuations_per_head;
    uint32_t settings_ack_s;
    uint32_t resets_received_burst;
    uint32_t resets_received_per_s;
    uint32_t resets_before_response; /* in a connection's life */
    uint32_t resets_sent_burst;
    uint32_t resets_sent_per_s;
    uint32_t resets_sent_lifetime;
    uint32_t empty_data_per_s;
    uint32_t pings_per_s;
    uint32_t settings_per_s;
    uint32_t priorities_per_s;
    uint32_t window_updates_per_s;
    uint32_t unknown_frames_per_s;
    uint32_t stale_frames_per_s;
    uint32_t frames_lifetime; /* of each of the kinds above that have no lifetime of their own */
};

enum { H2_PREFACE_BYTES = 24, H2_MAX_TRAILER_BYTES = 4096, H2_MAX_ANSWER_FIELDS = 24 };

struct h2_stream {
    int32_t id;
    bool request_ended; /* the client has sent END_STREAM */
    bool responded;     /* our head is submitted */
    bool has_body;      /* and a body follows it */
    bool reset_by_us;   /* for a reason of ours: not counted against the client */
    bool reset_sent;    /* for whatever reason */
    bool malformed;     /* reset for that; what still comes of it is dropped */
    bool has_length;    /* a Content-Length came; what is left of it is in body_left */
    uint64_t body_left;
};

/** `owner` is that of h2_session_create. */
struct h2_events {
    struct h2_stream *(*create)(void *owner); /* the front's memory; NULL: refuse the stream */
    void (*on_gone)(void *owner, struct h2_stream *st); /* ended on both sides, or reset */
    /** A whole head that keeps every rule. Its slices live during the call. */
    void (*on_request)(void *owner, struct h2_stream *st, const struct http_request *request);
    /** A head that breaks a rule and can be answered; `request` as far as it was read. */
    void (*on_refused)(void *owner, struct h2_stream *st, enum corral_err why,
                       const struct http_request *request);
    /** A message that was answered with a reset. */
    void (*on_malformed)(void *owner);
    void (*on_body)(void *owner, struct h2_stream *st, struct slice bytes);
    void (*on_body_end)(void *owner, struct h2_stream *st);
    /** Our answer is whole and sent, the request is not: reset it with CE_OK when it takes long. */
    void (*on_early_answer)(void *owner, struct h2_stream *st);
    /** Body bytes that wait to be sent; *out_last: the answer ends with them. */
    struct slice (*peek)(struct h2_stream *st, bool *out_last);
    /** So many of them are in a frame now. */
    void (*taken)(void *owner, struct h2_stream *st, size_t len);
};

/** Where frames go. `room` says whether another one may come; write must take what it is given. */
struct h2_sink {
    void *arg;
    bool (*room)(void *arg);
    void (*write)(void *arg, struct slice bytes);
};

/** What the sessions of one thread share. */
struct h2_room *h2_room_create(void);
void h2_room_destroy(struct h2_room *room); /* no session may be left */

/** Our SETTINGS wait to be sent when it returns. Copies *settings, borrows everything else. */
struct h2_session *h2_session_create(struct h2_room *room, const struct h2_settings *settings,
                                     const struct h2_events *events, void *owner, bool is_tls);
/** Streams that are left are not told on_gone: they are the front's. NULL is harmless. */
void h2_session_destroy(struct h2_session *s);

/**
 * Take bytes of the client's.
 *
 * @return CE_OK, or why the connection ends (CE_H2_*): a GOAWAY waits to be sent, nothing more is
 *         to be received.
 */
MUST_USE enum corral_err h2_session_receive(struct h2_session *s, struct slice bytes,
                                            uint64_t now_ms);

/** Make frames while there is something to send and the sink has room. As h2_session_receive. */
MUST_USE enum corral_err h2_session_send(struct h2_session *s, struct h2_sink sink);

/** Whether something waits to be sent that no flow control holds back. */
bool h2_session_has_output(const struct h2_session *s);

/** Whether nothing more is to be sent or received: its last stream is gone, or memory is short. */
bool h2_session_is_over(const struct h2_session *s);

/** Whether the client has sent its preface with SETTINGS, and has acknowledged ours too. */
bool h2_session_has_preface(const struct h2_session *s);
bool h2_session_is_settled(const struct h2_session *s);

/** The number for a connection's life that the client has reached, or CE_OK. */
enum corral_err h2_session_worn_out(const struct h2_session *s);

/** Whether HEADERS came that are not whole or lack END_HEADERS. */
bool h2_session_in_head(const struct h2_session *s);
/** The highest stream that the client has opened. */
int32_t h2_session_last_stream(const struct h2_session *s);

/** RFC 9113 section 6.8: announce the end (last stream 2^31-1), name the last stream. Once each. */
void h2_session_announce_end(struct h2_session *s);
void h2_session_refuse_new(struct h2_session *s);

/** End now: GOAWAY with the code that fits `why`. */
void h2_session_fail(struct h2_session *s, enum corral_err why);

/** A field of an answer; the name in any case. */
struct h2_field {
    struct slice name;
    struct slice value;
    bool indexed; /* worth a place in the client's table: the value comes again */
};

/** The head of the answer; fields[] without :status. With `body` bytes are peeked for. */
void h2_stream_respond(struct h2_session *s, struct h2_stream *st, unsigned status,
                       const struct h2_field *fields, size_t count, bool body);
void h2_stream_continue(struct h2_session *s, struct h2_stream *st); /* sends 100 (Continue) */
/** Bytes have come, or the end. */
void h2_stream_wake(struct h2_session *s, struct h2_stream *st);
/** Break it off: CE_CLIENT_STALLED: CANCEL; CE_OK: NO_ERROR; else INTERNAL_ERROR. */
void h2_stream_reset(struct h2_session *s, struct h2_stream *st, enum corral_err why);

#endif
