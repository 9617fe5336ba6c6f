#include "ollama/ending.h"

#include <inttypes.h>

#include "base/clock.h"

/* `"key":"text"` with the text escaped, and what follows. */
static enum corral_err put_text(struct buf *out, const char *before, struct slice text,
                                const char *after)
{
    enum corral_err err = buf_append_str(out, before);

    if (err == CE_OK) {
        err = buf_append_json(out, text);
    }
    return err == CE_OK ? buf_append_str(out, after) : err;
}

static enum corral_err write_native(const struct stream *s, const struct ending *e, struct buf *out)
{
    bool chat = s->route->id == ROUTE_ID_CHAT;
    char stamp[CLOCK_STAMP_BYTES];
    enum corral_err err = put_text(out, "{\"model\":\"", s->model, "\",");

    clock_stamp(e->wall_ms, stamp);
    if (err != CE_OK) {
        return err;
    }
    return buf_printf(
        out,
        "\"created_at\":\"%s\",%s,\"done\":true,\"done_reason\":\"length\","
        "\"prompt_eval_count\":%" PRIu64 ",\"eval_count\":%" PRIu64 "}\n",
        stamp, chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"}" : "\"response\":\"\"",
        e->prompt_tokens, e->output_tokens);
}

/* `data: {"id":..,"object":..,"created":..,"model":..,"system_fingerprint":"fp_ollama",` */
static enum corral_err openai_head(const struct stream *s, struct buf *out)
{
    bool chat = s->route->stream == ROUTE_STREAM_CHAT;
    enum corral_err err = put_text(out, "data: {\"id\":\"", s->id, "\",\"object\":\"");

    if (err == CE_OK) {
        err = buf_printf(out, "%s\",\"created\":%" PRIu64,
                         chat ? "chat.completion.chunk" : "text_completion", s->created);
    }
    return err == CE_OK ? put_text(out, ",\"model\":\"", s->model,
                                   "\",\"system_fingerprint\":\"fp_ollama\",")
                        : err;
}

static enum corral_err openai_usage(const struct stream *s, const struct ending *e, struct buf *out)
{
    enum corral_err err = openai_head(s, out);

    if (err != CE_OK) {
        return err;
    }
    return buf_printf(out,
                      "\"choices\":[],\"usage\":{\"prompt_tokens\":%" PRIu64
                      ",\"completion_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}}\n\n",
                      e->prompt_tokens, e->output_tokens, e->prompt_tokens + e->output_tokens);
}

static enum corral_err write_openai(const struct stream *s, const struct ending *e, struct buf *out)
{
    bool chat = s->route->stream == ROUTE_STREAM_CHAT;
    enum corral_err err = openai_head(s, out);

    if (err == CE_OK) {
        err = buf_printf(out, "\"choices\":[{\"index\":0,%s,\"finish_reason\":\"length\"}]}\n\n",
                         chat ? "\"delta\":{\"role\":\"assistant\",\"content\":\"\"}"
                              : "\"text\":\"\"");
    }
    if (err == CE_OK && e->usage_asked) {
        err = openai_usage(s, e, out);
    }
    return err == CE_OK ? buf_append_str(out, "data: [DONE]\n\n") : err;
}

static enum corral_err write_responses(const struct stream *s, const struct ending *e,
                                       struct buf *out)
{
    enum corral_err err =
        buf_printf(out,
                   "event: response.incomplete\ndata: {\"type\":\"response.incomplete\","
                   "\"sequence_number\":%" PRIu32 ",\"response\":{",
                   s->sequence);

    if (err == CE_OK) {
        err = put_text(out, "\"id\":\"", s->id, "\",\"object\":\"response\",");
    }
    if (err == CE_OK) {
        err = buf_printf(out, "\"created_at\":%" PRIu64 ",\"status\":\"incomplete\",", s->created);
    }
    if (err == CE_OK) {
        err =
            put_text(out, "\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"model\":\"",
                     s->model, "\",\"output\":[],\"error\":null,");
    }
    if (err != CE_OK) {
        return err;
    }
    return buf_printf(
        out,
        "\"usage\":{\"input_tokens\":%" PRIu64
        ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":%" PRIu64
        ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%" PRIu64 "}}}\n\n",
        e->prompt_tokens, e->output_tokens, e->prompt_tokens + e->output_tokens);
}

/* What must precede message_delta: a message that was begun, and no open block. */
static enum corral_err messages_prepare(const struct stream *s, const struct ending *e,
                                        struct buf *out)
{
    if (s->begun) {
        return !s->block_open
                   ? CE_OK
                   : buf_printf(out,
                                "event: content_block_stop\ndata: {\"type\":\"content_block_stop\","
                                "\"index\":%" PRIu32 "}\n\n",
                                s->block_index);
    }
    return buf_printf(out,
                      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{"
                      "\"id\":\"msg_0\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"\","
                      "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
                      "\"input_tokens\":%" PRIu64 ",\"output_tokens\":0}}}\n\n",
                      e->prompt_tokens);
}

static enum corral_err write_messages(const struct stream *s, const struct ending *e,
                                      struct buf *out)
{
    enum corral_err err = messages_prepare(s, e, out);

    if (err != CE_OK) {
        return err;
    }
    return buf_printf(out,
                      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
                      "\"stop_reason\":\"max_tokens\",\"stop_sequence\":null},\"usage\":{"
                      "\"input_tokens\":%" PRIu64 ",\"output_tokens\":%" PRIu64 "}}\n\n"
                      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                      e->prompt_tokens, e->output_tokens);
}

enum corral_err ending_write(const struct stream *s, const struct ending *e, struct buf *out)
{
    switch (s->route->stream) {
    case ROUTE_STREAM_CHAT:
    case ROUTE_STREAM_COMPLETIONS:
        return write_openai(s, e, out);
    case ROUTE_STREAM_RESPONSES:
        return write_responses(s, e, out);
    case ROUTE_STREAM_MESSAGES:
        return write_messages(s, e, out);
    case ROUTE_STREAM_NDJSON:
    case ROUTE_STREAM_NEVER:
        break;
    }
    return write_native(s, e, out);
}
