#include "ollama/request_parts.h"

enum {
    IS_STRING = 1u << SCAN_STRING,
    IS_BOOL = 1u << SCAN_TRUE | 1u << SCAN_FALSE,
    IS_NUMBER = 1u << SCAN_NUMBER,
    IS_ARRAY = 1u << SCAN_ARRAY,
    IS_OBJECT = 1u << SCAN_OBJECT,
    IS_ANY = 0xffu,
};

/* What type a field must have where its route reads it; null is always as good as absent. */
#define NAMED(name_, native_, v1_)                                                                 \
    {                                                                                              \
        name_, sizeof(name_) - 1, native_, v1_                                                     \
    }
static const struct {
    const char *name;
    uint8_t len;
    uint8_t native;
    uint8_t v1;
} fields[FIELD_COUNT] = {
    [FIELD_MODEL] = NAMED("model", IS_STRING, IS_STRING),
    [FIELD_NAME] = NAMED("name", IS_STRING, IS_ANY),
    [FIELD_SOURCE] = NAMED("source", IS_STRING, IS_ANY),
    [FIELD_DESTINATION] = NAMED("destination", IS_STRING, IS_ANY),
    [FIELD_STREAM] = NAMED("stream", IS_BOOL, IS_BOOL),
    [FIELD_STREAM_OPTIONS] = NAMED("stream_options", IS_ANY, IS_OBJECT),
    [FIELD_OPTIONS] = NAMED("options", IS_OBJECT, IS_ANY),
    [FIELD_KEEP_ALIVE] = NAMED("keep_alive", IS_ANY, IS_ANY),
    [FIELD_SHIFT] = NAMED("shift", IS_ANY, IS_ANY),
    [FIELD_INSECURE] = NAMED("insecure", IS_ANY, IS_ANY),
    [FIELD_PROMPT] = NAMED("prompt", IS_STRING, IS_ANY),
    [FIELD_MESSAGES] = NAMED("messages", IS_ARRAY, IS_ARRAY),
    [FIELD_INPUT] = NAMED("input", IS_ANY, IS_ANY),
    [FIELD_IMAGES] = NAMED("images", IS_ARRAY, IS_ANY),
    [FIELD_MAX_TOKENS] = NAMED("max_tokens", IS_ANY, IS_NUMBER),
    [FIELD_MAX_COMPLETION_TOKENS] = NAMED("max_completion_tokens", IS_ANY, IS_NUMBER),
    [FIELD_MAX_OUTPUT_TOKENS] = NAMED("max_output_tokens", IS_ANY, IS_NUMBER),
};

const char *field_name(enum field f)
{
    return fields[f].name;
}

enum field field_of(const struct scan_value *member)
{
    NOT_ZEROED char folded[32];
    struct slice key = member->key;

    if (!member->key_folded) {
        key = slice_of(folded, scan_key_fold(key, folded, sizeof(folded)));
    }

    for (unsigned f = 0; f < FIELD_COUNT; f++) {
        if (key.len == fields[f].len && memcmp(key.ptr, fields[f].name, key.len) == 0) {
            return (enum field)f;
        }
    }
    return FIELD_COUNT;
}

/* Names with a leading '_' are Ollama's own doors (_debug_render_only shows the whole prompt). */
static bool is_private(const struct scan_value *member)
{
    char first[4];

    if (member->key_folded) {
        return member->key.len > 0 && member->key.ptr[0] == '_';
    }
    return scan_key_fold(member->key, first, sizeof(first)) > 0 && first[0] == '_';
}

enum corral_err parts_read(struct request_parts *parts, const char **out_field)
{
    const struct route *route = parts->route;
    struct scan_cursor c = scan_open(parts->body, &parts->root);
    struct scan_value v;

    while (scan_next(&c, &v)) {
        enum field f = field_of(&v);

        if (is_private(&v)) {
            *out_field = "_debug";
            return CE_FIELD_REFUSED;
        }
        if (f == FIELD_COUNT) {
            continue;
        }
        uint8_t kinds = route->dialect == DIALECT_NATIVE ? fields[f].native : fields[f].v1;

        if (v.kind != SCAN_NULL && (kinds & 1u << v.kind) == 0) {
            *out_field = fields[f].name;
            return CE_JSON_TYPE;
        }
        parts->present[f] = true;
        parts->has[f] = v.kind != SCAN_NULL;
        parts->at[f] = v;
    }
    return CE_OK;
}

enum field parts_output_field(const struct route *route)
{
    switch (route->id) {
    case ROUTE_ID_V1_CHAT:
    case ROUTE_ID_V1_COMPLETIONS:
    case ROUTE_ID_V1_MESSAGES:
        return FIELD_MAX_TOKENS;
    case ROUTE_ID_V1_RESPONSES:
        return FIELD_MAX_OUTPUT_TOKENS;
    default:
        return FIELD_COUNT;
    }
}

bool parts_output_in_options(const struct route *route)
{
    return route->id == ROUTE_ID_GENERATE || route->id == ROUTE_ID_CHAT;
}

bool parts_knows_include_usage(const struct route *route)
{
    return route->id == ROUTE_ID_V1_CHAT || route->id == ROUTE_ID_V1_COMPLETIONS;
}

struct slice parts_raw_string(struct slice body, const struct scan_value *v)
{
    struct slice raw = scan_raw(body, v);

    return raw.len < 2 ? slice_of(NULL, 0) : slice_of(raw.ptr + 1, raw.len - 2);
}
