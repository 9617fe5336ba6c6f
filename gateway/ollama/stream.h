/**
 * An answer on its way to the client: passed on, counted, and known to be complete or not.
 *
 * Bytes go through unchanged, as slices of what came in. Only where corral asked for usage and the
 * client did not, whole SSE events are held (at most STREAM_EVENT_MAX bytes) so that the usage can
 * be taken out. Called for each piece of a body, after its transfer coding is gone. No I/O; memory
 * only for a held event.
 */
#ifndef CORRAL_OLLAMA_STREAM_H
#define CORRAL_OLLAMA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "ollama/model.h"
#include "ollama/route.h"
#include "ollama/watch.h"

enum {
    STREAM_EVENT_MAX = 16 * 1024,
    STREAM_LINE_HEAD = 16, /* bytes of a line kept to know its field */
    STREAM_ID_BYTES = 96,
};

/** Takes bytes that go to the client; `bytes` is valid during the call only, never empty. */
struct stream_sink {
    void (*write)(void *arg, struct slice bytes);
    void *arg;
};

struct stream {
    const struct route *route;
    bool complete;        /* the dialect's last event was seen whole */
    bool saw_error_event; /* the upstream told of a failure inside a 200 */
    bool broken;          /* an event is no JSON; bytes still pass */
    bool over;            /* an event with output came after the last that may pass: held back */
    bool has_prompt_tokens;
    bool has_output_tokens;
    uint64_t prompt_tokens; /* as Ollama told last; see stream_told_prompt */
    uint64_t output_tokens;
    uint64_t chunks;       /* events that carried output so far */
    uint64_t output_bytes; /* decoded bytes of text, thinking and tool arguments so far */

    /* what a made-up last event must repeat (ollama/ending.h); empty when not seen */
    struct slice id;    /* in the arena, at most STREAM_ID_BYTES */
    struct slice model; /* in the arena, at most MODEL_SPELLED_MAX */
    uint64_t created;   /* OpenAI: unix seconds; 0 when not seen */

    /* what an ending must go on from */
    uint32_t sequence;    /* responses: the next sequence_number */
    uint32_t block_index; /* messages: of the content block begun last */
    bool block_open;
    bool begun; /* messages: message_start was seen */

    /* private */
    struct arena *arena; /* borrowed */
    uint64_t chunks_max; /* stream_bound */
    struct watch watch;
    struct buf held;      /* owned; bytes of an event not yet let go */
    const uint8_t *roles; /* of the watch's paths */
    bool framed;          /* NDJSON or SSE, else one JSON value */
    bool strips;
    bool passing;  /* the current event was too long to hold */
    bool inside;   /* bytes of an event went by since the last one ended */
    bool any_byte; /* of the body */
    bool after_cr;
    uint8_t line_state;
    uint8_t head_len;
    uint8_t data_len; /* of the payload so far, at most sizeof(data) + 1 */
    char head[STREAM_LINE_HEAD];
    char data[8];   /* the payload's first bytes */
    unsigned facts; /* about the current event */
};

/**
 * The struct holds a pointer to itself from here on: do not copy or move it.
 *
 * @param streaming    the answer is framed as route->stream says; false: one JSON value, also for
 *                     answers with an error status.
 * @param strip_usage  request_info.usage_injected; counts on streamed /v1/chat/completions and
 *                     /v1/completions only.
 * @param arena        holds id and model; outlives the stream.
 */
void stream_init(struct stream *s, const struct route *route, bool streaming, bool strip_usage,
                 struct arena *arena);

/**
 * Let `chunks` events with output pass; framed streams only. From then on events are held until
 * they are whole: one without output passes, one with output sets `over` and nothing passes any
 * more. ollama/ending.h writes what then belongs behind.
 */
void stream_bound(struct stream *s, uint64_t chunks);

/** Pass on the next bytes of the body. Calls the sink, which must not touch the stream. */
void stream_feed(struct stream *s, struct slice in, struct stream_sink sink);

/** The upstream's body ended: lets held bytes go and settles `complete`. */
void stream_end(struct stream *s, struct stream_sink sink);

/**
 * The upstream broke off: a part of an event that is held is dropped, one that went by already is
 * ended, so that an error event behind it stands alone.
 */
void stream_cut(struct stream *s, struct stream_sink sink);

/**
 * Whether Ollama's own counts are known. They stand only once the last event was seen: until then
 * /v1/completions tells zeroes.
 */
static inline bool stream_told_prompt(const struct stream *s)
{
    return s->complete && s->has_prompt_tokens;
}

static inline bool stream_told_output(const struct stream *s)
{
    return s->complete && s->has_output_tokens;
}

/** Frees held memory; the struct is the caller's. Accepts a zeroed struct. */
void stream_finish(struct stream *s);

#endif
