#include "ollama/model.h"

#include <assert.h>

#define HOST "registry.ollama.ai"
#define LIBRARY "library"

enum { TEXT_MAX = MODEL_HOST_MAX + 3 * (MODEL_PART_MAX + 1) };
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
struct slice model_trim(struct slice s)
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
    struct slice tag = slice_of(s->ptr + colon + 1, s->len - colon - 1); /* "": not NULL */

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

/* types/model/name.go isValidPart. No part can be "..", since none begins with a dot. */
static bool part_valid(struct slice part, size_t max, const char *others)
{
    if (part.ptr == NULL || part.len == 0 || part.len > max ||
        !(is_alnum(part.ptr[0]) || part.ptr[0] == '_')) {
        return false;
    }
    for (size_t i = 1; i < part.len; i++) {
        char c = part.ptr[i];

        if (!is_alnum(c) && (c == '\0' || strchr(others, c) == NULL)) {
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
    if (rest.ptr == NULL || rest.len == 0 || rest.ptr[0] == '/' || rest.ptr[rest.len - 1] == '/') {
        return false;
    }
    p->model = cut_segment(&rest);
    p->space = rest.len > 0 ? cut_segment(&rest) : SLICE_LITERAL(LIBRARY);
    p->host = rest;
    return part_valid(p->model, MODEL_PART_MAX, "_-.") &&
           part_valid(p->space, MODEL_PART_MAX, "_-") &&
           part_valid(p->tag, MODEL_PART_MAX, "_-.") &&
           (rest.len == 0 || part_valid(rest, MODEL_HOST_MAX, "_-.:"));
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
    if (p->host.len > 0) {
        put(m, p->host);
        put(m, SLICE_LITERAL("/"));
    } else {
        memcpy(m->text, HOST "/", sizeof(HOST));
        m->len = sizeof(HOST);
    }
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
    struct slice rest = model_trim(spelled);

    p.tag = cut_tag(&rest);
    if (slice_eq_nocase(p.tag, SLICE_LITERAL("local"))) {
        p.tag = cut_tag(&rest);
    }
    if (p.tag.ptr == NULL) {
        p.tag = SLICE_LITERAL("latest");
    }
    if (!split(rest, &p)) {
        return CE_MODEL_NAME;
    }
    put_canonical(out, &p);
    return is_cloud(p.tag) ? CE_MODEL_REMOTE : CE_OK;
}

struct slice model_short(const struct model_name *m)
{
    const struct slice host = SLICE_LITERAL(HOST "/");
    const struct slice library = SLICE_LITERAL(LIBRARY "/");
    struct slice text = model_text(m);

    if (!slice_starts_with(text, host)) {
        return text;
    }
    text = slice_from(text, host.len);
    return slice_starts_with(text, library) ? slice_from(text, library.len) : text;
}

struct slice model_namespace(const struct model_name *m)
{
    struct slice text = model_text(m);

    text = slice_from(text, slice_find(text, '/') + 1);
    return slice_of(text.ptr, slice_find(text, '/'));
}

bool model_eq(const struct model_name *a, const struct model_name *b)
{
    return slice_eq(model_text(a), model_text(b));
}

/* Whether what stands before the first '/' can be no namespace: it has a dot or a port. */
static bool begins_with_host(struct slice pattern)
{
    struct slice first = slice_of(pattern.ptr, slice_find(pattern, '/'));

    return first.len < pattern.len &&
           (slice_find(first, '.') < first.len || slice_find(first, ':') < first.len);
}

/* The pattern with registry, namespace and tag filled in. False when it cannot fit a name. */
static bool pattern_complete(struct slice pattern, struct model_name *out)
{
    size_t slashes = 0;
    struct slice rest = pattern;

    if (pattern.len == 0 || pattern.len > MODEL_TEXT_BYTES - sizeof(HOST "/" LIBRARY "/:*")) {
        return false;
    }
    for (size_t i = 0; i < pattern.len; i++) {
        slashes += pattern.ptr[i] == '/' ? 1 : 0;
    }
    bool tagged = cut_tag(&rest).ptr != NULL;

    out->len = 0;
    if (slashes < 2 && !begins_with_host(pattern)) {
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
    NOT_ZEROED struct model_name full;

    pattern = model_trim(pattern);
    if (slice_eq_str(pattern, "*")) {
        return true;
    }
    return pattern_complete(pattern, &full) && wildcard_match(model_text(&full), model_text(m));
}
