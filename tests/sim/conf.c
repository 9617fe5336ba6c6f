#include "conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct knob {
    const char *name;
    char kind; /* i whole number, d decimal, s string */
    size_t offset;
    size_t size; /* of a string field */
    const char *fallback;
    const char *help;
};

#define INT(field, fallback, help)                                                                 \
    {                                                                                              \
#field, 'i', offsetof(struct conf, field), 0, fallback, help                               \
    }
#define DEC(field, fallback, help)                                                                 \
    {                                                                                              \
#field, 'd', offsetof(struct conf, field), 0, fallback, help                               \
    }
#define STR(field, fallback, help)                                                                 \
    {                                                                                              \
#field, 's', offsetof(struct conf, field), sizeof(((struct conf *)0)->field), fallback,    \
            help                                                                                   \
    }

static const struct knob knobs[] = {
    INT(port, "0", "TCP port, 0 = a free one (printed)"),
    STR(host, "127.0.0.1", "address to listen on"),
    STR(path, "", "a UNIX socket to listen on as well"),
    STR(models, "tiny:268.10M,embed:22.57M",
        "name:parameter_size,...; a name holding 'embed' is an embedding model"),
    STR(remote, "", "name,...: of these, stubs of another host"),
    INT(slots, "1", "OLLAMA_NUM_PARALLEL: requests a model runs at once (embedding models: 1)"),
    INT(load_ms, "0", "time to load a model"),
    INT(prefill_ms, "0", "time from slot to first token"),
    INT(prompt_extra, "0", "tokens of prompt more than its bytes suggest"),
    INT(prefill_us_per_token, "0", "more of it per prompt token"),
    INT(tokens, "16", "tokens of an answer when the request sets no limit (it then says 'stop')"),
    INT(stop_tokens, "0", "stop by itself after so many although more were asked; 0 = never"),
    DEC(tokens_per_s, "50", "speed of one stream; 0 = as fast as it goes"),
    INT(chunk_bytes, "0", "bytes of text per token, 0 = whole words"),
    INT(max_queue, "512", "OLLAMA_MAX_QUEUE: waiting for a load; beyond it 503"),
    INT(max_loaded, "3", "OLLAMA_MAX_LOADED_MODELS"),
    INT(keep_alive_s, "300", "OLLAMA_KEEP_ALIVE in seconds, negative = for ever"),
    INT(num_ctx, "2048", "default context length; longer prompts are cut to it"),
    INT(embed_dims, "384", "numbers per embedding"),
    STR(version_string, "0.24.0", "what /api/version says"),
    INT(accept_delay_ms, "0", "leave each new connection in the backlog for so long"),
    INT(no_cloud, "1", "OLLAMA_NO_CLOUD: refuse names with a cloud suffix"),
    INT(seed, "1", "of the dice that fault probabilities throw"),
};

#define KNOB_COUNT (sizeof(knobs) / sizeof(knobs[0]))

static bool set_text(struct conf *c, const struct knob *k, const char *text)
{
    char *field = (char *)c + k->offset;
    char *end = NULL;

    errno = 0;
    if (k->kind == 's') {
        if (strlen(text) >= k->size) {
            return false;
        }
        memcpy(field, text, strlen(text) + 1);
        return true;
    }
    if (k->kind == 'd') {
        double value = strtod(text, &end);
        *(double *)(void *)field = value;
    } else {
        long long value = strtoll(text, &end, 10);
        *(int64_t *)(void *)field = value;
    }
    return errno == 0 && end != text && *end == 0;
}

void conf_init(struct conf *c)
{
    *c = (struct conf){0};
    for (size_t i = 0; i < KNOB_COUNT; i++) {
        (void)set_text(c, &knobs[i], knobs[i].fallback);
    }
}

static void print_help(void)
{
    puts("usage: ollama-sim [--NAME VALUE]...\n"
         "A programmable stand-in for Ollama 0.24.0. Prints 'listening on HOST:PORT' when ready.\n"
         "Every knob but port, host and path can be changed by POST /sim/config (with _ for -).\n");
    for (size_t i = 0; i < KNOB_COUNT; i++) {
        char name[40];
        snprintf(name, sizeof(name), "%s", knobs[i].name);
        for (char *p = name; *p != 0; p++) {
            *p = *p == '_' ? '-' : *p;
        }
        printf("  --%-22s %s (%s)\n", name, knobs[i].help, knobs[i].fallback);
    }
    puts("\nPOST /sim/config   knobs, faults, add_faults, reset_stats   GET /sim/stats\n"
         "GET /sim/last[?route=/api/chat]   the last request as it came\n"
         "POST /sim/unload   forget every loaded model   GET /sim/faults   list of fault names");
}

static const struct knob *find_knob(const char *name)
{
    for (size_t i = 0; i < KNOB_COUNT; i++) {
        const char *a = knobs[i].name;
        const char *b = name;
        while (*a != 0 && (*a == *b || (*a == '_' && *b == '-'))) {
            a++;
            b++;
        }
        if (*a == 0 && *b == 0) {
            return &knobs[i];
        }
    }
    return NULL;
}

void conf_parse_args(struct conf *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            exit(0);
        }
        const struct knob *k = strncmp(argv[i], "--", 2) == 0 ? find_knob(argv[i] + 2) : NULL;
        if (k == NULL || i + 1 >= argc || !set_text(c, k, argv[i + 1])) {
            fprintf(stderr, "ollama-sim: bad argument %s (see --help)\n", argv[i]);
            exit(2);
        }
        i++;
    }
}

bool conf_known(const char *name)
{
    return find_knob(name) != NULL;
}

bool conf_apply_json(struct conf *c, const cJSON *object, char *bad, size_t bad_size)
{
    char number[64];

    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        const struct knob *k = find_knob(m->string);
        if (k == NULL) {
            continue;
        }
        const char *text = m->valuestring;
        if (k->kind != 's' && cJSON_IsNumber(m)) {
            snprintf(number, sizeof(number), k->kind == 'i' ? "%.0f" : "%.17g", m->valuedouble);
            text = number;
        }
        if (text == NULL || !set_text(c, k, text)) {
            snprintf(bad, bad_size, "%s", m->string);
            return false;
        }
    }
    return true;
}

void conf_print_json(const struct conf *c, struct sbuf *out)
{
    sbuf_str(out, "{");
    for (size_t i = 0; i < KNOB_COUNT; i++) {
        const char *field = (const char *)c + knobs[i].offset;
        sbuf_printf(out, "%s\"%s\":", i > 0 ? "," : "", knobs[i].name);
        if (knobs[i].kind == 's') {
            sbuf_json_str(out, field);
        } else if (knobs[i].kind == 'd') {
            sbuf_printf(out, "%g", *(const double *)(const void *)field);
        } else {
            sbuf_printf(out, "%lld", (long long)*(const int64_t *)(const void *)field);
        }
    }
    sbuf_str(out, "}");
}
