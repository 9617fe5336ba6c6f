/**
 * Errors in the caller's own shape, before and inside a stream.
 *
 * Native `{"error":"sentence"}`; OpenAI `{"error":{"message","type","param":null,"code"}}`;
 * Anthropic `{"type":"error","error":{"type","message"},"request_id"}`. Which sentence and status
 * belong to an error is the exchange's table; here is only the shape. Bodies are application/json.
 */
#ifndef CORRAL_OLLAMA_DIALECT_H
#define CORRAL_OLLAMA_DIALECT_H

#include "base/buf.h"
#include "base/slice.h"
#include "ollama/route.h"

/** The dialect for a request without a route: what its path begins with. */
enum dialect dialect_of_path(struct slice path);

/** An error; texts are static. */
struct dialect_error {
    unsigned status;  /* of HTTP; OpenAI's and Anthropic's types follow from it */
    const char *code; /* OpenAI's `code`; NULL: the usual one of the status, or null */
    const char *type; /* OpenAI's `type`; NULL: the usual one of the status */
};

/**
 * Append an error body.
 *
 * @param message     a sentence for a person; escaped here.
 * @param request_id  used by Anthropic's shape only.
 * @return CE_OK or the buffer's error; the buffer may then hold a part.
 */
MUST_USE enum corral_err dialect_error_body(enum dialect dialect, const struct dialect_error *error,
                                            struct slice message, struct slice request_id,
                                            struct buf *out);

/**
 * Append an error event for a stream that has begun, after which the caller cuts it. NDJSON: a
 * line; SSE: an event. Begin it between two events.
 */
MUST_USE enum corral_err dialect_error_event(const struct route *route,
                                             const struct dialect_error *error,
                                             struct slice message, struct slice request_id,
                                             struct buf *out);

/** "application/x-ndjson", "text/event-stream", or "application/json" when not streaming. */
const char *dialect_content_type(const struct route *route, bool streaming);

#endif
