#include "meta.h"

#include <stdio.h>

#include "exchange.h"
#include "infer.h"
#include "reply.h"

#define MODIFIED_S 1795274525LL /* every model was made at this time */
#define MODIFIED "2026-11-21T15:22:05.244060393Z"

static void answer(struct conn *c, struct sbuf *body, const char *type)
{
    reply_json(c, 200, type, body);
    sbuf_finish(body);
}

void meta_root(struct conn *c)
{
    static const struct head h = {.status = 200, .type = "text/plain; charset=utf-8"};

    if (!exchange_faults(c, "")) {
        reply_whole(c, &h, "Ollama is running", 17);
    }
}

void meta_version(struct conn *c)
{
    struct sbuf body = {0};

    if (!exchange_faults(c, "")) {
        sbuf_printf(&body, "{\"version\":\"%s\"}", c->sim->conf.version_string);
        answer(c, &body, TYPE_GIN);
    }
}

void meta_status(struct conn *c)
{
    static const char text[] = "{\"cloud\":{\"disabled\":true,\"source\":\"env\"}}";
    static const struct head h = {.status = 200, .type = TYPE_GIN};

    if (!exchange_faults(c, "")) {
        reply_whole(c, &h, text, sizeof(text) - 1);
    }
}

/* 64 digits that depend on the name alone, so that two sims with one model agree. */
static void add_digest(struct sbuf *out, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (const char *p = name; *p != 0; p++) {
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    }
    for (int i = 0; i < 4; i++) {
        sbuf_printf(out, "%016llx", (unsigned long long)h);
        h = h * 6364136223846793005u + 1442695040888963407u;
    }
}

static void add_details(struct sbuf *out, const struct model *m, bool parent)
{
    const char *family = m->embedding ? "bert" : "gemma3";

    sbuf_str(out, "{\"parent_model\":\"");
    if (parent) {
        sbuf_str(out, "/var/lib/ollama/models/blobs/sha256-");
        add_digest(out, m->name);
    }
    sbuf_printf(
        out, "\",\"format\":\"gguf\",\"family\":\"%s\",\"families\":[\"%s\"],\"parameter_size\":",
        family, family);
    sbuf_json_str(out, m->params);
    sbuf_printf(out, ",\"quantization_level\":\"%s\"}", m->embedding ? "F16" : "Q4_K_M");
}

static void add_names(struct sbuf *out, const struct model *m)
{
    sbuf_str(out, "{\"name\":");
    sbuf_json_str(out, m->shown);
    sbuf_str(out, ",\"model\":");
    sbuf_json_str(out, m->shown);
}

/* Newest first in Ollama; here the last one named on the command line was made last. */
#define EACH_MODEL(s, m)                                                                           \
    for (struct list *at = (s)->sched.models.prev; at != &(s)->sched.models; at = at->prev)        \
        if (!((m) = LIST_ENTRY(at, struct model, link))->gone)

/* Whether the model stands in the knob `remote`, which names models by what lists show. */
static bool is_stub(const struct sim *s, const struct model *m)
{
    const char *at = s->conf.remote;
    size_t len = strlen(m->shown);

    while (*at != 0) {
        size_t entry = strcspn(at, ",");

        if (entry == len && memcmp(at, m->shown, len) == 0) {
            return true;
        }
        at += entry + (at[entry] == ',' ? 1 : 0);
    }
    return false;
}

void meta_tags(struct conn *c)
{
    struct sbuf body = {0};
    struct model *m = NULL;

    if (exchange_faults(c, "")) {
        return;
    }
    sbuf_str(&body, "{\"models\":[");
    size_t empty = body.len;
    EACH_MODEL(c->sim, m)
    {
        sbuf_str(&body, body.len > empty ? "," : "");
        add_names(&body, m);
        sbuf_printf(&body, ",\"modified_at\":\"" MODIFIED "\",\"size\":%d,\"digest\":\"",
                    m->embedding ? 45949793 : 253113704);
        add_digest(&body, m->name);
        sbuf_str(&body, "\",\"details\":");
        add_details(&body, m, false);
        if (is_stub(c->sim, m)) {
            sbuf_str(&body, ",\"remote_model\":\"big\",\"remote_host\":\"https://ollama.com:443\"");
        }
        sbuf_str(&body, "}");
    }
    sbuf_str(&body, "]}");
    answer(c, &body, TYPE_GIN);
}

static int64_t ahead_ms(const struct model *m)
{
    if (m->session_ms < 0) {
        return INT64_MAX; /* Go's largest duration: the year 2319 */
    }
    if (m->refs > 0 || m->state == MODEL_LOADING) {
        return m->session_ms;
    }
    return (int64_t)(m->expires_ms - sim_now_ms());
}

void meta_ps(struct conn *c)
{
    struct sbuf body = {0};
    struct model *m = NULL;

    if (exchange_faults(c, "")) {
        return;
    }
    sbuf_str(&body, "{\"models\":[");
    size_t empty = body.len;
    EACH_MODEL(c->sim, m)
    {
        if (!m->listed) {
            continue;
        }
        sbuf_str(&body, body.len > empty ? "," : "");
        add_names(&body, m);
        sbuf_str(&body, ",\"size\":467313152,\"digest\":\"");
        add_digest(&body, m->name);
        sbuf_str(&body, "\",\"details\":");
        add_details(&body, m, false);
        sbuf_str(&body, ",\"expires_at\":\"");
        sim_print_time(&body, ahead_ms(m));
        sbuf_printf(&body, "\",\"size_vram\":0,\"context_length\":%lld}",
                    (long long)m->opts.num_ctx);
    }
    sbuf_str(&body, "]}");
    answer(c, &body, TYPE_GIN);
}

static void add_modelfile(struct sbuf *out, const struct model *m)
{
    struct sbuf text = {0};

    sbuf_printf(
        &text,
        "# Modelfile generated by \"ollama show\"\n# To build a new Modelfile based on this, "
        "replace FROM with:\n# FROM %s\n\nFROM /var/lib/ollama/models/blobs/sha256-",
        m->name);
    add_digest(&text, m->name);
    sbuf_str(&text, "\nTEMPLATE {{ .Prompt }}\nPARAMETER num_thread 1\n");
    sbuf_json(out, text.ptr, text.len);
    sbuf_finish(&text);
}

static void add_info(struct sbuf *out, const struct model *m)
{
    const char *f = m->embedding ? "bert" : "gemma3";

    sbuf_printf(out,
                "{\"%s.block_count\":18,\"%s.context_length\":32768,\"%s.embedding_length\":640,"
                "\"general.architecture\":\"%s\",\"general.file_type\":15,"
                "\"general.parameter_count\":268098176,\"tokenizer.ggml.tokens\":null}",
                f, f, f, f);
}

static void add_tensors(struct sbuf *out)
{
    sbuf_str(out, "[");
    for (int i = 0; i < 40; i++) {
        sbuf_printf(out,
                    "%s{\"name\":\"blk.%d.attn_k.weight\",\"type\":\"Q5_0\",\"shape\":[640,256]}",
                    i > 0 ? "," : "", i);
    }
    sbuf_str(out, "]");
}

static void show(struct conn *c, const struct model *m)
{
    struct sbuf body = {0};

    sbuf_str(&body, "{\"modelfile\":");
    add_modelfile(&body, m);
    sbuf_str(&body, ",\"parameters\":\"num_thread                     1\","
                    "\"template\":\"{{ .Prompt }}\",\"details\":");
    add_details(&body, m, !m->embedding);
    sbuf_str(&body, ",\"model_info\":");
    add_info(&body, m);
    sbuf_str(&body, ",\"tensors\":");
    add_tensors(&body);
    sbuf_printf(&body, ",\"capabilities\":[\"%s\"],\"modified_at\":\"" MODIFIED "\"}",
                m->embedding ? "embedding" : "completion");
    answer(c, &body, TYPE_GIN);
}

void meta_show(struct conn *c)
{
    static const struct gojson_field fields[] = {{"model", "string", 's'},
                                                 {"name", "string", 's'},
                                                 {"verbose", "bool", 'b'},
                                                 {NULL, NULL, 0}};
    static const struct infer_miss miss = {400, "model is required", false, NULL};
    cJSON *body = infer_read(c, "ShowRequest", "api", fields);

    if (body != NULL) {
        const char *model = gojson_str(body, "model");
        struct model *m = infer_model(c, model[0] != 0 ? model : gojson_str(body, "name"), &miss);
        if (m != NULL) {
            show(c, m);
        }
        cJSON_Delete(body);
    }
}

static void add_openai_model(struct sbuf *out, const char *id)
{
    sbuf_str(out, "{\"id\":");
    sbuf_json_str(out, id);
    sbuf_printf(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"library\"}",
                MODIFIED_S);
}

void meta_models(struct conn *c)
{
    struct sbuf body = {0};
    struct model *m = NULL;
    bool any = false;

    if (exchange_faults(c, "")) {
        return;
    }
    sbuf_str(&body, "{\"object\":\"list\",\"data\":");
    EACH_MODEL(c->sim, m)
    {
        sbuf_str(&body, any ? "," : "[");
        add_openai_model(&body, m->shown);
        any = true;
    }
    sbuf_str(&body, any ? "]}\n" : "null}\n");
    answer(c, &body, TYPE_JSON);
}

void meta_model(struct conn *c)
{
    static const struct infer_miss miss = {400, "model is required", false, NULL};
    struct sbuf body = {0};

    if (infer_model(c, c->req.param, &miss) != NULL) {
        add_openai_model(&body, c->req.param);
        sbuf_str(&body, "\n");
        answer(c, &body, TYPE_JSON);
    }
}

/* Admin routes that stream progress: two lines; tests only need to know that they were reached. */
void meta_progress(struct conn *c)
{
    static const char line[] = "{\"status\":\"success\"}\n";
    static const struct head h = {.status = 200, .type = "application/x-ndjson"};

    if (exchange_faults(c, "")) {
        return;
    }
    reply_step(c);
    reply_begin(c, &h);
    if (reply_chunk(c, "{\"status\":\"working\"}\n", 21) &&
        reply_chunk(c, line, sizeof(line) - 1)) {
        reply_end(c);
    }
}

void meta_empty(struct conn *c)
{
    static const struct head h = {.status = 200};

    if (!exchange_faults(c, "")) {
        reply_whole(c, &h, "", 0);
    }
}

void meta_blob(struct conn *c)
{
    const struct head h = {.status = strcmp(c->req.method, "HEAD") == 0 ? 404 : 201};

    if (!exchange_faults(c, "")) {
        reply_whole(c, &h, "", 0);
    }
}
