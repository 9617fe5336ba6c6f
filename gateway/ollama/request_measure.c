/*
 * What a body weighs, and which of its objects are structs to Ollama: messages, inputs, images.
 * Each dialect hides its images elsewhere:
 *
 *   native generate       images[]
 *   native chat           messages[].images[]
 *   /v1/chat/completions  messages[].content[].image_url(.url)   data: URL
 *   /v1/responses         input[].content[].image_url            data: URL
 *   /v1/messages          messages[].content[](.content[]).source.data
 *
 * Called by the visitor in request_reader.c while a body is checked; owns nothing.
 */
#include "ollama/request_parts.h"

static enum corral_err fail(struct request_info *info, const char *field, enum corral_err err)
{
    info->field = field;
    return err;
}

static uint8_t role_if(bool condition, unsigned role)
{
    return condition ? (uint8_t)role : PART_NONE;
}

/* The parts of a content are structs, but in /v1/chat/completions and within a tool's result. */
static uint8_t struct_if_typed(const struct request_parts *p)
{
    return role_if(p->route->id != ROUTE_ID_V1_CHAT, SCAN_ROLE_STRUCT);
}

static uint8_t begin_base64(struct request_parts *p, const char *field)
{
    p->image = (struct part_image){.state = IMAGE_BASE64, .field = field};
    return PART_BASE64 | SCAN_ROLE_STRICT;
}

static uint8_t begin_url(struct request_parts *p)
{
    p->image = (struct part_image){.state = IMAGE_URL_SCHEME, .field = "image_url"};
    return PART_URL | SCAN_ROLE_STRICT;
}

static enum corral_err begin_message(struct request_parts *p, const struct request_rules *rules,
                                     enum field f, const struct scan_value *v,
                                     struct request_info *info, uint8_t *out_role)
{
    if (++info->messages > rules->messages_max) {
        return fail(info, field_name(f), CE_BODY_TOO_LARGE);
    }
    *out_role = role_if(v->kind == SCAN_OBJECT, PART_MESSAGE | SCAN_ROLE_STRUCT);
    return CE_OK;
}

/* Who speaks, and what binds a call, its function and its result together: names, not text. */
static bool is_name(const struct scan_value *v)
{
    static const struct slice names[] = {
        SLICE_LITERAL("role"),         SLICE_LITERAL("name"),        SLICE_LITERAL("id"),
        SLICE_LITERAL("tool_call_id"), SLICE_LITERAL("tool_use_id"), SLICE_LITERAL("tool_name"),
        SLICE_LITERAL("call_id"),
    };

    if (v->kind != SCAN_STRING || slice_eq_str(v->key, "content") || slice_eq_str(v->key, "text")) {
        return false; /* as most are */
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (scan_key_is(v, names[i])) {
            return true;
        }
    }
    return false;
}

/* A member of a tool, of a call, or of the function inside of either. */
static uint8_t begin_tool_member(const struct request_parts *p, uint8_t around,
                                 const struct scan_value *v)
{
    bool api_tool = p->route->id != ROUTE_ID_V1_MESSAGES && p->route->id != ROUTE_ID_V1_RESPONSES;

    if (is_name(v)) {
        return SCAN_ROLE_STRICT;
    }
    if (v->kind != SCAN_OBJECT || !api_tool) {
        return PART_NONE;
    }
    if (around != PART_TOOL_FUNCTION) {
        return role_if(scan_key_is(v, SLICE_LITERAL("function")),
                       PART_TOOL_FUNCTION | SCAN_ROLE_STRUCT);
    }
    return role_if(scan_key_is(v, SLICE_LITERAL("parameters")), SCAN_ROLE_STRUCT);
}

static enum corral_err begin_message_member(struct request_parts *p, const struct scan_value *v,
                                            struct request_info *info, uint8_t *out_role)
{
    bool native = p->route->dialect == DIALECT_NATIVE;

    if (is_name(v)) {
        *out_role = SCAN_ROLE_STRICT;
        return CE_OK;
    }
    if (v->kind == SCAN_ARRAY && scan_key_is(v, SLICE_LITERAL("tool_calls"))) {
        *out_role = PART_CALLS;
        return CE_OK;
    }
    if (!native) {
        *out_role = role_if(v->kind == SCAN_ARRAY && scan_key_is(v, SLICE_LITERAL("content")),
                            PART_CONTENT);
        return CE_OK;
    }
    if (!scan_key_is(v, SLICE_LITERAL("images"))) {
        return CE_OK;
    }
    if (v->kind != SCAN_ARRAY && v->kind != SCAN_NULL) {
        return fail(info, "images", CE_JSON_TYPE);
    }
    *out_role = role_if(v->kind == SCAN_ARRAY, PART_IMAGES);
    return CE_OK;
}

/* A member of a part of a message's content. */
static uint8_t begin_part_member(struct request_parts *p, uint8_t around,
                                 const struct scan_value *v)
{
    if (scan_key_is(v, SLICE_LITERAL("image_url"))) {
        return v->kind == SCAN_STRING ? begin_url(p)
                                      : role_if(v->kind == SCAN_OBJECT, PART_IMAGE_URL);
    }
    if (v->kind == SCAN_OBJECT && scan_key_is(v, SLICE_LITERAL("source"))) {
        return role_if(true, around == PART_PART ? PART_SOURCE | struct_if_typed(p) : PART_SOURCE);
    }
    if (is_name(v)) {
        return SCAN_ROLE_STRICT;
    }
    return role_if(around == PART_PART && v->kind == SCAN_ARRAY &&
                       scan_key_is(v, SLICE_LITERAL("content")),
                   PART_NESTED_CONTENT);
}

/* Strings, or token arrays; a flat array of numbers is one input that was tokenised already. */
static enum corral_err begin_input(struct request_parts *p, const struct request_rules *rules,
                                   const struct scan_value *v, struct request_info *info)
{
    if (p->inputs_are_tokens) {
        return CE_OK;
    }
    if (v->kind == SCAN_NUMBER) {
        p->inputs_are_tokens = true;
        info->inputs = 1;
        return CE_OK;
    }
    return ++info->inputs > rules->inputs_max
               ? fail(info, field_name(FIELD_INPUT), CE_BODY_TOO_LARGE)
               : CE_OK;
}

enum corral_err measure_begin(struct request_parts *p, const struct request_rules *rules,
                              uint8_t around, const struct scan_value *v, struct request_info *info,
                              uint8_t *out_role)
{
    bool is_string = v->kind == SCAN_STRING;

    switch (around) {
    case PART_MESSAGES:
        return begin_message(p, rules, FIELD_MESSAGES, v, info, out_role);
    case PART_ITEMS:
        return begin_message(p, rules, FIELD_INPUT, v, info, out_role);
    case PART_INPUTS:
        return begin_input(p, rules, v, info);
    case PART_MESSAGE:
        return begin_message_member(p, v, info, out_role);
    case PART_IMAGES:
        *out_role = is_string ? begin_base64(p, "images") : 0;
        return is_string ? CE_OK : fail(info, "images", CE_JSON_TYPE);
    case PART_CONTENT:
        *out_role = role_if(v->kind == SCAN_OBJECT, PART_PART | struct_if_typed(p));
        return CE_OK;
    case PART_NESTED_CONTENT:
        *out_role = role_if(v->kind == SCAN_OBJECT, PART_NESTED_PART);
        return CE_OK;
    case PART_PART:
    case PART_NESTED_PART:
        *out_role = begin_part_member(p, around, v);
        return CE_OK;
    case PART_TOOLS:
        *out_role = role_if(v->kind == SCAN_OBJECT, PART_TOOL | SCAN_ROLE_STRUCT);
        return CE_OK;
    case PART_CALLS:
        *out_role = role_if(v->kind == SCAN_OBJECT, PART_CALL | SCAN_ROLE_STRUCT);
        return CE_OK;
    case PART_TOOL:
    case PART_CALL:
    case PART_TOOL_FUNCTION:
        *out_role = begin_tool_member(p, around, v);
        return CE_OK;
    case PART_IMAGE_URL:
        *out_role = is_string && scan_key_is(v, SLICE_LITERAL("url")) ? begin_url(p) : 0;
        return CE_OK;
    case PART_SOURCE:
        *out_role =
            is_string && scan_key_is(v, SLICE_LITERAL("data")) ? begin_base64(p, "source.data") : 0;
        return CE_OK;
    default:
        return CE_OK;
    }
}

/* "data:" in any case; then up to the comma. What is left of the piece is base64. */
static struct slice skip_url_head(struct part_image *image, struct slice piece)
{
    static const char scheme[] = "data:";
    size_t at = 0;

    while (image->state == IMAGE_URL_SCHEME && at < piece.len) {
        bool alike = ascii_lower(piece.ptr[at]) == scheme[image->scheme_len];

        image->scheme_len += alike ? 1 : 0;
        at += alike ? 1 : 0;
        if (!alike) {
            image->state = IMAGE_URL_OTHER; /* not an image we weigh; Ollama refuses it */
        } else if (image->scheme_len == sizeof(scheme) - 1) {
            image->state = IMAGE_URL_MEDIA;
        }
    }
    if (image->state == IMAGE_URL_MEDIA) {
        struct slice rest = slice_from(piece, at);
        size_t comma = slice_find(rest, ',');

        image->state = comma < rest.len ? IMAGE_BASE64 : IMAGE_URL_MEDIA;
        at += comma < rest.len ? comma + 1 : comma;
    }
    return slice_from(piece, at);
}

static bool is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* base64 inside a JSON string, where '/' may be spelled "\/" (PHP does). */
static void count_base64(struct part_image *image, struct slice raw)
{
    for (size_t i = 0; i < raw.len && !image->broken; i++) {
        bool escaped = raw.ptr[i] == '\\' && i + 1 < raw.len && raw.ptr[i + 1] == '/';

        i += escaped ? 1 : 0;
        if (raw.ptr[i] == '=' && image->padding < 2) {
            image->padding++;
        } else if (is_base64(raw.ptr[i]) && image->padding == 0) {
            image->letters++;
        } else {
            image->broken = true;
        }
    }
}

static size_t decoded_size(const struct part_image *image)
{
    size_t rest = image->letters % 4;

    return image->letters / 4 * 3 + (rest > 1 ? rest - 1 : 0);
}

static bool is_too_large(const struct part_image *image, const struct request_rules *rules,
                         const struct request_info *info)
{
    size_t bytes = decoded_size(image);

    return bytes > rules->image_bytes_max || info->images_bytes + bytes > rules->images_bytes_max;
}

enum corral_err measure_text(struct request_parts *p, const struct request_rules *rules,
                             struct slice piece, struct request_info *info)
{
    struct part_image *image = &p->image;

    if (image->state != IMAGE_BASE64) {
        piece = skip_url_head(image, piece);
    }
    if (image->state != IMAGE_BASE64) {
        return CE_OK;
    }
    image->text_len += piece.len;
    count_base64(image, piece);
    if (image->broken) {
        return fail(info, image->field, CE_JSON_TYPE);
    }
    return is_too_large(image, rules, info) ? fail(info, image->field, CE_IMAGE_TOO_LARGE) : CE_OK;
}

enum corral_err measure_image_end(struct request_parts *p, const struct request_rules *rules,
                                  struct request_info *info)
{
    const struct part_image *image = &p->image;

    if (image->state == IMAGE_URL_SCHEME || image->state == IMAGE_URL_OTHER) {
        return CE_OK;
    }
    if (image->letters == 0 || (image->letters + image->padding) % 4 != 0) {
        return fail(info, image->field, CE_JSON_TYPE);
    }
    info->images++;
    info->images_bytes += decoded_size(image);
    p->image_text += image->text_len;
    return info->images > rules->images_max ? fail(info, image->field, CE_IMAGE_TOO_LARGE) : CE_OK;
}
