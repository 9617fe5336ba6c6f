#include "dialects.h"

static void prepare(struct job *job, bool chat)
{
    struct sbuf pre = {0};

    sbuf_str(&pre, "{\"model\":");
    sbuf_json_str(&pre, job->name);
    sbuf_add(&pre, ",\"created_at\":\"", sizeof(",\"created_at\":\"")); /* with its NUL */
    if (chat) {
        job_template(job, pre.ptr, "\",\"message\":{\"role\":\"assistant\",\"content\":\"",
                     "\"},\"done\":false}\n");
    } else {
        job_template(job, pre.ptr, "\",\"response\":\"", "\",\"done\":false}\n");
    }
    sbuf_finish(&pre);
}

static void prepare_chat(struct job *job)
{
    prepare(job, true);
}

static void prepare_generate(struct job *job)
{
    prepare(job, false);
}

static void add_ns(struct sbuf *out, const char *name, uint64_t us)
{
    sbuf_printf(out, ",\"%s\":%llu", name, (unsigned long long)(us * 1000 + 137));
}

/* Go leaves out what is zero; eval_duration is zero when one token was made. */
static void add_metrics(struct job *job, struct sbuf *out)
{
    uint64_t now = sim_now_us();
    uint64_t first = job->first_us != 0 ? job->first_us : job->granted_us;

    add_ns(out, "total_duration", now - job->start_us);
    add_ns(out, "load_duration", job->loaded_us - job->start_us);
    if (job_counts_hidden(job)) {
        return;
    }
    sbuf_printf(out, ",\"prompt_eval_count\":%lld", (long long)job->prompt_tokens);
    add_ns(out, "prompt_eval_duration", first > job->granted_us ? first - job->granted_us : 1);
    if (job->sent > 0) {
        sbuf_printf(out, ",\"eval_count\":%lld", (long long)job->sent);
    }
    if (job->sent > 1) {
        add_ns(out, "eval_duration", now > first ? now - first : 1);
    }
}

static void add_context(struct job *job, struct sbuf *out)
{
    sbuf_str(out, ",\"context\":[105");
    for (int64_t i = 1; i < job->prompt_tokens + job->sent; i++) {
        sbuf_printf(out, ",%d", 100 + (int)(i * 7919 % 260000));
    }
    sbuf_str(out, "]");
}

static void add_object(struct job *job, struct sbuf *out, bool chat, bool whole)
{
    struct sbuf text = {0};

    if (whole) {
        job_add_text(job, &text);
    }
    sbuf_str(out, "{\"model\":");
    sbuf_json_str(out, job->name);
    sbuf_str(out, ",\"created_at\":\"");
    sim_print_now(job->sim, out);
    sbuf_str(out,
             chat ? "\",\"message\":{\"role\":\"assistant\",\"content\":" : "\",\"response\":");
    sbuf_json(out, text.ptr, text.len);
    sbuf_printf(out, "%s,\"done\":true,\"done_reason\":\"%s\"", chat ? "}" : "", job_reason(job));
    if (!chat && !job->raw) {
        add_context(job, out);
    }
    add_metrics(job, out);
    sbuf_str(out, "}");
    sbuf_finish(&text);
}

static void last(struct job *job, bool chat)
{
    struct sbuf *out = job_chunk_begin(job);

    add_object(job, out, chat, false);
    sbuf_str(out, "\n");
    job_chunk_end(job);
}

static void last_chat(struct job *job)
{
    last(job, true);
}

static void last_generate(struct job *job)
{
    last(job, false);
}

static void whole_chat(struct job *job, struct sbuf *out)
{
    add_object(job, out, true, true);
}

static void whole_generate(struct job *job, struct sbuf *out)
{
    add_object(job, out, false, true);
}

static void broken(struct job *job, const char *message)
{
    struct sbuf *out = job_chunk_begin(job);

    sbuf_str(out, "{\"error\":");
    sbuf_json_str(out, message);
    sbuf_str(out, "}\n");
    job_chunk_end(job);
}

void native_done(struct sbuf *out, struct sim *s, const char *name, bool chat, const char *reason)
{
    sbuf_str(out, "{\"model\":");
    sbuf_json_str(out, name);
    sbuf_str(out, ",\"created_at\":\"");
    sim_print_now(s, out);
    sbuf_printf(out, "\",%s,\"done\":true,\"done_reason\":\"%s\"}",
                chat ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
                     : "\"response\":\"\"",
                reason);
}

const struct dialect dialect_generate = {
    .stream_type = "application/x-ndjson",
    .prepare = prepare_generate,
    .last = last_generate,
    .whole = whole_generate,
    .broken = broken,
    .clock = 'n',
};

const struct dialect dialect_chat = {
    .stream_type = "application/x-ndjson",
    .prepare = prepare_chat,
    .last = last_chat,
    .whole = whole_chat,
    .broken = broken,
    .clock = 'n',
};
