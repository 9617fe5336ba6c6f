/**
 * A front for one HTTP/2 session, for tests and fuzzing: answers every request, keeps a digest of
 * what it was told, and writes frames that are right, wrong or in between.
 */
#ifndef CORRAL_TEST_H2_PEER_H
#define CORRAL_TEST_H2_PEER_H

#include "base/buf.h"
#include "base/list.h"
#include "http/h2.h"

struct h2_peer {
    struct h2_room *room;
    struct h2_session *session;
    struct h2_settings settings;
    struct list streams;
    struct buf out; /* what the session sent since the last h2_peer_send */
    uint64_t now_ms;
    uint64_t digest; /* of every event and its bytes */
    unsigned requests;
    unsigned refused;
    unsigned malformed;
    unsigned gone;
    enum corral_err last_refusal;
    char last_path[256];
    size_t body_bytes;
};

void h2_peer_begin(struct h2_peer *p, const struct h2_settings *settings);
void h2_peer_end(struct h2_peer *p);
extern const struct h2_settings h2_peer_settings; /* the defaults of config/schema.c */

/** Receive in pieces of `step` bytes. CE_OK or why the connection ended. */
enum corral_err h2_peer_receive(struct h2_peer *p, struct slice bytes, size_t step);
/** Make all frames; they stand in p->out. */
enum corral_err h2_peer_send(struct h2_peer *p);

/** The error code of the GOAWAY in p->out, or -1. */
int h2_peer_goaway(const struct h2_peer *p);

/** Append a frame. */
void h2_peer_frame(struct buf *to, unsigned type, unsigned flags, uint32_t stream,
                   struct slice payload);
/** Preface and empty SETTINGS, and the acknowledgement of ours. */
void h2_peer_hello(struct buf *to);

/** Frames that bytes choose: kinds, flags, streams, lengths, whole header blocks. */
void h2_peer_grammar(struct buf *to, struct slice choices);

#endif
