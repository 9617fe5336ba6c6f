#include "dialects.h"

#include <stdio.h>

#define ZERO_USAGE ",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}"

static void add_usage(struct job *job, struct sbuf *out)
{
    long long in = job_counts_hidden(job) ? 0 : (long long)job->prompt_tokens;
    long long made = job_counts_hidden(job) ? 0 : (long long)job->sent;

    sbuf_printf(
        out, "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld}",
        in, made, in + made);
}

static void add_chat_start(struct job *job, struct sbuf *out, const char *model)
{
    sbuf_printf(out, "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld",
                job->id, (long long)job_unix());
    sbuf_str(out, ",\"model\":");
    sbuf_json_str(out, model);
    sbuf_str(out, ",\"system_fingerprint\":\"fp_ollama\",\"choices\":[");
}

static void prepare_chat(struct job *job)
{
    struct sbuf mid = {0};
    char pre[160];

    snprintf(pre, sizeof(pre),
             "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":", job->id);
    sbuf_str(&mid, ",\"model\":");
    sbuf_json_str(&mid, job->name);
    sbuf_str(&mid, ",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{"
                   "\"role\":\"assistant\",\"content\":\"");
    sbuf_add(&mid, "", 1);
    job_template(job, pre, mid.ptr, "\"},\"finish_reason\":null}]}\n\n");
    sbuf_finish(&mid);
}

/* Finish, usage and [DONE] share one chunk: Ollama writes them before it flushes. */
static void last_chat(struct job *job)
{
    struct sbuf *out = job_chunk_begin(job);

    add_chat_start(job, out, job->name);
    sbuf_printf(out,
                "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                "\"finish_reason\":\"%s\"}]}\n\n",
                job_reason(job));
    if (job->usage) {
        add_chat_start(job, out, job->name);
        sbuf_str(out, "],");
        add_usage(job, out);
        sbuf_str(out, "}\n\n");
    }
    sbuf_str(out, "data: [DONE]\n\n");
    job_chunk_end(job);
}

static void whole_chat(struct job *job, struct sbuf *out)
{
    struct sbuf text = {0};

    job_add_text(job, &text);
    sbuf_printf(out, "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%lld,\"model\":",
                job->id, (long long)job_unix());
    sbuf_json_str(out, job->name);
    sbuf_str(out, ",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"message\":{"
                  "\"role\":\"assistant\",\"content\":");
    sbuf_json(out, text.ptr, text.len);
    sbuf_printf(out, "},\"finish_reason\":\"%s\"}],", job_reason(job));
    add_usage(job, out);
    sbuf_str(out, "}\n");
    sbuf_finish(&text);
}

/* An error object decodes to an empty ChatResponse, which is printed like any other. */
static void broken_chat(struct job *job, const char *message)
{
    struct sbuf *out = job_chunk_begin(job);
    (void)message;

    add_chat_start(job, out, "");
    sbuf_str(out, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                  "\"finish_reason\":null}]}\n\n");
    job_chunk_end(job);
}

static void add_completion_chunk(struct job *job, struct sbuf *out, const char *choices,
                                 const char *model)
{
    sbuf_printf(
        out,
        "data: {\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"choices\":[%s],"
        "\"model\":",
        job->id, (long long)job_unix(), choices);
    sbuf_json_str(out, model);
    sbuf_str(out, ",\"system_fingerprint\":\"fp_ollama\"");
}

static void prepare_completion(struct job *job)
{
    struct sbuf post = {0};
    char pre[160];

    snprintf(pre, sizeof(pre),
             "data: {\"id\":\"%s\",\"object\":\"text_completion\",\"created\":", job->id);
    sbuf_str(&post, "\",\"index\":0,\"finish_reason\":null}],\"model\":");
    sbuf_json_str(&post, job->name);
    sbuf_str(&post, ",\"system_fingerprint\":\"fp_ollama\"");
    sbuf_str(&post, job->usage ? ZERO_USAGE "}\n\n" : "}\n\n");
    sbuf_add(&post, "", 1);
    job_template(job, pre, ",\"choices\":[{\"text\":\"", post.ptr);
    sbuf_finish(&post);
}

static void last_completion(struct job *job)
{
    struct sbuf *out = job_chunk_begin(job);
    char choice[80];

    snprintf(choice, sizeof(choice), "{\"text\":\"\",\"index\":0,\"finish_reason\":\"%s\"}",
             job_reason(job));
    add_completion_chunk(job, out, choice, job->name);
    sbuf_str(out, job->usage ? ZERO_USAGE "}\n\n" : "}\n\n");
    if (job->usage) {
        add_completion_chunk(job, out, "", job->name);
        sbuf_str(out, ",");
        add_usage(job, out);
        sbuf_str(out, "}\n\n");
    }
    sbuf_str(out, "data: [DONE]\n\n");
    job_chunk_end(job);
}

static void whole_completion(struct job *job, struct sbuf *out)
{
    struct sbuf text = {0};

    job_add_text(job, &text);
    sbuf_printf(out, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"model\":",
                job->id, (long long)job_unix());
    sbuf_json_str(out, job->name);
    sbuf_str(out, ",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"text\":");
    sbuf_json(out, text.ptr, text.len);
    sbuf_printf(out, ",\"index\":0,\"finish_reason\":\"%s\"}],", job_reason(job));
    add_usage(job, out);
    sbuf_str(out, "}\n");
    sbuf_finish(&text);
}

static void broken_completion(struct job *job, const char *message)
{
    struct sbuf *out = job_chunk_begin(job);
    (void)message;

    add_completion_chunk(job, out, "{\"text\":\"\",\"index\":0,\"finish_reason\":null}", "");
    sbuf_str(out, job->usage ? ZERO_USAGE "}\n\n" : "}\n\n");
    job_chunk_end(job);
}

const struct dialect dialect_oai_chat = {
    .stream_type = "text/event-stream",
    .prepare = prepare_chat,
    .last = last_chat,
    .whole = whole_chat,
    .broken = broken_chat,
    .clock = 'u',
};

const struct dialect dialect_oai_completion = {
    .stream_type = "text/event-stream",
    .prepare = prepare_completion,
    .last = last_completion,
    .whole = whole_completion,
    .broken = broken_completion,
    .clock = 'u',
};
