/**
 * The last events of a stream that corral itself ends because a limit was reached.
 *
 * To the client it is an ordinary answer that ran into its length: native `done:true` with
 * `done_reason:"length"`, OpenAI `finish_reason:"length"` and `[DONE]`, Anthropic
 * `stop_reason:"max_tokens"` and `message_stop`, responses `response.incomplete`.
 * For framed streams only, between two events (never inside one).
 */
#ifndef CORRAL_OLLAMA_ENDING_H
#define CORRAL_OLLAMA_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "ollama/stream.h"

struct ending {
    uint64_t prompt_tokens; /* what is charged; estimates are fine */
    uint64_t output_tokens;
    uint64_t wall_ms; /* for created_at */
    bool usage_asked; /* OpenAI: the client asked for usage */
};

/** Append the events. @return CE_OK or the buffer's error; then the buffer holds a part. */
MUST_USE enum corral_err ending_write(const struct stream *s, const struct ending *e,
                                      struct buf *out);

#endif
