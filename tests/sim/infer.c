#include "infer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "dialects.h"
#include "exchange.h"
#include "reply.h"

#define CLOUD_TEXT "ollama cloud is disabled: remote model is unavailable"

cJSON *infer_read(struct conn *c, const char *struct_name, const char *package,
                  const struct gojson_field *fields)
{
    char error[GOJSON_ERROR_SIZE];
    bool native = c->route->flavour == FLAVOUR_NATIVE;
    cJSON *body = gojson_parse(c->body.ptr, c->body.len, error, sizeof(error));

    if (body != NULL && gojson_check(body, struct_name, package, fields, error)) {
        return body;
    }
    cJSON_Delete(body);
    const char *text = native && strcmp(error, "EOF") == 0 ? "missing request body" : error;
    if (!exchange_faults(c, "")) {
        exchange_error(c, 400, text, false);
    }
    return NULL;
}

static bool is_cloud(const char *raw)
{
    const char *colon = strrchr(raw, ':');

    if (colon == NULL) {
        return false;
    }
    size_t len = strlen(colon);
    while (len > 1 && colon[len - 1] == ' ') {
        len--;
    }
    return (len == 6 && strncasecmp(colon, ":cloud", 6) == 0) ||
           (len > 7 && strncasecmp(colon + len - 6, "-cloud", 6) == 0);
}

/* Native shape on /v1 too: it is refused before the translating writer is in place. */
static void refuse_cloud(struct conn *c)
{
    struct sbuf body = {0};

    exchange_error_body(&body, c->sim, FLAVOUR_NATIVE, 403, CLOUD_TEXT);
    reply_json(c, 403, TYPE_GIN, &body);
    sbuf_finish(&body);
}

struct model *infer_model(struct conn *c, const char *raw, const struct infer_miss *miss)
{
    char name[SIM_NAME_BYTES];
    char text[SIM_NAME_BYTES + 64];

    if (raw[strspn(raw, " ")] == 0) {
        if (!exchange_faults(c, "")) {
            exchange_error(c, miss->empty_status, miss->empty_text, true);
        }
        return NULL;
    }
    if (c->sim->conf.no_cloud != 0 && is_cloud(raw)) {
        refuse_cloud(c);
        return NULL;
    }
    if (!sched_canonical_name(raw, name, sizeof(name))) {
        exchange_error(c, 400, "invalid model name", true);
        return NULL;
    }
    if (exchange_faults(c, name)) {
        return NULL;
    }
    struct model *m = sched_find(c->sim, name);
    if (m == NULL) {
        snprintf(text, sizeof(text),
                 miss->pull_hint ? "model \"%.500s\" not found, try pulling it first"
                                 : "model '%.500s' not found",
                 raw);
        exchange_error(c, 404, text, true);
        return NULL;
    }
    if (m->embedding && miss->lacks != NULL) {
        snprintf(text, sizeof(text), "\"%.500s\" does not support %s", raw, miss->lacks);
        exchange_error(c, 400, text, true);
        return NULL;
    }
    return m;
}

size_t infer_text_bytes(const cJSON *value)
{
    size_t sum = 0;

    if (cJSON_IsString(value)) {
        return strlen(value->valuestring);
    }
    for (const cJSON *m = value != NULL ? value->child : NULL; m != NULL; m = m->next) {
        bool text = m->string == NULL || strcasecmp(m->string, "text") == 0 ||
                    strcasecmp(m->string, "content") == 0;
        sum += text ? infer_text_bytes(m) : 0;
    }
    return sum;
}

/* "5m", "1h30m", "300ms", "-1s"; false when Go would not take it. */
static bool parse_duration(const char *text, int64_t *out_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"us", 0.001}, {"ns", 1e-6}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    double sum = 0;
    bool negative = *text == '-';
    const char *p = text + (*text == '-' || *text == '+');

    if (strcmp(p, "0") == 0) {
        *out_ms = 0;
        return true;
    }
    if (*p == 0) {
        return false;
    }
    while (*p != 0) {
        char *end = NULL;
        double value = strtod(p, &end);
        size_t i = 0;
        size_t count = sizeof(units) / sizeof(units[0]);
        while (i < count && strncmp(end, units[i].unit, strlen(units[i].unit)) != 0) {
            i++;
        }
        if (end == p || i == count) {
            return false;
        }
        sum += value * units[i].ms;
        p = end + strlen(units[i].unit);
    }
    *out_ms = negative ? -1 : (int64_t)sum;
    return true;
}

static bool read_keep_alive(struct conn *c, const cJSON *body, bool *has, int64_t *out_ms)
{
    const cJSON *keep = gojson_get(body, "keep_alive");
    char text[200];

    *has = keep != NULL;
    if (cJSON_IsNumber(keep)) {
        *out_ms = keep->valuedouble < 0 ? -1 : (int64_t)(keep->valuedouble * 1000);
    } else if (cJSON_IsString(keep) && !parse_duration(keep->valuestring, out_ms)) {
        snprintf(text, sizeof(text), "time: invalid duration \"%.100s\"", keep->valuestring);
        exchange_error(c, 400, text, false);
        return false;
    }
    return true;
}

bool infer_native_knobs(struct job *job, const cJSON *body)
{
    const cJSON *options = gojson_get(body, "options");
    struct runner_opts *o = &job->opts;

    o->num_ctx = (int64_t)gojson_num(options, "num_ctx", (double)o->num_ctx);
    o->num_batch = (int64_t)gojson_num(options, "num_batch", -1);
    o->num_gpu = (int64_t)gojson_num(options, "num_gpu", -1);
    o->main_gpu = (int64_t)gojson_num(options, "main_gpu", -1);
    o->num_thread = (int64_t)gojson_num(options, "num_thread", -1);
    o->use_mmap =
        gojson_get(options, "use_mmap") != NULL ? gojson_bool(options, "use_mmap", true) : -1;
    o->num_ctx = o->num_ctx < 4 ? 4 : o->num_ctx;
    return read_keep_alive(job->conn, body, &job->has_keep_alive, &job->keep_alive_ms);
}

/* Output length: what was asked, or the knob; the model may stop by itself before. */
static void set_limit(struct job *job, double asked)
{
    const struct conf *conf = &job->sim->conf;

    job->length_ended = asked > 0;
    job->limit = asked > 0 ? (int64_t)asked : conf->tokens;
    if (conf->stop_tokens > 0 && job->limit > conf->stop_tokens) {
        job->limit = conf->stop_tokens;
        job->length_ended = false;
    }
    const struct fault *more = plan_get(&job->conn->plan, FAULT_OVERRUN);

    if (more != NULL) {
        job->limit += more->n;
    }
}

static void set_prompt(struct job *job, size_t bytes, int64_t overhead)
{
    int64_t tokens = (int64_t)(bytes / 4) + overhead + job->sim->conf.prompt_extra;

    job->prompt_tokens = tokens > job->opts.num_ctx ? job->opts.num_ctx : tokens;
}

static void on_load_ready(struct job *job)
{
    struct sbuf body = {0};

    native_done(&body, job->sim, job->name, job->raw, "load");
    reply_json(job->conn, 200, TYPE_GIN, &body);
    sbuf_finish(&body);
}

static void submit_load(struct job *job, bool chat)
{
    job->raw = chat; /* a load has no prompt, so the field is free for its flavour */
    job->on_ready = on_load_ready;
    job_submit(job);
}

static void answer_unload(struct conn *c, struct model *m, const char *name, bool chat)
{
    struct sbuf body = {0};

    sched_expire(c->sim, m);
    native_done(&body, c->sim, name, chat, "unload");
    reply_json(c, 200, TYPE_GIN, &body);
    sbuf_finish(&body);
}

static const struct gojson_field native_fields[] = {{"model", "string", 's'},
                                                    {"prompt", "string", 's'},
                                                    {"suffix", "string", 's'},
                                                    {"system", "string", 's'},
                                                    {"template", "string", 's'},
                                                    {"messages", "[]api.Message", 'a'},
                                                    {"stream", "bool", 'b'},
                                                    {"raw", "bool", 'b'},
                                                    {"truncate", "bool", 'b'},
                                                    {"shift", "bool", 'b'},
                                                    {"tools", "api.Tools", 'a'},
                                                    {"options", "map[string]interface {}", 'o'},
                                                    {NULL, NULL, 0}};

static bool think_refused(struct conn *c, const cJSON *body, const char *raw)
{
    const cJSON *think = gojson_get(body, "think");
    char text[SIM_NAME_BYTES];

    if (!cJSON_IsTrue(think) && !cJSON_IsString(think)) {
        return false;
    }
    snprintf(text, sizeof(text), "\"%.500s\" does not support thinking", raw);
    exchange_error(c, 400, text, true);
    return true;
}

/* Shared end of generate and chat: `bytes` of prompt, empty = load or unload. */
static void run_native(struct conn *c, const cJSON *body, struct model *m, bool chat)
{
    const char *raw = gojson_str(body, "model");
    const cJSON *prompt = gojson_get(body, chat ? "messages" : "prompt");
    bool empty = prompt == NULL || (chat ? prompt->child == NULL : prompt->valuestring[0] == 0);
    bool has_keep = false;
    int64_t keep_ms = 0;

    if (!read_keep_alive(c, body, &has_keep, &keep_ms) || think_refused(c, body, raw)) {
        return;
    }
    if (empty && has_keep && keep_ms == 0) {
        answer_unload(c, m, raw, chat);
        return;
    }
    struct job *job = job_create(c, m, raw);
    if (!infer_native_knobs(job, body)) {
        return;
    }
    if (empty) {
        submit_load(job, chat);
        return;
    }
    job->needs_slot = true;
    job->dialect = chat ? &dialect_chat : &dialect_generate;
    job->stream = gojson_bool(body, "stream", true);
    job->raw = gojson_bool(body, "raw", false);
    set_limit(job, gojson_num(gojson_get(body, "options"), "num_predict", 0));
    size_t bytes = infer_text_bytes(prompt) + strlen(gojson_str(body, "system"));
    set_prompt(job, bytes, job->raw ? 1 : 8);
    if (!gojson_bool(body, "truncate", true) && (int64_t)(bytes / 4) > job->opts.num_ctx) {
        if (job->stream) {
            exchange_error_stream(c, 400, "the input length exceeds the context length");
        } else {
            exchange_error(c, 400, "the input length exceeds the context length", true);
        }
        return;
    }
    job_submit(job);
}

void infer_generate(struct conn *c)
{
    static const struct infer_miss miss = {404, "model '' not found", false, "generate"};
    cJSON *body = infer_read(c, "GenerateRequest", "api", native_fields);

    if (body != NULL) {
        /* An embedding model may be unloaded and loaded here, but not asked. */
        struct infer_miss any = miss;
        const cJSON *keep = gojson_get(body, "keep_alive");
        any.lacks = keep != NULL && gojson_str(body, "prompt")[0] == 0 ? NULL : miss.lacks;
        struct model *m = infer_model(c, gojson_str(body, "model"), &any);
        if (m != NULL) {
            run_native(c, body, m, false);
        }
        cJSON_Delete(body);
    }
}

void infer_chat(struct conn *c)
{
    static const struct infer_miss miss = {400, "model is required", false, "chat"};
    cJSON *body = infer_read(c, "ChatRequest", "api", native_fields);

    if (body != NULL) {
        struct model *m = infer_model(c, gojson_str(body, "model"), &miss);
        if (m != NULL) {
            run_native(c, body, m, true);
        }
        cJSON_Delete(body);
    }
}

/* On /v1 a cloud name is refused before the body is looked at any further. */
static bool cloud_refused(struct conn *c)
{
    char error[GOJSON_ERROR_SIZE];
    cJSON *body = gojson_parse(c->body.ptr, c->body.len, error, sizeof(error));
    bool refused =
        c->sim->conf.no_cloud != 0 && body != NULL && is_cloud(gojson_str(body, "model"));

    if (refused) {
        refuse_cloud(c);
    }
    cJSON_Delete(body);
    return refused;
}

static const struct gojson_field openai_fields[] = {{"model", "string", 's'},
                                                    {"messages", "[]openai.Message", 'a'},
                                                    {"prompt", "string", 's'},
                                                    {"stream", "bool", 'b'},
                                                    {"max_tokens", "int", 'i'},
                                                    {"max_output_tokens", "int", 'i'},
                                                    {"temperature", "float64", 'n'},
                                                    {"stream_options", "openai.StreamOptions", 'o'},
                                                    {NULL, NULL, 0}};

static struct job *create_v1(struct conn *c, struct model *m, const cJSON *body,
                             const struct dialect *dialect, const char *limit)
{
    struct job *job = job_create(c, m, gojson_str(body, "model"));

    job->needs_slot = true;
    job->dialect = dialect;
    job->stream = gojson_bool(body, "stream", false);
    job->usage = gojson_bool(gojson_get(body, "stream_options"), "include_usage", false);
    job->temperature = gojson_num(body, "temperature", 1.0);
    job->top_p = gojson_num(body, "top_p", 1.0);
    job->max_output = (int64_t)gojson_num(body, limit, 0);
    set_limit(job, gojson_num(body, limit, 0));
    return job;
}

static bool has_image_url(const cJSON *messages)
{
    for (const cJSON *m = messages->child; m != NULL; m = m->next) {
        const cJSON *content = gojson_get(m, "content");
        for (const cJSON *b = cJSON_IsArray(content) ? content->child : NULL; b != NULL;
             b = b->next) {
            const cJSON *image = gojson_get(b, "image_url");
            const char *url =
                cJSON_IsObject(image) ? gojson_str(image, "url") : gojson_str(b, "image_url");
            if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) {
                return true;
            }
        }
    }
    return false;
}

void infer_oai_chat(struct conn *c)
{
    static const struct infer_miss miss = {400, "model is required", false, "chat"};

    if (cloud_refused(c)) {
        return;
    }
    cJSON *body = infer_read(c, "ChatCompletionRequest", "openai", openai_fields);
    if (body == NULL) {
        return;
    }
    const cJSON *messages = gojson_get(body, "messages");
    if (messages == NULL || messages->child == NULL) {
        exchange_error(c, 400, "[] is too short - 'messages'", false);
    } else if (has_image_url(messages)) {
        exchange_error(
            c, 400,
            "image URLs are not currently supported, please use base64 encoded data instead",
            false);
    } else {
        struct model *m = infer_model(c, gojson_str(body, "model"), &miss);
        if (m != NULL) {
            struct job *job = create_v1(c, m, body, &dialect_oai_chat, "max_tokens");
            snprintf(job->id, sizeof(job->id), "chatcmpl-%d", (int)(sim_next_id(c->sim) % 999));
            set_prompt(job, infer_text_bytes(messages), 8);
            job_submit(job);
        }
    }
    cJSON_Delete(body);
}

void infer_oai_completion(struct conn *c)
{
    static const struct infer_miss miss = {404, "model '' not found", false, "generate"};

    if (cloud_refused(c)) {
        return;
    }
    cJSON *body = infer_read(c, "CompletionRequest", "openai", openai_fields);
    if (body == NULL) {
        return;
    }
    struct model *m = infer_model(c, gojson_str(body, "model"), &miss);
    if (m != NULL) {
        struct job *job = create_v1(c, m, body, &dialect_oai_completion, "max_tokens");
        snprintf(job->id, sizeof(job->id), "cmpl-%d", (int)(sim_next_id(c->sim) % 999));
        set_prompt(job, strlen(gojson_str(body, "prompt")), 8);
        job_submit(job);
    }
    cJSON_Delete(body);
}

void infer_responses(struct conn *c)
{
    static const struct infer_miss miss = {400, "model is required", false, "chat"};

    if (cloud_refused(c)) {
        return;
    }
    cJSON *body = infer_read(c, "ResponsesRequest", "openai", openai_fields);
    if (body == NULL) {
        return;
    }
    c->events = gojson_bool(body, "stream", false);
    struct model *m = infer_model(c, gojson_str(body, "model"), &miss);
    if (m != NULL) {
        struct job *job = create_v1(c, m, body, &dialect_responses, "max_output_tokens");
        uint64_t id = sim_next_id(c->sim);
        snprintf(job->id, sizeof(job->id), "resp_%d", (int)(id % 999999));
        snprintf(job->item_id, sizeof(job->item_id), "msg_%d", (int)(id / 7 % 999999));
        set_prompt(job, infer_text_bytes(gojson_get(body, "input")), 8);
        job_submit(job);
    }
    cJSON_Delete(body);
}

static const struct gojson_field anthropic_fields[] = {
    {"model", "string", 's'},
    {"max_tokens", "int", 'i'},
    {"messages", "[]anthropic.MessageParam", 'a'},
    {"stream", "bool", 'b'},
    {NULL, NULL, 0}};

static const char *messages_error(const cJSON *body)
{
    const cJSON *messages = gojson_get(body, "messages");

    if (gojson_str(body, "model")[0] == 0) {
        return "model is required";
    }
    if (gojson_num(body, "max_tokens", 0) <= 0) {
        return "max_tokens is required and must be positive";
    }
    return messages == NULL || messages->child == NULL ? "messages is required" : NULL;
}

/* Ollama's own guess for message_start: a quarter of the bytes of roles and texts, at least one. */
static int64_t estimate_input(const cJSON *body)
{
    size_t bytes = infer_text_bytes(gojson_get(body, "system"));
    const cJSON *messages = gojson_get(body, "messages");

    for (const cJSON *m = messages->child; m != NULL; m = m->next) {
        bytes += strlen(gojson_str(m, "role")) + infer_text_bytes(gojson_get(m, "content"));
    }
    return bytes < 4 ? 1 : (int64_t)(bytes / 4);
}

void infer_messages(struct conn *c)
{
    static const struct infer_miss miss = {400, "model is required", false, "chat"};

    if (cloud_refused(c)) {
        return;
    }
    cJSON *body = infer_read(c, "MessagesRequest", "anthropic", anthropic_fields);
    if (body == NULL) {
        return;
    }
    const char *error = messages_error(body);
    c->events = error == NULL && gojson_bool(body, "stream", false);
    struct model *m = NULL;
    if (error != NULL) {
        exchange_error(c, 400, error, false);
    } else {
        m = infer_model(c, gojson_str(body, "model"), &miss);
    }
    if (m != NULL) {
        struct job *job = create_v1(c, m, body, &dialect_messages, "max_tokens");
        snprintf(job->id, sizeof(job->id), "msg_%024llx", (unsigned long long)sim_next_id(c->sim));
        job->estimate = estimate_input(body);
        set_prompt(job,
                   infer_text_bytes(gojson_get(body, "messages")) +
                       infer_text_bytes(gojson_get(body, "system")),
                   8);
        job_submit(job);
    }
    cJSON_Delete(body);
}
