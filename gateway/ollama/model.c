#include "ollama/model.h"

#include <assert.h>

#define HOST "registry.ollama.ai"
#define LIBRARY "library"

enum { TEXT_MAX = sizeof(HOST) + 3 * (MODEL_PART_MAX + 1) };
static_assert((int)TEXT_MAX <= (int)MODEL_TEXT_BYTES, "a canonical name fits");

struct parts {
    struct slice host; /* empty: the default */
    struct slice space;
    struct slice model;
    struct slice tag;
};

/* Position of the last `byte`, or s.len. */
static size_t find_last(struct slice s, char byte)
{
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] == byte) {
            return i - 1;
        }
    }
    return s.len;
}

/* What unicode.IsSpace trims and a name may be framed by, as far as it is ASCII. */
static struct slice trim(struct slice s)
{
    static const char space[] = " \t\r\n\v\f";

    while (s.len > 0 && memchr(space, s.ptr[0], sizeof(space) - 1) != NULL) {
        s = slice_of(s.ptr + 1, s.len - 1);
    }
    while (s.len > 0 && memchr(space, s.ptr[s.len - 1], sizeof(space) - 1) != NULL) {
        s.len--;
    }
    return s;
}

/* Takes the tag off `s`: what follows the last ':' unless a '/' comes later. */
static struct slice cut_tag(struct slice *s)
{
    size_t colon = find_last(*s, ':');

    if (colon == s->len || slice_find(slice_from(*s, colon), '/') < s->len - colon) {
        return slice_of(NULL, 0);
    }
    struct slice tag = trim(slice_from(*s, colon + 1));

    s->len = colon;
    return tag;
}

static bool is_cloud(struct slice tag)
{
    static const struct slice suffix = SLICE_LITERAL("-cloud");

    return slice_eq_nocase(tag, SLICE_LITERAL("cloud")) ||
           (tag.len > suffix.len && slice_eq_nocase(slice_from(tag, tag.len - suffix.len), suffix));
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* types/model/name.go isValidPart, and no "..": no reader of paths may be tempted. */
static bool part_valid(struct slice part, bool dots)
{
    if (part.len == 0 || part.len > MODEL_PART_MAX ||
        !(is_alnum(part.ptr[0]) || part.ptr[0] == '_')) {
        return false;
    }
    for (size_t i = 1; i < part.len; i++) {
        char c = part.ptr[i];
        bool dot = c == '.' && dots && part.ptr[i - 1] != '.';

        if (!is_alnum(c) && c != '_' && c != '-' && !dot) {
            return false;
        }
    }
    return true;
}

/* Takes what follows the last '/' off `s`; without one, all of it. */
static struct slice cut_segment(struct slice *s)
{
    size_t slash = find_last(*s, '/');
    struct slice segment = slash == s->len ? *s : slice_from(*s, slash + 1);

    s->len = slash == s->len ? 0 : slash;
    return segment;
}

static bool split(struct slice rest, struct parts *p)
{
    bool slash_ends = rest.len > 0 && (rest.ptr[0] == '/' || rest.ptr[rest.len - 1] == '/');

    if (slash_ends) {
        return false;
    }
    p->model = cut_segment(&rest);
    p->space = rest.len > 0 ? cut_segment(&rest) : SLICE_LITERAL(LIBRARY);
    if (rest.len > 0 && !slice_eq_nocase(rest, SLICE_LITERAL(HOST))) {
        return false;
    }
    return part_valid(p->model, true) && part_valid(p->space, false) && part_valid(p->tag, true);
}

static void put(struct model_name *m, struct slice text)
{
    assert(m->len + text.len <= sizeof(m->text));
    for (size_t i = 0; i < text.len; i++) {
        m->text[m->len++] = ascii_lower(text.ptr[i]);
    }
}

static void put_canonical(struct model_name *m, const struct parts *p)
{
    m->len = 0;
    put(m, SLICE_LITERAL(HOST "/"));
    put(m, p->space);
    put(m, SLICE_LITERAL("/"));
    put(m, p->model);
    put(m, SLICE_LITERAL(":"));
    put(m, p->tag);
}

enum corral_err model_parse(struct slice spelled, struct model_name *out)
{
    struct parts p = {0};

    if (spelled.len > MODEL_SPELLED_MAX) {
        return CE_MODEL_NAME;
    }
    struct slice rest = trim(spelled);
    bool has_colon = slice_find(rest, ':') < rest.len;

    p.tag = cut_tag(&rest);
    if (slice_eq_nocase(p.tag, SLICE_LITERAL("local"))) {
        rest = trim(rest);
        has_colon = slice_find(rest, ':') < rest.len;
        p.tag = cut_tag(&rest);
    }
    if (!has_colon) {
        p.tag = SLICE_LITERAL("latest");
    }
    bool valid = split(rest, &p);
    if (is_cloud(p.tag)) {
        if (valid) {
            put_canonical(out, &p);
        }
        return valid ? CE_MODEL_REMOTE : CE_MODEL_NAME;
    }
    if (valid) {
        put_canonical(out, &p);
    }
    return valid ? CE_OK : CE_MODEL_NAME;
}

struct slice model_short(const struct model_name *m)
{
    struct slice text = slice_from(model_text(m), sizeof(HOST));
    struct slice library = SLICE_LITERAL(LIBRARY "/");

    return slice_starts_with(text, library) ? slice_from(text, library.len) : text;
}

struct slice model_namespace(const struct model_name *m)
{
    struct slice text = slice_from(model_text(m), sizeof(HOST));

    return slice_of(text.ptr, slice_find(text, '/'));
}

bool model_eq(const struct model_name *a, const struct model_name *b)
{
    return slice_eq(model_text(a), model_text(b));
}

/* The pattern with registry, namespace and tag filled in. False when it cannot fit a name. */
static bool pattern_complete(struct slice pattern, struct model_name *out)
{
    size_t slashes = 0;
    struct slice rest = pattern;

    if (pattern.len == 0 || pattern.len > MODEL_SPELLED_MAX - sizeof(HOST "/" LIBRARY ":*")) {
        return false;
    }
    for (size_t i = 0; i < pattern.len; i++) {
        slashes += pattern.ptr[i] == '/' ? 1 : 0;
    }
    bool tagged = cut_tag(&rest).ptr != NULL || rest.len < pattern.len;

    out->len = 0;
    if (slashes < 2) {
        put(out, SLICE_LITERAL(HOST "/"));
    }
    if (slashes < 1) {
        put(out, SLICE_LITERAL(LIBRARY "/"));
    }
    put(out, pattern);
    if (!tagged) {
        put(out, SLICE_LITERAL(":*"));
    }
    return true;
}

/*
 * Each literal between two stars is taken at its first place: if any match exists, that one does.
 * memmem is linear (two-way search), so is this.
 */
static bool wildcard_match(struct slice pattern, struct slice text)
{
    size_t head = slice_find(pattern, '*');

    if (head == pattern.len) {
        return slice_eq(pattern, text);
    }
    size_t last = find_last(pattern, '*');
    struct slice tail = slice_from(pattern, last + 1);

    if (text.len < head + tail.len || !slice_starts_with(text, slice_of(pattern.ptr, head)) ||
        !slice_ends_with(text, tail)) {
        return false;
    }
    struct slice middle = slice_of(pattern.ptr + head, last - head);
    struct slice room = slice_of(text.ptr + head, text.len - head - tail.len);

    while (middle.len > 0) {
        middle = slice_of(middle.ptr + 1, middle.len - 1);
        size_t len = slice_find(middle, '*');
        const char *at = len == 0 ? room.ptr : memmem(room.ptr, room.len, middle.ptr, len);

        if (at == NULL) {
            return false;
        }
        room.len -= (size_t)(at - room.ptr) + len;
        room.ptr = at + len;
        middle = slice_of(middle.ptr + len, middle.len - len);
    }
    return true;
}

bool model_pattern_matches(struct slice pattern, const struct model_name *m)
{
    struct model_name full;

    pattern = trim(pattern);
    if (slice_eq_str(pattern, "*")) {
        return true;
    }
    return pattern_complete(pattern, &full) && wildcard_match(model_text(&full), model_text(m));
}
