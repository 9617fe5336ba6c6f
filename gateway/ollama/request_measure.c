/*
 * What a body weighs: messages, inputs, images. Each dialect hides its images elsewhere:
 *
 *   native generate       images[]
 *   native chat           messages[].images[]
 *   /v1/chat/completions  messages[].content[].image_url(.url)   data: URL
 *   /v1/responses         input[].content[].image_url            data: URL
 *   /v1/messages          messages[].content[](.content[]).source.data
 */
#include "ollama/request_parts.h"

enum { IMAGE_PROMPT_BYTES = 3072 }; /* about 768 tokens, what common encoders make of an image */

struct measure {
    struct slice body;
    const struct request_rules *rules;
    struct request_info *info;
    size_t image_text; /* bytes of body that are images */
};

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* base64 inside a JSON string, where '/' may be spelled "\/" (PHP does). Gives the decoded size. */
static bool base64_size(struct slice raw, size_t *out)
{
    size_t letters = 0;
    size_t padding = 0;

    for (size_t i = 0; i < raw.len; i++) {
        bool escaped = raw.ptr[i] == '\\' && i + 1 < raw.len && raw.ptr[i + 1] == '/';

        i += escaped ? 1 : 0;
        if (raw.ptr[i] == '=' && padding < 2) {
            padding++;
        } else if (is_base64(raw.ptr[i]) && padding == 0) {
            letters++;
        } else {
            return false;
        }
    }
    *out = letters / 4 * 3 + (letters % 4 > 1 ? letters % 4 - 1 : 0);
    return letters > 0 && (letters + padding) % 4 == 0;
}

static enum corral_err add_image(struct measure *m, struct slice raw)
{
    struct request_info *info = m->info;
    size_t bytes;

    info->field = "images";
    if (!base64_size(raw, &bytes)) {
        return CE_JSON_TYPE;
    }
    info->images++;
    info->images_bytes += bytes;
    m->image_text += raw.len;
    if (bytes > m->rules->image_bytes_max || info->images_bytes > m->rules->images_bytes_max ||
        info->images > m->rules->images_max) {
        return CE_IMAGE_TOO_LARGE;
    }
    info->field = NULL;
    return CE_OK;
}

/* A URL that is no data: URL is not an image we weigh; Ollama refuses it. */
static enum corral_err add_url(struct measure *m, const struct scan_value *url)
{
    struct slice raw = parts_raw_string(m->body, url);
    size_t comma = slice_find(raw, ',');

    if (url->kind != SCAN_STRING || raw.len < 5 ||
        !slice_eq_nocase(slice_of(raw.ptr, 5), SLICE_LITERAL("data:"))) {
        return CE_OK;
    }
    return add_image(m, slice_from(raw, comma + 1));
}

static enum corral_err native_images(struct measure *m, const struct scan_value *images)
{
    struct scan_cursor c = scan_open(m->body, images);
    struct scan_value image;
    enum corral_err err = CE_OK;

    if (images->kind != SCAN_ARRAY && images->kind != SCAN_NULL) {
        m->info->field = "images";
        return CE_JSON_TYPE;
    }
    while (err == CE_OK && scan_next(&c, &image)) {
        err = image.kind == SCAN_STRING ? add_image(m, parts_raw_string(m->body, &image))
                                        : CE_JSON_TYPE;
    }
    m->info->field = err == CE_OK ? NULL : "images";
    return err;
}

/* One part of a message's content; `nested` gets the content of a tool result. */
static enum corral_err measure_part(struct measure *m, const struct scan_value *part,
                                    struct scan_value *nested)
{
    struct scan_cursor c = scan_open(m->body, part);
    struct scan_value v;
    struct scan_value inner;
    enum corral_err err = CE_OK;

    if (part->kind != SCAN_OBJECT) {
        return CE_OK;
    }
    while (err == CE_OK && scan_next(&c, &v)) {
        if (scan_key_is(&v, SLICE_LITERAL("image_url"))) {
            bool object = v.kind == SCAN_OBJECT;

            err = !object                                                ? add_url(m, &v)
                  : scan_find(m->body, &v, SLICE_LITERAL("url"), &inner) ? add_url(m, &inner)
                                                                         : CE_OK;
        } else if (v.kind == SCAN_OBJECT && scan_key_is(&v, SLICE_LITERAL("source")) &&
                   scan_find(m->body, &v, SLICE_LITERAL("data"), &inner) &&
                   inner.kind == SCAN_STRING) {
            err = add_image(m, parts_raw_string(m->body, &inner));
        } else if (v.kind == SCAN_ARRAY && scan_key_is(&v, SLICE_LITERAL("content"))) {
            *nested = v;
        }
    }
    return err;
}

static enum corral_err measure_content(struct measure *m, const struct scan_value *content)
{
    struct scan_cursor c = scan_open(m->body, content);
    struct scan_value part;
    enum corral_err err = CE_OK;

    while (err == CE_OK && content->kind == SCAN_ARRAY && scan_next(&c, &part)) {
        struct scan_value nested = {.kind = SCAN_NULL};
        struct scan_value unused;
        struct scan_value inner;

        err = measure_part(m, &part, &nested);
        struct scan_cursor n = scan_open(m->body, &nested);
        while (err == CE_OK && scan_next(&n, &inner)) {
            err = measure_part(m, &inner, &unused);
        }
    }
    return err;
}

static enum corral_err measure_message(struct measure *m, const struct scan_value *message,
                                       bool native)
{
    struct scan_cursor c = scan_open(m->body, message);
    struct scan_value v;
    enum corral_err err = CE_OK;

    while (err == CE_OK && message->kind == SCAN_OBJECT && scan_next(&c, &v)) {
        if (native && scan_key_is(&v, SLICE_LITERAL("images"))) {
            err = native_images(m, &v);
        } else if (!native && v.kind == SCAN_ARRAY && scan_key_is(&v, SLICE_LITERAL("content"))) {
            err = measure_content(m, &v);
        }
    }
    return err;
}

static enum corral_err measure_messages(struct measure *m, const struct scan_value *messages,
                                        enum field f, bool native)
{
    struct scan_cursor c = scan_open(m->body, messages);
    struct scan_value message;
    enum corral_err err = CE_OK;

    while (err == CE_OK && messages->kind == SCAN_ARRAY && scan_next(&c, &message)) {
        if (++m->info->messages > m->rules->messages_max) {
            m->info->field = field_name(f);
            return CE_BODY_TOO_LARGE;
        }
        err = measure_message(m, &message, native);
    }
    return err;
}

/* Strings, or token arrays; a flat array of numbers is one input that was tokenised already. */
static enum corral_err measure_inputs(struct measure *m, const struct scan_value *input)
{
    struct scan_cursor c = scan_open(m->body, input);
    struct scan_value v;

    m->info->inputs = input->kind == SCAN_ARRAY ? 0 : 1;
    while (input->kind == SCAN_ARRAY && scan_next(&c, &v)) {
        if (v.kind == SCAN_NUMBER) {
            m->info->inputs = 1;
            return CE_OK;
        }
        if (++m->info->inputs > m->rules->inputs_max) {
            m->info->field = field_name(FIELD_INPUT);
            return CE_BODY_TOO_LARGE;
        }
    }
    return CE_OK;
}

enum corral_err parts_measure(const struct request_parts *p, const struct request_rules *rules,
                              struct request_info *info)
{
    struct measure m = {.body = p->body, .rules = rules, .info = info};
    bool native = p->route->dialect == DIALECT_NATIVE;
    enum corral_err err = CE_OK;

    if (native && p->has[FIELD_IMAGES]) {
        err = native_images(&m, &p->at[FIELD_IMAGES]);
    }
    if (err == CE_OK && p->has[FIELD_MESSAGES]) {
        err = measure_messages(&m, &p->at[FIELD_MESSAGES], FIELD_MESSAGES, native);
    }
    if (err == CE_OK && p->has[FIELD_INPUT]) {
        bool responses = p->route->id == ROUTE_ID_V1_RESPONSES;

        err = responses ? measure_messages(&m, &p->at[FIELD_INPUT], FIELD_INPUT, false)
                        : measure_inputs(&m, &p->at[FIELD_INPUT]);
    }
    info->prompt_bytes = p->body.len - m.image_text + info->images * IMAGE_PROMPT_BYTES;
    return err;
}
