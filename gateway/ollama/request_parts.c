/*
 * The known fields of a body: which type each must have, and where they stand. Called by the
 * visitor in request_reader.c while a body is checked; owns nothing.
 *
 * Members that corral does not know are never changed, so a run of them is taken down as one note:
 * the notes have room for everything, however many members a body has.
 */
#include "ollama/request_parts.h"

#include <stdio.h>

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
    [FIELD_TOOLS] = NAMED("tools", IS_ANY, IS_ANY),
    [FIELD_MAX_TOKENS] = NAMED("max_tokens", IS_ANY, IS_NUMBER),
    [FIELD_MAX_COMPLETION_TOKENS] = NAMED("max_completion_tokens", IS_ANY, IS_NUMBER),
    [FIELD_MAX_OUTPUT_TOKENS] = NAMED("max_output_tokens", IS_ANY, IS_NUMBER),
};

const char *field_name(enum field f)
{
    return fields[f].name;
}

/*
 * Options of Ollama's Runner struct: a changed one makes it load the model again. `options` is a
 * map to Ollama: another spelling of a name is another name, which it does not know.
 */
#define OPTION(name, bit)                                                                          \
    {                                                                                              \
        name, sizeof(name) - 1, bit                                                                \
    }
static const struct {
    const char *name;
    uint8_t len;
    unsigned bit;
} runner_options[] = {
    OPTION("num_ctx", REQUEST_NUM_CTX),
    OPTION("num_batch", REQUEST_NUM_BATCH),
    OPTION("num_gpu", REQUEST_NUM_GPU),
    OPTION("main_gpu", REQUEST_MAIN_GPU),
    OPTION("use_mmap", REQUEST_USE_MMAP),
    OPTION("num_thread", REQUEST_NUM_THREAD),
    OPTION("draft_num_predict", REQUEST_DRAFT_NUM_PREDICT),
};

/* Known options and num_predict; each member, a run before each and one behind the last. */
enum { OPTION_NOTES = 2 * (ARRAY_LEN(runner_options) + 1) + 1, USAGE_NOTES = 3 };
_Static_assert(1 + 2 * FIELD_COUNT + 1 + OPTION_NOTES + USAGE_NOTES <= SCAN_NOTES_MAX,
               "there is a note for every known member, and for every run of unknown ones");

unsigned parts_runner_option(const struct scan_value *member)
{
    for (size_t i = 0; i < ARRAY_LEN(runner_options); i++) {
        if (scan_key_equals(member, slice_of(runner_options[i].name, runner_options[i].len))) {
            return runner_options[i].bit;
        }
    }
    return 0;
}

const char *parts_option_name(unsigned bit)
{
    size_t i = 0;

    while (runner_options[i].bit != bit) {
        i++;
    }
    return runner_options[i].name;
}

static enum field field_of(const struct scan_value *member)
{
    NOT_ZEROED char folded[32];
    struct slice key = member->key;

    if (!member->key_folded) {
        key = slice_of(folded, scan_key_fold(key, folded, sizeof(folded)));
    }

    for (unsigned f = 0; f < FIELD_COUNT; f++) {
        if (key.len == fields[f].len && key.ptr[0] == fields[f].name[0] &&
            memcmp(key.ptr, fields[f].name, key.len) == 0) {
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

/* A note for a value; one that corral does not know (0) prolongs the run before it. */
static uint32_t take_down(struct scan_notes *notes, struct part_list *list,
                          const struct scan_value *v, uint8_t tag)
{
    bool known = tag != 0;

    if (!known && list->in_run) {
        return list->last;
    }
    uint32_t number = ++notes->count;

    notes->at[number] = (struct scan_note){
        .key_offset = (uint32_t)v->key_offset,
        .key_len = (uint32_t)v->key.len,
        .offset = (uint32_t)v->offset,
        .kind = (uint8_t)v->kind,
        .key_folded = v->key_folded,
        .tag = tag,
    };
    if (list->last != 0) {
        notes->at[list->last].next = number;
    } else if (list->holder != 0) {
        notes->at[list->holder].first = number;
    }
    list->last = number;
    list->in_run = !known;
    return number;
}

/* Which of its values the visitor shall be shown. */
static uint8_t role_of(const struct request_parts *p, enum field f, enum scan_kind kind)
{
    bool responses = p->route->id == ROUTE_ID_V1_RESPONSES;

    if (kind == SCAN_OBJECT && f == FIELD_OPTIONS) {
        return PART_OPTIONS;
    }
    if (kind == SCAN_OBJECT && f == FIELD_STREAM_OPTIONS) {
        return PART_STREAM_OPTIONS | SCAN_ROLE_STRUCT;
    }
    if (f <= FIELD_DESTINATION) {
        return PART_LEAF | SCAN_ROLE_STRICT; /* a model's name */
    }
    if (kind != SCAN_ARRAY) {
        return PART_LEAF;
    }
    switch (f) {
    case FIELD_MESSAGES:
        return PART_MESSAGES;
    case FIELD_INPUT:
        return responses ? PART_ITEMS : PART_INPUTS;
    case FIELD_IMAGES:
        return p->route->dialect == DIALECT_NATIVE ? PART_IMAGES : PART_LEAF;
    case FIELD_TOOLS:
        return PART_TOOLS;
    default:
        return PART_LEAF;
    }
}

enum corral_err parts_begin_member(struct request_parts *p, const struct scan_value *v,
                                   uint8_t *out_role, const char **out_field)
{
    enum field f = field_of(v);

    if (is_private(v)) {
        snprintf(p->refused, sizeof(p->refused), "%.*s", SLICE_ARG(v->key));
        *out_field = p->refused;
        return CE_FIELD_REFUSED;
    }
    uint32_t note = take_down(p->notes, &p->members, v, f == FIELD_COUNT ? 0 : (uint8_t)(f + 1));

    *out_role = PART_LEAF;
    if (f == FIELD_COUNT) {
        return CE_OK;
    }
    uint8_t kinds = p->route->dialect == DIALECT_NATIVE ? fields[f].native : fields[f].v1;

    if (v->kind != SCAN_NULL && (kinds & 1u << v->kind) == 0) {
        *out_field = fields[f].name;
        return CE_JSON_TYPE;
    }
    p->present[f] = true;
    p->has[f] = v->kind != SCAN_NULL;
    p->note[f] = note;
    *out_role = role_of(p, f, v->kind);
    if (v->kind == SCAN_OBJECT && (f == FIELD_OPTIONS || f == FIELD_STREAM_OPTIONS)) {
        p->options = (struct part_list){.holder = note};
    }
    return CE_OK;
}

void parts_begin_option(struct request_parts *p, uint8_t around, const struct scan_value *v,
                        uint8_t *out_role)
{
    bool known = around != PART_OPTIONS && scan_key_is(v, SLICE_LITERAL("include_usage"));

    if (around == PART_OPTIONS && scan_key_equals(v, SLICE_LITERAL("num_predict"))) {
        known = true;
    } else if (around == PART_OPTIONS && parts_runner_option(v) != 0) {
        known = true;
        p->has_runner_options = true;
    }
    take_down(p->notes, &p->options, v, known ? 1 : 0);
    *out_role = PART_LEAF;
}

void parts_begin_root(struct request_parts *p, const struct scan_value *v)
{
    p->members = (struct part_list){0};
    p->members.holder = take_down(p->notes, &p->members, v, 1);
    p->members.last = 0;
}

void parts_end(struct request_parts *p, size_t depth, size_t end)
{
    uint32_t number = depth == 0   ? p->members.holder
                      : depth == 1 ? p->members.last
                                   : p->options.last;
    struct scan_note *note = &p->notes->at[number];

    note->len = (uint32_t)end - note->offset;
}

void parts_finish(struct request_parts *p, struct slice body)
{
    p->body = body;
    p->root = scan_noted(body, p->notes, p->members.holder);
    for (unsigned f = 0; f < FIELD_COUNT; f++) {
        if (p->present[f]) {
            p->at[f] = scan_noted(body, p->notes, p->note[f]);
        }
    }
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
