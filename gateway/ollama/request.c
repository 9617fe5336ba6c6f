/*
 * What a body that was read asks for: its model, whether it streams, how much output, whether it
 * only loads or unloads. Called at the end of reading; strings are decoded into the arena.
 */
#include "ollama/request.h"

#include "ollama/request_reader.h"

struct request_rules request_rules_default(void)
{
    return (struct request_rules){
        .output_bound = -1,
        .inject_usage = true,
        .image_bytes_max = (size_t)25 * 1024 * 1024,
        .images_bytes_max = (size_t)100 * 1024 * 1024,
        .images_max = 64,
        .messages_max = 10000,
        .inputs_max = 4096,
    };
}

enum { DURATION_BYTES_MAX = 256 }; /* of keep_alive, which is dropped in any case */

static enum corral_err fail(struct request_info *info, enum field f, enum corral_err err)
{
    info->field = field_name(f);
    return err;
}

static enum corral_err read_name(const struct request_rules *rules, struct slice spelled,
                                 struct arena *arena, const struct model_name **out, bool *remote)
{
    struct model_name *name = arena_alloc_raw(arena, sizeof(*name));
    enum corral_err err = model_parse(spelled, name);

    if (err == CE_MODEL_REMOTE && rules->allow_remote) {
        *remote = true;
        err = CE_OK;
    }
    if (err == CE_OK) {
        *out = name;
    }
    return err;
}

/* Decoded; a spelling that is too long for any name becomes one that model_parse refuses. */
static struct slice read_string(const struct request_parts *p, enum field f, struct arena *arena)
{
    if (p->at[f].len > REQUEST_NAME_BYTES_MAX) {
        return SLICE_LITERAL("/");
    }
    return scan_string(p->body, &p->at[f], arena);
}

/* /api/copy has two models and neither is called `model`. */
static enum corral_err read_copy(const struct request_parts *p, const struct request_rules *rules,
                                 struct arena *arena, struct request_info *info)
{
    if (!p->has[FIELD_SOURCE] || !p->has[FIELD_DESTINATION]) {
        enum field missing = p->has[FIELD_SOURCE] ? FIELD_DESTINATION : FIELD_SOURCE;

        return fail(info, missing, CE_MODEL_MISSING);
    }
    info->spelled = read_string(p, FIELD_SOURCE, arena);
    enum corral_err err = read_name(rules, info->spelled, arena, &info->model, &info->remote);
    if (err != CE_OK) {
        return fail(info, FIELD_SOURCE, err);
    }
    struct slice second = read_string(p, FIELD_DESTINATION, arena);

    err = read_name(rules, second, arena, &info->second, &info->remote);
    return err == CE_OK ? CE_OK : fail(info, FIELD_DESTINATION, err);
}

/* The CLI sends the model in the old field `name` with `model` empty. Two that differ are a trap.
 */
static enum corral_err read_model(struct request_parts *p, const struct request_rules *rules,
                                  struct arena *arena, struct request_info *info)
{
    struct slice model = {NULL, 0};
    struct slice name = {NULL, 0};

    if (p->has[FIELD_MODEL]) {
        model = read_string(p, FIELD_MODEL, arena);
    }
    if (p->has[FIELD_NAME] && p->route->dialect == DIALECT_NATIVE) {
        name = read_string(p, FIELD_NAME, arena);
    }
    if (model.len > 0 && name.len > 0 && !slice_eq(model_trim(model), model_trim(name))) {
        return fail(info, FIELD_NAME, CE_FIELD_REFUSED);
    }
    struct slice spelled = model.len > 0 ? model : name;

    info->spelled = model_trim(spelled);
    p->model_has_blanks = info->spelled.len < spelled.len;
    if (info->spelled.len == 0) {
        return fail(info, FIELD_MODEL, CE_MODEL_MISSING);
    }
    enum corral_err err = read_name(rules, info->spelled, arena, &info->model, &info->remote);

    return err == CE_OK ? CE_OK : fail(info, FIELD_MODEL, err);
}

static enum corral_err read_stream(const struct request_parts *p, const struct request_rules *rules,
                                   struct request_info *info)
{
    const struct scan_value *asked = &p->at[FIELD_STREAM];
    struct scan_value usage;

    info->stream = p->has[FIELD_STREAM] ? asked->kind == SCAN_TRUE : p->route->streams_by_default;
    info->stream = info->stream && p->route->stream != ROUTE_STREAM_NEVER;
    if (!parts_knows_include_usage(p->route)) {
        return CE_OK;
    }
    if (p->has[FIELD_STREAM_OPTIONS] &&
        scan_find(p->body, &p->at[FIELD_STREAM_OPTIONS], SLICE_LITERAL("include_usage"), &usage)) {
        if (usage.kind != SCAN_TRUE && usage.kind != SCAN_FALSE && usage.kind != SCAN_NULL) {
            info->field = "stream_options.include_usage";
            return CE_JSON_TYPE;
        }
        info->client_asked_usage = usage.kind == SCAN_TRUE;
    }
    info->usage_injected = rules->inject_usage && info->stream && !info->client_asked_usage;
    return CE_OK;
}

/* Spelled as corral itself would: no capitals or escapes, a number of digits only. */
static bool is_plain(struct slice body, const struct scan_value *v)
{
    uint64_t unused;

    return v->key_folded && slice_parse_u64(scan_raw(body, v), &unused) == CE_OK;
}

/* 0 and below are no limit to Ollama. */
static int64_t smaller_limit(int64_t a, int64_t b)
{
    if (a <= 0 || b <= 0) {
        return a > 0 ? a : b > 0 ? b : -1;
    }
    return a < b ? a : b;
}

static enum corral_err read_output(struct request_parts *p, struct request_info *info)
{
    enum field f = parts_output_field(p->route);
    struct scan_value v;

    info->output_asked = -1;
    info->output_bound = -1;
    if (parts_output_in_options(p->route) && p->has[FIELD_OPTIONS] &&
        scan_find_exact(p->body, &p->at[FIELD_OPTIONS], SLICE_LITERAL("num_predict"), &v) &&
        v.kind != SCAN_NULL) {
        if (v.kind != SCAN_NUMBER) {
            info->field = "options.num_predict";
            return CE_JSON_TYPE;
        }
        info->output_asked = smaller_limit(scan_integer(p->body, &v), -1);
        p->output_is_plain = is_plain(p->body, &v);
    }
    if (f != FIELD_COUNT && p->has[f]) {
        info->output_asked = smaller_limit(scan_integer(p->body, &p->at[f]), -1);
    }
    if (parts_knows_include_usage(p->route) && p->has[FIELD_MAX_COMPLETION_TOKENS]) {
        int64_t also = scan_integer(p->body, &p->at[FIELD_MAX_COMPLETION_TOKENS]);

        info->output_asked = smaller_limit(info->output_asked, also);
    }
    return CE_OK;
}

/* 0, 0.0, "0", "0s", "0h0m": has digits, and none of them counts. An exponent cannot change that.
 */
static bool is_zero_duration(struct slice raw)
{
    bool digits = false;

    for (size_t i = 0; i < raw.len && raw.ptr[i] != 'e' && raw.ptr[i] != 'E'; i++) {
        if (raw.ptr[i] >= '1' && raw.ptr[i] <= '9') {
            return false;
        }
        digits = digits || raw.ptr[i] == '0';
    }
    return digits;
}

/* An empty prompt loads the model, or with keep_alive 0 unloads it for everybody. */
static void read_load(const struct request_parts *p, struct request_info *info)
{
    const struct scan_value *keep = &p->at[FIELD_KEEP_ALIVE];
    bool no_prompt = !p->has[FIELD_PROMPT] || p->at[FIELD_PROMPT].len == 2; /* its quotes */
    bool empty = (p->route->id == ROUTE_ID_GENERATE && no_prompt) ||
                 (p->route->id == ROUTE_ID_CHAT && info->messages == 0);

    info->is_load_or_unload = empty;
    info->is_unload = empty && p->has[FIELD_KEEP_ALIVE] &&
                      (keep->kind == SCAN_NUMBER || keep->kind == SCAN_STRING) &&
                      keep->len <= DURATION_BYTES_MAX && is_zero_duration(scan_raw(p->body, keep));
}

enum corral_err request_reader_finish(struct request_reader *r, struct slice body,
                                      struct arena *arena, struct request_info *out)
{
    struct request_parts *p = &r->parts;

    request_reader_measure(r, body);
    *out = r->info;
    enum corral_err err = p->route->id == ROUTE_ID_COPY ? read_copy(p, &r->rules, arena, out)
                                                        : read_model(p, &r->rules, arena, out);
    if (err == CE_OK) {
        err = read_stream(p, &r->rules, out);
    }
    if (err == CE_OK) {
        err = read_output(p, out);
    }
    if (err == CE_OK) {
        read_load(p, out);
    }
    return err;
}

enum corral_err request_read(const struct route *route, struct slice body,
                             const struct request_rules *rules, struct arena *scratch,
                             struct arena *arena, struct request_info *out)
{
    struct request_reader *r = request_reader_create(route, rules, scratch);
    enum corral_err err = request_reader_feed(r, body, true, &out->field);

    return err == CE_OK ? request_reader_finish(r, body, arena, out) : err;
}
