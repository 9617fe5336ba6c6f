/*
 * Reading a body as it arrives: the checker of scan_check.h with a visitor that hands each value to
 * request_parts.c or request_measure.c. request.c asks at the end what came of it.
 *
 * Called by exchange/ through request.h, on the exchange's worker; everything lies in the scratch.
 */
#include "ollama/request_reader.h"

enum { IMAGE_PROMPT_BYTES = 3072 }; /* about 768 tokens, what common encoders make of an image */

static enum corral_err on_begin(void *arg, size_t depth, uint8_t around, const struct scan_value *v,
                                uint8_t *out_role)
{
    struct request_reader *r = arg;
    struct request_parts *p = &r->parts;

    switch (around) {
    case PART_TOP:
        parts_begin_root(p, v);
        *out_role = PART_ROOT | SCAN_ROLE_STRUCT;
        return CE_OK;
    case PART_ROOT:
        return parts_begin_member(p, v, out_role, &r->info.field);
    case PART_OPTIONS:
    case PART_STREAM_OPTIONS:
        parts_begin_option(p, around, v, out_role);
        return CE_OK;
    default:
        return measure_begin(p, &r->rules, around, v, &r->info, out_role);
    }
}

static bool is_image(uint8_t role)
{
    return role == PART_BASE64 || role == PART_URL;
}

static enum corral_err on_text(void *arg, uint8_t role, struct slice piece)
{
    struct request_reader *r = arg;

    return is_image(role) ? measure_text(&r->parts, &r->rules, piece, &r->info) : CE_OK;
}

static enum corral_err on_end(void *arg, size_t depth, uint8_t role, size_t end)
{
    struct request_reader *r = arg;

    if (is_image(role)) {
        return measure_image_end(&r->parts, &r->rules, &r->info);
    }
    if (depth <= 1 || role == PART_LEAF) {
        parts_end(&r->parts, depth, end);
    }
    return CE_OK;
}

static const struct scan_visitor visitor = {on_begin, on_text, on_end};

struct request_reader *request_reader_create(const struct route *route,
                                             const struct request_rules *rules,
                                             struct arena *scratch)
{
    struct request_reader *r = arena_alloc_raw(scratch, sizeof(*r));

    memset(&r->parts, 0, offsetof(struct request_parts, root)); /* the rest where it is present */
    r->parts.route = route;
    r->parts.notes = &r->notes;
    r->notes.count = 0;
    r->rules = *rules;
    r->info = (struct request_info){.parts = &r->parts};
    scan_check_init(&r->check, SCAN_KEYS_MAX, scratch, &visitor, r);
    return r;
}

enum corral_err request_reader_feed(struct request_reader *r, struct slice body, bool whole,
                                    const char **out_field)
{
    enum corral_err err = scan_check_feed(&r->check, body, whole);

    if (err == CE_JSON_TYPE && r->info.field == NULL) {
        *out_field = "the body itself, which must be an object";
    } else if (err != CE_OK && err != CE_MORE) {
        *out_field = r->info.field;
    }
    return err;
}

size_t request_reader_memory(const struct request_reader *r)
{
    return scan_keys_memory(&r->check.keys);
}

/* `input` in one piece is one input. */
static void count_inputs(struct request_reader *r)
{
    const struct request_parts *p = &r->parts;

    if (p->has[FIELD_INPUT] && p->route->id != ROUTE_ID_V1_RESPONSES &&
        p->at[FIELD_INPUT].kind != SCAN_ARRAY) {
        r->info.inputs = 1;
    }
}

void request_reader_measure(struct request_reader *r, struct slice body)
{
    parts_finish(&r->parts, body);
    count_inputs(r);
    r->info.prompt_bytes =
        body.len - r->parts.image_text + r->info.images * (size_t)IMAGE_PROMPT_BYTES;
}
