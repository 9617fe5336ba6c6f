#include "dialects.h"

static void prepare(struct job *job)
{
    struct sbuf post = {0};

    sbuf_printf(&post,
                "\",\"item_id\":\"%s\",\"logprobs\":[],\"output_index\":0,\"sequence_number\":",
                job->item_id);
    sbuf_add(&post, "", 1);
    job_template(job, "event: response.output_text.delta\ndata: {\"content_index\":0,\"delta\":\"",
                 "", post.ptr);
    sbuf_finish(&post);
}

static void add_max_output(struct job *job, struct sbuf *out)
{
    if (job->max_output > 0) {
        sbuf_printf(out, "\"max_output_tokens\":%lld,", (long long)job->max_output);
    } else {
        sbuf_str(out, "\"max_output_tokens\":null,");
    }
}

static void add_part(struct sbuf *out, const struct sbuf *text)
{
    sbuf_str(out, "{\"annotations\":[],\"logprobs\":[],\"text\":");
    sbuf_json(out, text->ptr, text->len);
    sbuf_str(out, ",\"type\":\"output_text\"}");
}

static void add_item(struct job *job, struct sbuf *out, const struct sbuf *text)
{
    sbuf_str(out, "{\"content\":[");
    add_part(out, text);
    sbuf_printf(
        out,
        "],\"id\":\"%s\",\"role\":\"assistant\",\"status\":\"completed\",\"type\":\"message\"}",
        job->item_id);
}

static void add_usage(struct job *job, struct sbuf *out)
{
    long long in = job_counts_hidden(job) ? 0 : (long long)job->prompt_tokens;
    long long made = job_counts_hidden(job) ? 0 : (long long)job->sent;

    sbuf_printf(out,
                "{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":0},"
                "\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":0},"
                "\"total_tokens\":%lld}",
                in, made, in + made);
}

/* A Go map: members in the order of their names. `text` NULL while in progress. */
static void add_response(struct job *job, struct sbuf *out, const struct sbuf *text)
{
    long long now = (long long)job_unix();

    sbuf_str(out, "{\"background\":false,\"completed_at\":");
    if (text != NULL) {
        sbuf_printf(out, "%lld", now);
    } else {
        sbuf_str(out, "null");
    }
    sbuf_printf(out,
                ",\"created_at\":%lld,\"error\":null,\"frequency_penalty\":0,\"id\":\"%s\","
                "\"incomplete_details\":null,\"instructions\":null,",
                now, job->id);
    add_max_output(job, out);
    sbuf_str(out, "\"max_tool_calls\":null,\"metadata\":{},\"model\":");
    sbuf_json_str(out, job->name);
    sbuf_str(out, ",\"object\":\"response\",\"output\":[");
    if (text != NULL && job->sent > 0) {
        add_item(job, out, text);
    }
    sbuf_printf(
        out,
        "],\"parallel_tool_calls\":true,\"presence_penalty\":0,\"previous_response_id\":null,"
        "\"prompt_cache_key\":null,\"reasoning\":null,\"safety_identifier\":null,"
        "\"service_tier\":\"default\",\"status\":\"%s\",\"store\":false,\"temperature\":%g,"
        "\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],"
        "\"top_logprobs\":0,\"top_p\":%g,\"truncation\":\"disabled\",\"usage\":",
        text != NULL ? "completed" : "in_progress", job->temperature, job->top_p);
    if (text != NULL) {
        add_usage(job, out);
    } else {
        sbuf_str(out, "null");
    }
    sbuf_str(out, "}");
}

static void end_event(struct job *job, struct sbuf *out, const char *name)
{
    sbuf_printf(out, ",\"sequence_number\":%lld,\"type\":\"%s\"}\n\n", (long long)job->sequence++,
                name);
    job_chunk_end(job);
}

static void first(struct job *job)
{
    static const char *const names[] = {"response.created", "response.in_progress"};
    struct sbuf *out = NULL;

    for (int i = 0; i < 2; i++) {
        out = job_chunk_begin(job);
        sbuf_printf(out, "event: %s\ndata: {\"response\":", names[i]);
        add_response(job, out, NULL);
        end_event(job, out, names[i]);
    }
    if (job->limit == 0) {
        return;
    }
    out = job_chunk_begin(job);
    sbuf_printf(out,
                "event: response.output_item.added\ndata: {\"item\":{\"content\":[],\"id\":\"%s\","
                "\"role\":\"assistant\",\"status\":\"in_progress\",\"type\":\"message\"},"
                "\"output_index\":0",
                job->item_id);
    end_event(job, out, "response.output_item.added");
    out = job_chunk_begin(job);
    sbuf_printf(out,
                "event: response.content_part.added\ndata: {\"content_index\":0,\"item_id\":\"%s\","
                "\"output_index\":0,\"part\":{\"annotations\":[],\"logprobs\":[],\"text\":\"\","
                "\"type\":\"output_text\"}",
                job->item_id);
    end_event(job, out, "response.content_part.added");
}

static void last_text(struct job *job, const struct sbuf *text)
{
    struct sbuf *out = job_chunk_begin(job);

    sbuf_printf(out,
                "event: response.output_text.done\ndata: {\"content_index\":0,\"item_id\":\"%s\","
                "\"logprobs\":[],\"output_index\":0,\"sequence_number\":%lld,\"text\":",
                job->item_id, (long long)job->sequence++);
    sbuf_json(out, text->ptr, text->len);
    sbuf_str(out, ",\"type\":\"response.output_text.done\"}\n\n");
    job_chunk_end(job);

    out = job_chunk_begin(job);
    sbuf_printf(out,
                "event: response.content_part.done\ndata: {\"content_index\":0,\"item_id\":\"%s\","
                "\"output_index\":0,\"part\":",
                job->item_id);
    add_part(out, text);
    end_event(job, out, "response.content_part.done");

    out = job_chunk_begin(job);
    sbuf_str(out, "event: response.output_item.done\ndata: {\"item\":");
    add_item(job, out, text);
    sbuf_str(out, ",\"output_index\":0");
    end_event(job, out, "response.output_item.done");
}

static void last(struct job *job)
{
    struct sbuf text = {0};

    job_add_text(job, &text);
    if (job->sent > 0) {
        last_text(job, &text);
    }
    struct sbuf *out = job_chunk_begin(job);
    sbuf_str(out, "event: response.completed\ndata: {\"response\":");
    add_response(job, out, &text);
    end_event(job, out, "response.completed");
    sbuf_finish(&text);
}

static void whole(struct job *job, struct sbuf *out)
{
    struct sbuf text = {0};
    long long now = (long long)job_unix();
    long long in = (long long)job->prompt_tokens;
    long long made = (long long)job->sent;

    job_add_text(job, &text);
    sbuf_printf(out,
                "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"completed_at\":%lld,"
                "\"status\":\"completed\",\"incomplete_details\":null,\"model\":",
                job->id, now, now);
    sbuf_json_str(out, job->name);
    sbuf_printf(
        out,
        ",\"previous_response_id\":null,\"instructions\":null,\"output\":[{\"id\":\"%s\","
        "\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{"
        "\"type\":\"output_text\",\"text\":",
        job->item_id);
    sbuf_json(out, text.ptr, text.len);
    sbuf_printf(out,
                ",\"annotations\":[],\"logprobs\":[]}]}],\"error\":null,\"tools\":[],"
                "\"tool_choice\":\"auto\",\"truncation\":\"disabled\",\"parallel_tool_calls\":true,"
                "\"text\":{\"format\":{\"type\":\"text\"}},\"top_p\":%g,\"presence_penalty\":0,"
                "\"frequency_penalty\":0,\"top_logprobs\":0,\"temperature\":%g,\"reasoning\":null,"
                "\"usage\":{\"input_tokens\":%lld,\"output_tokens\":%lld,\"total_tokens\":%lld,"
                "\"input_tokens_details\":{\"cached_tokens\":0},"
                "\"output_tokens_details\":{\"reasoning_tokens\":0}},",
                job->top_p, job->temperature, in, made, in + made);
    add_max_output(job, out);
    sbuf_str(out, "\"max_tool_calls\":null,\"store\":false,\"background\":false,"
                  "\"service_tier\":\"default\",\"metadata\":{},\"safety_identifier\":null,"
                  "\"prompt_cache_key\":null}\n");
    sbuf_finish(&text);
}

const struct dialect dialect_responses = {
    .stream_type = "text/event-stream",
    .prepare = prepare,
    .first = first,
    .last = last,
    .whole = whole,
    .clock = '-',
    .numbered = true,
};
