/* Embeddings: deterministic unit-sized numbers, in the three shapes Ollama gives them. */
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "exchange.h"
#include "infer.h"
#include "reply.h"

static float number_at(const char *text, int64_t i)
{
    uint64_t h = 0xcbf29ce484222325u + (uint64_t)i;

    for (const char *p = text; *p != 0; p++) {
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    }
    h ^= h >> 29;
    return ((float)(h % 2000003) / 1000001.5f - 1.0f) / 20.0f;
}

static void add_floats(struct sbuf *out, const char *text, int64_t dims)
{
    for (int64_t i = 0; i < dims; i++) {
        sbuf_printf(out, "%s%.9g", i > 0 ? "," : "", (double)number_at(text, i));
    }
}

static void add_base64(struct sbuf *out, const char *text, int64_t dims)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct sbuf raw = {0};

    for (int64_t i = 0; i < dims; i++) {
        float value = number_at(text, i);
        sbuf_add(&raw, &value, sizeof(value)); /* little-endian, like the machines this runs on */
    }
    for (size_t i = 0; i < raw.len; i += 3) {
        uint32_t v = (uint32_t)(unsigned char)raw.ptr[i] << 16;
        v |= i + 1 < raw.len ? (uint32_t)(unsigned char)raw.ptr[i + 1] << 8 : 0;
        v |= i + 2 < raw.len ? (uint32_t)(unsigned char)raw.ptr[i + 2] : 0;
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
                        i + 1 < raw.len ? digits[v >> 6 & 63] : '=',
                        i + 2 < raw.len ? digits[v & 63] : '='};
        sbuf_add(out, four, 4);
    }
    sbuf_finish(&raw);
}

static void on_embed_ready(struct job *job)
{
    struct sbuf body = {0};

    sbuf_str(&body, "{\"model\":");
    sbuf_json_str(&body, job->name);
    sbuf_str(&body, ",\"embeddings\":[");
    sbuf_buf(&body, &job->extra);
    sbuf_str(&body, "]");
    if (job->needs_slot) {
        sbuf_printf(&body, ",\"total_duration\":%llu,\"load_duration\":%llu",
                    (unsigned long long)(sim_now_us() - job->start_us) * 1000 + 1,
                    (unsigned long long)(job->loaded_us - job->start_us) * 1000 + 1);
        if (!job_counts_hidden(job)) {
            sbuf_printf(&body, ",\"prompt_eval_count\":%lld", (long long)job->prompt_tokens);
        }
    }
    sbuf_str(&body, "}");
    reply_json(job->conn, 200, TYPE_GIN, &body);
    sbuf_finish(&body);
}

static void on_old_ready(struct job *job)
{
    struct sbuf body = {0};

    sbuf_str(&body, "{\"embedding\":[");
    sbuf_buf(&body, &job->extra);
    sbuf_str(&body, "]}");
    reply_json(job->conn, 200, TYPE_GIN, &body);
    sbuf_finish(&body);
}

static void on_oai_ready(struct job *job)
{
    struct sbuf body = {0};
    long long count = job_counts_hidden(job) ? 0 : (long long)job->prompt_tokens;

    sbuf_str(&body, "{\"object\":\"list\",\"data\":[");
    sbuf_buf(&body, &job->extra);
    sbuf_str(&body, "],\"model\":");
    sbuf_json_str(&body, job->name);
    sbuf_printf(&body, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}\n", count,
                count);
    reply_json(job->conn, 200, TYPE_JSON, &body);
    sbuf_finish(&body);
}

/* One text of the input in its route's shape. */
static void add_one(struct job *job, const char *text, int64_t dims, bool openai, bool base64)
{
    struct sbuf *out = &job->extra;

    if (openai) {
        sbuf_str(out, out->len > 0 ? "," : "");
        sbuf_str(out, base64 ? "{\"object\":\"embedding\",\"embedding\":\""
                             : "{\"object\":\"embedding\",\"embedding\":[");
    } else {
        sbuf_str(out, out->len > 0 ? ",[" : "[");
    }
    if (base64) {
        add_base64(out, text, dims);
    } else {
        add_floats(out, text, dims);
    }
    sbuf_str(out, base64 ? "\"" : "]");
    if (openai) {
        sbuf_printf(out, ",\"index\":%lld}", (long long)job->sent);
    }
    job->sent++;
    job->prompt_tokens += (int64_t)strlen(text) / 4 + 2;
}

/* False when an element is neither text nor, where that is allowed, anything. */
static bool add_input(struct job *job, const cJSON *body, bool openai)
{
    const cJSON *input = gojson_get(body, "input");
    int64_t all = job->sim->conf.embed_dims;
    int64_t dims = (int64_t)gojson_num(body, "dimensions", 0);
    bool base64 = strcasecmp(gojson_str(body, "encoding_format"), "base64") == 0;

    dims = dims > 0 && dims < all ? dims : all;
    if (cJSON_IsString(input)) {
        if (input->valuestring[0] != 0 || openai) {
            add_one(job, input->valuestring, dims, openai, base64);
        }
        return true;
    }
    if (input != NULL && !cJSON_IsArray(input)) {
        return false;
    }
    for (const cJSON *m = input != NULL ? input->child : NULL; m != NULL; m = m->next) {
        if (!cJSON_IsString(m)) {
            return false;
        }
        add_one(job, m->valuestring, dims, openai, base64);
    }
    return true;
}

static const struct gojson_field fields[] = {{"model", "string", 's'},
                                             {"prompt", "string", 's'},
                                             {"dimensions", "int", 'i'},
                                             {"truncate", "bool", 'b'},
                                             {"encoding_format", "string", 's'},
                                             {"options", "map[string]interface {}", 'o'},
                                             {NULL, NULL, 0}};

static void run(struct conn *c, const cJSON *body, bool openai)
{
    static const struct infer_miss miss = {404, "model '' not found", true, NULL};
    const cJSON *input = gojson_get(body, "input");

    if (!openai && input != NULL && !cJSON_IsString(input) && !cJSON_IsArray(input)) {
        exchange_error(c, 400, "invalid input type", false);
        return;
    }
    struct model *m = infer_model(c, gojson_str(body, "model"), &miss);
    if (m == NULL) {
        return;
    }
    struct job *job = job_create(c, m, gojson_str(body, "model"));
    if (!openai && !infer_native_knobs(job, body)) {
        return;
    }
    if (!add_input(job, body, openai)) {
        exchange_error(c, 400, "invalid input type", true);
        return;
    }
    job->needs_slot = job->sent > 0;
    job->on_ready = openai ? on_oai_ready : on_embed_ready;
    job_submit(job);
}

void infer_embed(struct conn *c)
{
    cJSON *body = infer_read(c, "EmbedRequest", "api", fields);

    if (body != NULL) {
        run(c, body, false);
        cJSON_Delete(body);
    }
}

void infer_oai_embeddings(struct conn *c)
{
    cJSON *body = infer_read(c, "EmbedRequest", "openai", fields);

    if (body == NULL) {
        return;
    }
    const cJSON *input = gojson_get(body, "input");
    const char *format = gojson_str(body, "encoding_format");
    char text[200];
    if (format[0] != 0 && strcasecmp(format, "float") != 0 && strcasecmp(format, "base64") != 0) {
        snprintf(
            text, sizeof(text),
            "Invalid value for 'encoding_format' = %.80s. Supported values: ['float', 'base64'].",
            format);
        exchange_error(c, 400, text, false);
    } else if (input == NULL || (cJSON_IsArray(input) && input->child == NULL)) {
        exchange_error(c, 400, "invalid input", false);
    } else {
        run(c, body, true);
    }
    cJSON_Delete(body);
}

void infer_embeddings(struct conn *c)
{
    static const struct infer_miss miss = {400, "model is required", true, NULL};
    cJSON *body = infer_read(c, "EmbeddingRequest", "api", fields);

    if (body == NULL) {
        return;
    }
    struct model *m = infer_model(c, gojson_str(body, "model"), &miss);
    if (m != NULL) {
        struct job *job = job_create(c, m, gojson_str(body, "model"));
        if (infer_native_knobs(job, body)) {
            const char *prompt = gojson_str(body, "prompt");
            job->needs_slot = prompt[0] != 0;
            if (job->needs_slot) {
                add_floats(&job->extra, prompt, c->sim->conf.embed_dims);
            }
            job->on_ready = on_old_ready;
            job_submit(job);
        }
    }
    cJSON_Delete(body);
}
