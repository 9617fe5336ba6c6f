#include "dialects.h"

static void prepare(struct job *job)
{
    job_template(job,
                 "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                 "\"delta\":{\"type\":\"text_delta\",\"text\":\"",
                 "", "\"}}\n\n");
}

static void first(struct job *job)
{
    struct sbuf *out = job_chunk_begin(job);

    sbuf_printf(
        out,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"%s\","
        "\"type\":\"message\",\"role\":\"assistant\",\"model\":",
        job->id);
    sbuf_json_str(out, job->name);
    sbuf_printf(out, ",\"content\":[],\"usage\":{\"input_tokens\":%lld,\"output_tokens\":0}}}\n\n",
                (long long)job->estimate);
    job_chunk_end(job);
    if (job->limit == 0) {
        return;
    }
    out = job_chunk_begin(job);
    sbuf_str(out, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
                  "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    job_chunk_end(job);
}

static void add_usage(struct job *job, struct sbuf *out)
{
    bool hidden = job_counts_hidden(job);

    sbuf_printf(out, "\"usage\":{\"input_tokens\":%lld,\"output_tokens\":%lld}",
                hidden ? 0LL : (long long)job->prompt_tokens, hidden ? 0LL : (long long)job->sent);
}

static const char *stop_reason(const struct job *job)
{
    return job->length_ended ? "max_tokens" : "end_turn";
}

static void last(struct job *job)
{
    struct sbuf *out = NULL;

    if (job->sent > 0) {
        out = job_chunk_begin(job);
        sbuf_str(
            out,
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
        job_chunk_end(job);
    }
    out = job_chunk_begin(job);
    sbuf_printf(
        out,
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
        "\"%s\"},",
        stop_reason(job));
    add_usage(job, out);
    sbuf_str(out, "}\n\n");
    job_chunk_end(job);
    out = job_chunk_begin(job);
    sbuf_str(out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    job_chunk_end(job);
}

static void whole(struct job *job, struct sbuf *out)
{
    struct sbuf text = {0};

    job_add_text(job, &text);
    sbuf_printf(out,
                "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", job->id);
    sbuf_json_str(out, job->name);
    sbuf_str(out, ",\"content\":[{\"type\":\"text\",\"text\":");
    sbuf_json(out, text.ptr, text.len);
    sbuf_printf(out, "}],\"stop_reason\":\"%s\",", stop_reason(job));
    add_usage(job, out);
    sbuf_str(out, "}\n");
    sbuf_finish(&text);
}

const struct dialect dialect_messages = {
    .stream_type = "text/event-stream",
    .prepare = prepare,
    .first = first,
    .last = last,
    .whole = whole,
    .clock = '-',
};
