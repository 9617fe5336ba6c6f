#include <assert.h>

#include "base/decimal.h"
#include "ollama/request.h"
#include "ollama/request_changes.h"
#include "ollama/request_parts.h"

enum { NUMBER_TEXT = 64 };

struct rewrite {
    const struct request_parts *parts;
    const struct request_rules *rules;
    struct arena *arena;
    struct slice output; /* `"max_tokens":64`; empty: left as it is */
    struct slice model;  /* `"model":"x"`, from the old field `name`, or trimmed; empty: stays */
    bool wants_usage;
};

static struct slice number_member(struct arena *arena, const char *key, int64_t value)
{
    char room[NUMBER_TEXT];
    size_t len = strlen(key);
    char *at = room + sizeof(room);

    assert(value >= 0 && len + 3 + DECIMAL_BYTES <= sizeof(room));
    at = decimal_before(at, (uint64_t)value);
    *--at = ':';
    *--at = '"';
    at -= len;
    memcpy(at, key, len);
    *--at = '"';
    return arena_copy(arena, slice_of(at, (size_t)(room + sizeof(room) - at)));
}

static struct slice joined(struct arena *arena, const struct slice *pieces, size_t count)
{
    size_t len = 0;
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        len += pieces[i].len;
    }
    char *text = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0) {
            memcpy(text + at, pieces[i].ptr, pieces[i].len);
        }
        at += pieces[i].len;
    }
    return slice_of(text, len);
}

/* a, b or a,b: members to be put in. */
static struct slice members(struct arena *arena, struct slice a, struct slice b)
{
    if (a.len == 0 || b.len == 0) {
        return a.len == 0 ? b : a;
    }
    const struct slice pieces[] = {a, SLICE_LITERAL(","), b};

    return joined(arena, pieces, ARRAY_LEN(pieces));
}

/* What the output shall be bound by; -1: nothing, or the route knows no bound. */
static int64_t output_value(const struct rewrite *w, int64_t asked)
{
    const struct request_parts *p = w->parts;
    bool known = parts_output_in_options(p->route) || parts_output_field(p->route) != FIELD_COUNT;
    bool mapped = parts_knows_include_usage(p->route) && p->has[FIELD_MAX_COMPLETION_TOKENS];
    int64_t value = w->rules->output_bound == 0 ? 1 : w->rules->output_bound;

    if (!known || (value < 0 && !(mapped && asked > 0))) {
        return -1;
    }
    return asked > 0 && (value < 0 || asked < value) ? asked : value;
}

/* Empty when there is nothing to be written, or it stands there in these very words. */
static struct slice output_member(const struct rewrite *w, int64_t value, int64_t asked)
{
    bool in_options = parts_output_in_options(w->parts->route);

    if (value < 0 || (in_options && w->parts->output_is_plain && value == asked)) {
        return slice_of(NULL, 0);
    }
    return number_member(
        w->arena, in_options ? "num_predict" : field_name(parts_output_field(w->parts->route)),
        value);
}

static enum splice_act decide_num_ctx(const struct rewrite *w, const struct scan_value *v,
                                      struct slice *with)
{
    int64_t asked = v->kind == SCAN_NUMBER ? scan_integer(w->parts->body, v) : 0;

    if (asked <= 0 || w->rules->num_ctx_max <= 0) {
        return SPLICE_DROP;
    }
    if (asked <= w->rules->num_ctx_max) {
        return SPLICE_KEEP;
    }
    *with = number_member(w->arena, "num_ctx", w->rules->num_ctx_max);
    return SPLICE_REPLACE;
}

static enum splice_act decide_option(void *arg, const struct scan_value *member, struct slice *with)
{
    const struct rewrite *w = arg;

    if (w->output.len > 0 && parts_output_in_options(w->parts->route) &&
        scan_key_equals(member, SLICE_LITERAL("num_predict"))) {
        *with = w->output;
        return SPLICE_REPLACE;
    }
    unsigned bit = parts_runner_option(member);

    if (bit == REQUEST_NUM_CTX) {
        return decide_num_ctx(w, member, with);
    }
    return bit == 0 || (w->rules->allowed_options & bit) != 0 ? SPLICE_KEEP : SPLICE_DROP;
}

static enum splice_act decide_usage(void *arg, const struct scan_value *member, struct slice *with)
{
    if (!scan_key_is(member, SLICE_LITERAL("include_usage"))) {
        return SPLICE_KEEP;
    }
    *with = SLICE_LITERAL("\"include_usage\":true");
    return SPLICE_REPLACE;
}

static struct slice usage_member(void)
{
    return SLICE_LITERAL("\"stream_options\":{\"include_usage\":true}");
}

static struct slice options_member(const struct rewrite *w)
{
    const struct slice pieces[] = {SLICE_LITERAL("\"options\":{"), w->output, SLICE_LITERAL("}")};

    return joined(w->arena, pieces, ARRAY_LEN(pieces));
}

static enum splice_act replace_if(struct slice text, struct slice *with)
{
    *with = text;
    return text.len > 0 ? SPLICE_REPLACE : SPLICE_KEEP;
}

static enum splice_act decide_name(const struct rewrite *w, struct slice *with)
{
    if (w->model.len == 0) {
        return SPLICE_KEEP;
    }
    return w->parts->present[FIELD_MODEL] ? SPLICE_DROP : replace_if(w->model, with);
}

/* Options that stood as null have no object to put the bound into. */
static enum splice_act decide_options(const struct rewrite *w, struct slice *with)
{
    if (w->parts->has[FIELD_OPTIONS] || w->output.len == 0 ||
        !parts_output_in_options(w->parts->route)) {
        return SPLICE_KEEP;
    }
    return replace_if(options_member(w), with);
}

static enum splice_act decide_top(void *arg, const struct scan_value *member, struct slice *with)
{
    const struct rewrite *w = arg;
    enum field f = field_noted(member);

    switch (f) {
    case FIELD_KEEP_ALIVE:
    case FIELD_INSECURE:
        return SPLICE_DROP;
    case FIELD_SHIFT:
        return (w->rules->allowed_options & REQUEST_SHIFT) != 0 ? SPLICE_KEEP : SPLICE_DROP;
    case FIELD_MAX_COMPLETION_TOKENS:
        return parts_knows_include_usage(w->parts->route) ? SPLICE_DROP : SPLICE_KEEP;
    case FIELD_MAX_TOKENS:
    case FIELD_MAX_OUTPUT_TOKENS:
        return f == parts_output_field(w->parts->route) ? replace_if(w->output, with) : SPLICE_KEEP;
    case FIELD_MODEL:
        return replace_if(w->model, with);
    case FIELD_NAME:
        return decide_name(w, with);
    case FIELD_OPTIONS:
        return decide_options(w, with);
    case FIELD_STREAM_OPTIONS:
        return w->wants_usage && !w->parts->has[f] ? replace_if(usage_member(), with) : SPLICE_KEEP;
    default:
        return SPLICE_KEEP;
    }
}

static struct slice added_top(const struct rewrite *w)
{
    enum field f = parts_output_field(w->parts->route);
    struct slice output = {NULL, 0};
    struct slice usage = {NULL, 0};

    if (w->output.len > 0 && f != FIELD_COUNT && !w->parts->present[f]) {
        output = w->output;
    }
    if (w->output.len > 0 && f == FIELD_COUNT && !w->parts->present[FIELD_OPTIONS]) {
        output = options_member(w);
    }
    if (w->wants_usage && !w->parts->present[FIELD_STREAM_OPTIONS]) {
        usage = usage_member();
    }
    return members(w->arena, output, usage);
}

static void rewrite_options(struct rewrite *w, struct splice_list *list)
{
    const struct scan_value *options = &w->parts->at[FIELD_OPTIONS];
    struct splice_rule rule = {.decide = decide_option, .arg = w};
    struct scan_value found;

    if (!w->parts->has[FIELD_OPTIONS] || options->kind != SCAN_OBJECT) {
        return;
    }
    if (w->output.len > 0 && parts_output_in_options(w->parts->route) &&
        !scan_find_exact(w->parts->body, options, SLICE_LITERAL("num_predict"), &found)) {
        rule.added = w->output;
    }
    splice_object(list, w->parts->body, options, &rule, w->arena);
}

static void rewrite_usage(struct rewrite *w, struct splice_list *list)
{
    const struct scan_value *options = &w->parts->at[FIELD_STREAM_OPTIONS];
    struct splice_rule rule = {.decide = decide_usage, .arg = w};
    struct scan_value found;

    if (!w->wants_usage || !w->parts->has[FIELD_STREAM_OPTIONS]) {
        return;
    }
    if (!scan_find(w->parts->body, options, SLICE_LITERAL("include_usage"), &found)) {
        rule.added = SLICE_LITERAL("\"include_usage\":true");
    }
    splice_object(list, w->parts->body, options, &rule, w->arena);
}

/* Only the old field names the model. */
static bool is_old_name(const struct request_parts *p)
{
    bool empty = !p->has[FIELD_MODEL] || p->at[FIELD_MODEL].len == 2;

    return empty && p->has[FIELD_NAME] && p->route->dialect == DIALECT_NATIVE &&
           p->route->id != ROUTE_ID_COPY;
}

/* What was judged; a name that is one needs no escapes. */
static struct slice model_member(const struct request_parts *p, const struct request_info *info,
                                 struct arena *arena)
{
    const struct slice pieces[] = {SLICE_LITERAL("\"model\":\""), info->spelled,
                                   SLICE_LITERAL("\"")};

    return is_old_name(p) || p->model_has_blanks ? joined(arena, pieces, ARRAY_LEN(pieces))
                                                 : slice_of(NULL, 0);
}

/* ---- what is said about it ---- */

static void note_options(struct rewrite *w, struct changes *c)
{
    struct scan_cursor cursor = scan_open(w->parts->body, &w->parts->at[FIELD_OPTIONS]);
    struct scan_value member;
    struct slice with;

    while (w->parts->has_runner_options && scan_next(&cursor, &member)) {
        unsigned bit = parts_runner_option(&member);
        enum splice_act act =
            bit == 0 || member.kind == SCAN_NULL ? SPLICE_KEEP : decide_option(w, &member, &with);

        if (act == SPLICE_DROP) {
            changes_add(c, "options", parts_option_name(bit), "dropped");
        } else if (act == SPLICE_REPLACE) {
            changes_add_number(c, "options", parts_option_name(bit), "clamped",
                               w->rules->num_ctx_max);
        }
    }
}

static void note_output(const struct rewrite *w, const struct request_info *info, struct changes *c)
{
    bool in_options = parts_output_in_options(w->parts->route);
    const char *within = in_options ? "options" : NULL;
    const char *name = w->output.len == 0 ? NULL
                       : in_options       ? "num_predict"
                                          : field_name(parts_output_field(w->parts->route));

    if (name != NULL && info->output_bound != info->output_asked) {
        changes_add_number(c, within, name, "bounded", info->output_bound);
    }
    if (parts_knows_include_usage(w->parts->route) && w->parts->has[FIELD_MAX_COMPLETION_TOKENS]) {
        changes_add(c, NULL, field_name(FIELD_MAX_COMPLETION_TOKENS), "renamed=max_tokens");
    }
}

/*
 * Not said: a null that goes, since it is as good as absent, and the usage that is asked for in the
 * client's place, since it is taken out of the answer again.
 */
static struct slice describe(struct rewrite *w, const struct request_info *info)
{
    static const enum field top[] = {FIELD_KEEP_ALIVE, FIELD_SHIFT, FIELD_INSECURE};
    NOT_ZEROED struct changes c;
    struct slice with;

    c.len = 0;
    for (size_t i = 0; i < ARRAY_LEN(top); i++) {
        const struct scan_value *member = &w->parts->at[top[i]];

        if (w->parts->has[top[i]] && decide_top(w, member, &with) == SPLICE_DROP) {
            changes_add(&c, NULL, field_name(top[i]), "dropped");
        }
    }
    if (w->model.len > 0) {
        bool old = is_old_name(w->parts);

        changes_add(&c, NULL, field_name(old ? FIELD_NAME : FIELD_MODEL),
                    old ? "renamed=model" : "trimmed");
    }
    note_options(w, &c);
    note_output(w, info, &c);
    return c.len == 0 ? slice_of(NULL, 0) : arena_copy(w->arena, changes_text(&c));
}

static const struct splice *kept_splices(const struct splice_list *list, struct arena *arena)
{
    struct splice *kept = arena_alloc_raw(arena, list->count * sizeof(*kept));

    for (size_t i = 0; i < list->count; i++) {
        kept[i] = list->items[i];
    }
    return kept;
}

void request_rewrite(struct request_info *info, const struct request_rules *rules,
                     struct arena *arena)
{
    const struct request_parts *p = info->parts;
    NOT_ZEROED struct splice items[REQUEST_SPLICES_MAX];
    struct splice_list list = {.items = items, .max = REQUEST_SPLICES_MAX};
    struct rewrite w = {.parts = p, .rules = rules, .arena = arena};

    w.wants_usage = info->usage_injected;
    w.model = model_member(p, info, arena);
    info->output_bound = output_value(&w, info->output_asked);
    w.output = output_member(&w, info->output_bound, info->output_asked);
    struct splice_rule top = {.decide = decide_top, .arg = &w, .added = added_top(&w)};

    splice_object(&list, p->body, &p->root, &top, arena);
    rewrite_options(&w, &list);
    rewrite_usage(&w, &list);
    splice_sort(&list);
    info->splices = kept_splices(&list, arena);
    info->splice_count = list.count;
    info->changed = describe(&w, info);
}

size_t splice_total(size_t body_len, const struct request_info *info)
{
    size_t total = body_len;

    for (size_t i = 0; i < info->splice_count; i++) {
        total += info->splices[i].with.len;
        total -= info->splices[i].len;
    }
    return total;
}

static size_t at_most(size_t len, size_t max)
{
    return len < max ? len : max;
}

bool splice_next(struct slice body, const struct request_info *info, struct splice_pos *pos,
                 size_t max, struct slice *out)
{
    for (;;) {
        bool last = pos->index == info->splice_count;
        size_t until = last ? body.len : info->splices[pos->index].offset;

        if (pos->offset < until) {
            *out = slice_of(body.ptr + pos->offset, at_most(until - pos->offset, max));
            pos->offset += out->len;
            return true;
        }
        if (last) {
            return false;
        }
        const struct splice *s = &info->splices[pos->index];

        if (pos->inserted < s->with.len) {
            *out = slice_of(s->with.ptr + pos->inserted, at_most(s->with.len - pos->inserted, max));
            pos->inserted += out->len;
            return true;
        }
        pos->inserted = 0;
        pos->offset = s->offset + s->len;
        pos->index++;
    }
}
