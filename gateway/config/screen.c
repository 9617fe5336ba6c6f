/*
 * Called by load.c, on whichever thread reads the configuration, before it builds a document.
 * Errors stand where the offending value does.
 */
#include "config/screen.h"

#include <assert.h>

void screen_syntax_error(struct reader *r, const yaml_parser_t *p)
{
    struct place at = {"", p->problem_mark.line + 1, p->problem_mark.column + 1};

    reader_error(r, at, "not YAML: %s", p->problem == NULL ? "unreadable" : p->problem);
}

void screen_parser_init(yaml_parser_t *p, struct slice text)
{
    int ok = yaml_parser_initialize(p);

    assert(ok == 1);
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, (const unsigned char *)text.ptr, text.len);
}

/* The bytes of a line break of YAML 1.1 at `at`; 0: there is none. */
static size_t break_len(struct slice text, size_t at)
{
    struct slice rest = slice_from(text, at);

    if (rest.ptr[0] == '\n' || rest.ptr[0] == '\r') {
        return 1;
    }
    if (slice_starts_with(rest, SLICE_LITERAL("\xc2\x85"))) {
        return 2;
    }
    return slice_starts_with(rest, SLICE_LITERAL("\xe2\x80\xa8")) ||
                   slice_starts_with(rest, SLICE_LITERAL("\xe2\x80\xa9"))
               ? 3
               : 0;
}

/* The parser compares each directive with all before it. None means anything here. */
static bool has_directive(struct reader *r, struct slice text)
{
    size_t line = 1;
    bool begins = true;

    for (size_t i = 0; i < text.len;) {
        size_t len = break_len(text, i);

        if (begins && text.ptr[i] == '%') {
            reader_error(r, (struct place){"", line, 1}, "directives (%%) are not allowed");
            return true;
        }
        begins = len > 0;
        line += text.ptr[i] == '\n' ? 1 : 0;
        i += len > 0 ? len : 1;
    }
    return false;
}

struct screen {
    struct reader *reader;
    size_t depth;
    size_t values;
    size_t documents;
};

static bool opens(const yaml_event_t *e)
{
    return e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT;
}

static bool is_anchored(const yaml_event_t *e)
{
    return e->type == YAML_ALIAS_EVENT ||
           (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor != NULL) ||
           (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor != NULL) ||
           (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor != NULL);
}

static bool is_tagged(const yaml_event_t *e)
{
    return (e->type == YAML_SCALAR_EVENT && e->data.scalar.tag != NULL) ||
           (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.tag != NULL) ||
           (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.tag != NULL);
}

static void count_event(struct screen *s, const yaml_event_t *e)
{
    s->depth += opens(e) ? 1 : 0;
    s->depth -= e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT ? 1 : 0;
    s->values += opens(e) || e->type == YAML_SCALAR_EVENT ? 1 : 0;
    s->documents += e->type == YAML_DOCUMENT_START_EVENT ? 1 : 0;
}

/* False: it makes no sense to read on. Anchors and tags make one text mean another. */
static bool judge_event(struct screen *s, const yaml_event_t *e)
{
    struct place at = {"", e->start_mark.line + 1, e->start_mark.column + 1};
    struct reader *r = s->reader;

    count_event(s, e);
    if (s->depth > SCREEN_MAX_DEPTH) {
        reader_error(r, at, "is nested more than %d levels deep", (int)SCREEN_MAX_DEPTH);
        return false;
    }
    if (s->values > SCREEN_MAX_VALUES) {
        reader_error(r, at, "the file has more than %d values", (int)SCREEN_MAX_VALUES);
        return false;
    }
    if (is_anchored(e)) {
        reader_error(r, at,
                     "anchors and aliases (& and *) are not allowed; quote the text "
                     "if a * is meant");
    } else if (is_tagged(e)) {
        reader_error(r, at, "tags (!) are not allowed");
    } else if (e->type == YAML_DOCUMENT_START_EVENT && s->documents > 1) {
        reader_error(r, at, "only one document is allowed");
    }
    return e->type != YAML_STREAM_END_EVENT && r->errors->count < CONFIG_MAX_ERRORS;
}

bool screen_text(struct reader *r, struct slice text)
{
    struct screen s = {.reader = r};
    yaml_parser_t parser;
    yaml_event_t event;
    size_t before = r->errors->count;
    bool more = true;

    if (text.len > CONFIG_MAX_BYTES) {
        reader_error(r, (struct place){"", 0, 0}, "has more than %d bytes", (int)CONFIG_MAX_BYTES);
        return false;
    }
    if (has_directive(r, text)) {
        return false;
    }
    screen_parser_init(&parser, text);
    while (more) {
        if (!yaml_parser_parse(&parser, &event)) {
            screen_syntax_error(r, &parser);
            break;
        }
        more = judge_event(&s, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return r->errors->count == before;
}
