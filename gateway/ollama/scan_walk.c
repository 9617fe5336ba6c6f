#include "base/utf8.h"
#include "ollama/scan.h"
#include "ollama/scan_space.h"

enum { CHAR_BYTES = 4 };

/* From an opening quote to behind the closing one, or to the end of the text. */
static size_t skip_string(struct slice text, size_t at)
{
    size_t from = at + 1;

    while (from < text.len) {
        const char *quote = memchr(text.ptr + from, '"', text.len - from);

        if (quote == NULL) {
            return text.len;
        }
        size_t end = (size_t)(quote - text.ptr);
        size_t slashes = 0;

        while (end - slashes > from && text.ptr[end - slashes - 1] == '\\') {
            slashes++;
        }
        from = end + 1;
        if (slashes % 2 == 0) {
            return from;
        }
    }
    return text.len;
}

static size_t skip_container(struct slice text, size_t at)
{
    /* What a walk stops at; a table, because token arrays are a megabyte of nothing else. */
    static const bool stops[256] = {
        ['"'] = true, ['{'] = true, ['['] = true, ['}'] = true, [']'] = true};
    size_t depth = 0;

    for (;;) {
        while (at < text.len && !stops[(unsigned char)text.ptr[at]]) {
            at++;
        }
        if (at >= text.len) {
            return text.len;
        }
        char b = text.ptr[at];

        if (b == '"') {
            at = skip_string(text, at);
            continue;
        }
        at++;
        if (b == '{' || b == '[') {
            depth++;
        } else if (--depth == 0) {
            return at;
        }
    }
}

static size_t skip_literal(struct slice text, size_t at)
{
    while (at < text.len && !scan_is_blank((unsigned char)text.ptr[at]) && text.ptr[at] != ',' &&
           text.ptr[at] != '}' && text.ptr[at] != ']') {
        at++;
    }
    return at;
}

enum scan_kind scan_kind_of(char first)
{
    switch (first) {
    case '{':
        return SCAN_OBJECT;
    case '[':
        return SCAN_ARRAY;
    case '"':
        return SCAN_STRING;
    case 't':
        return SCAN_TRUE;
    case 'f':
        return SCAN_FALSE;
    case 'n':
        return SCAN_NULL;
    default:
        return SCAN_NUMBER;
    }
}

/* The value that begins at `at` < text.len; returns where it ends. */
static size_t read_value(struct slice text, size_t at, struct scan_value *out)
{
    size_t end;

    out->kind = scan_kind_of(text.ptr[at]);
    out->offset = at;
    switch (out->kind) {
    case SCAN_STRING:
        end = skip_string(text, at);
        break;
    case SCAN_OBJECT:
    case SCAN_ARRAY:
        end = skip_container(text, at);
        break;
    default:
        end = skip_literal(text, at);
    }
    out->len = end - at;
    return end;
}

struct scan_value scan_root(struct slice text)
{
    struct scan_value root = {.kind = SCAN_NULL};
    size_t at = scan_skip_space(text, 0);

    if (at < text.len) {
        read_value(text, at, &root);
        root.key_offset = at;
    }
    return root;
}

struct scan_value scan_noted(struct slice text, const struct scan_notes *notes, uint32_t number)
{
    const struct scan_note *n = &notes->at[number];
    bool member = n->key_offset != n->offset;

    return (struct scan_value){
        .kind = (enum scan_kind)n->kind,
        .key_folded = n->key_folded,
        .tag = n->tag,
        .first = n->first,
        .key_offset = n->key_offset,
        .key = member ? slice_of(text.ptr + n->key_offset + 1, n->key_len) : slice_of(NULL, 0),
        .offset = n->offset,
        .len = n->len,
        .notes = notes,
    };
}

struct scan_cursor scan_open(struct slice text, const struct scan_value *container)
{
    bool open = container->kind == SCAN_OBJECT || container->kind == SCAN_ARRAY;

    if (!open || container->len < 2) {
        return (struct scan_cursor){0};
    }
    if (container->first != 0) {
        return (struct scan_cursor){
            .text = text, .notes = container->notes, .note = container->first};
    }
    return (struct scan_cursor){
        .text = slice_of(text.ptr, container->offset + container->len - 1),
        .at = container->offset + 1,
        .in_object = container->kind == SCAN_OBJECT,
    };
}

/* The key and its colon; false when there is none. */
static bool read_key(struct scan_cursor *c, struct scan_value *out)
{
    if (c->text.ptr[c->at] != '"') {
        return false;
    }
    size_t end = skip_string(c->text, c->at);

    out->key_offset = c->at;
    out->key = slice_of(c->text.ptr + c->at + 1, end - c->at >= 2 ? end - c->at - 2 : 0);
    end = scan_skip_space(c->text, end);
    if (end >= c->text.len || c->text.ptr[end] != ':') {
        return false;
    }
    c->at = scan_skip_space(c->text, end + 1);
    return c->at < c->text.len;
}

static void next_noted(struct scan_cursor *c, struct scan_value *out)
{
    *out = scan_noted(c->text, c->notes, c->note);
    c->note = c->notes->at[c->note].next;
}

static bool next_walked(struct scan_cursor *c, struct scan_value *out)
{
    struct scan_value v = {0};

    c->at = scan_skip_space(c->text, c->at);
    if (c->started && c->at < c->text.len && c->text.ptr[c->at] == ',') {
        c->at = scan_skip_space(c->text, c->at + 1);
    }
    c->started = true;
    if (c->at >= c->text.len || (c->in_object && !read_key(c, &v))) {
        c->at = c->text.len;
        return false;
    }
    size_t end = read_value(c->text, c->at, &v);

    if (end == c->at) { /* no value at all: text that nobody checked */
        c->at = c->text.len;
        return false;
    }
    c->at = end;
    if (!c->in_object) {
        v.key_offset = v.offset;
    }
    *out = v;
    return true;
}

bool scan_next(struct scan_cursor *c, struct scan_value *out)
{
    if (c->notes == NULL) {
        return next_walked(c, out);
    }
    if (c->note == 0) {
        return false;
    }
    next_noted(c, out);
    return true;
}

/* Of checked text, and harmless on any other. */
static unsigned hex4(const char *p)
{
    unsigned value = 0;

    for (size_t i = 0; i < 4; i++) {
        value = value << 4 | ((unsigned)ascii_hex(p[i]) & 15u);
    }
    return value;
}

static size_t utf8_put(unsigned point, char out[static CHAR_BYTES])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

static char short_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* One character of a string's inside: raw or escaped. Moves *at; returns its bytes. */
static size_t decode_char(struct slice raw, size_t *at, char out[static CHAR_BYTES])
{
    const char *p = raw.ptr + *at;
    size_t left = raw.len - *at;

    if (p[0] != '\\' || left < 2) {
        size_t width = utf8_char_len(slice_of(p, left));

        width = width == 0 ? 1 : width;
        memcpy(out, p, width);
        *at += width;
        return width;
    }
    if (p[1] != 'u' || left < 6) {
        out[0] = short_escape(p[1]);
        *at += 2;
        return 1;
    }
    unsigned point = hex4(p + 2);

    *at += 6;
    if (point >= 0xd800 && point <= 0xdbff && left >= 12) {
        point = 0x10000 + ((point & 0x3ff) << 10) + (hex4(p + 8) & 0x3ff);
        *at += 6;
    }
    return utf8_put(point, out);
}

/* As Go's foldName does for names made of ASCII letters. */
static size_t fold_char(char c[static CHAR_BYTES], size_t len)
{
    if (len == 3 && memcmp(c, "\xe2\x84\xaa", 3) == 0) { /* KELVIN SIGN */
        c[0] = 'k';
        return 1;
    }
    if (len == 2 && memcmp(c, "\xc5\xbf", 2) == 0) { /* LATIN SMALL LETTER LONG S */
        c[0] = 's';
        return 1;
    }
    c[0] = ascii_lower(c[0]);
    return len;
}

/* The leading part of a key that needs no decoding: ASCII without escapes, which most keys are. */
static size_t fold_plain(struct slice key, char *out, size_t room)
{
    size_t n = 0;

    while (n < key.len && n < room && (unsigned char)key.ptr[n] < 0x80 && key.ptr[n] != '\\') {
        out[n] = ascii_lower(key.ptr[n]);
        n++;
    }
    return n;
}

size_t scan_key_fold(struct slice key, char *out, size_t room)
{
    size_t n = fold_plain(key, out, room);
    char c[CHAR_BYTES];

    for (size_t at = n; at < key.len;) {
        size_t len = fold_char(c, decode_char(key, &at, c));

        if (room - n < len) {
            break;
        }
        memcpy(out + n, c, len);
        n += len;
    }
    return n;
}

size_t scan_key_decode(struct slice key, char *out, size_t room)
{
    size_t n = 0;
    char c[CHAR_BYTES];

    for (size_t at = 0; at < key.len;) {
        size_t len = decode_char(key, &at, c);

        if (room - n < len) {
            break;
        }
        memcpy(out + n, c, len);
        n += len;
    }
    return n;
}

bool scan_key_decodes_to(const struct scan_value *v, struct slice name)
{
    NOT_ZEROED char decoded[64];

    if (v->key.ptr == NULL || v->key.len < name.len) { /* decoding never makes a key longer */
        return false;
    }
    return slice_eq(slice_of(decoded, scan_key_decode(v->key, decoded, sizeof(decoded))), name);
}

bool scan_key_folds_to(const struct scan_value *v, struct slice name)
{
    NOT_ZEROED char folded[64];

    /* Folding never makes a key longer, and a plain first letter stays what it is. */
    if (v->key.ptr == NULL || v->key.len < name.len || name.len == 0) {
        return false;
    }
    if (ascii_is_letter(v->key.ptr[0]) && ascii_lower(v->key.ptr[0]) != name.ptr[0]) {
        return false;
    }
    return slice_eq(slice_of(folded, scan_key_fold(v->key, folded, sizeof(folded))), name);
}

bool scan_find(struct slice text, const struct scan_value *object, struct slice name,
               struct scan_value *out)
{
    struct scan_cursor c = scan_open(text, object);
    struct scan_value v;

    while (scan_next(&c, &v)) {
        if (scan_key_is(&v, name)) {
            *out = v;
            return true;
        }
    }
    return false;
}

bool scan_find_exact(struct slice text, const struct scan_value *object, struct slice name,
                     struct scan_value *out)
{
    struct scan_cursor c = scan_open(text, object);
    struct scan_value v;

    while (scan_next(&c, &v)) {
        if (scan_key_equals(&v, name)) {
            *out = v;
            return true;
        }
    }
    return false;
}

struct slice scan_string(struct slice text, const struct scan_value *v, struct arena *arena)
{
    struct slice raw = scan_raw(text, v);

    raw = raw.len >= 2 ? slice_of(raw.ptr + 1, raw.len - 2) : slice_of(NULL, 0);
    if (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL) {
        return raw;
    }
    char *out = arena_alloc(arena, raw.len + CHAR_BYTES); /* decoding never grows */
    size_t n = 0;

    for (size_t at = 0; at < raw.len;) {
        n += decode_char(raw, &at, out + n);
    }
    return slice_of(out, n);
}

/* The exponent of a number, clamped to what can matter beside `digits` digits. */
static int64_t read_exponent(struct slice raw)
{
    int64_t value = 0;
    size_t at = 0;

    while (at < raw.len && raw.ptr[at] != 'e' && raw.ptr[at] != 'E') {
        at++;
    }
    bool negative = at + 1 < raw.len && raw.ptr[at + 1] == '-';

    for (at++; at < raw.len && value < INT32_MAX; at++) {
        if (raw.ptr[at] >= '0' && raw.ptr[at] <= '9') {
            value = value * 10 + (raw.ptr[at] - '0');
        }
    }
    return negative ? -value : value;
}

static int64_t whole_digits(struct slice raw)
{
    int64_t count = 0;

    while ((size_t)count < raw.len && raw.ptr[count] >= '0' && raw.ptr[count] <= '9') {
        count++;
    }
    return count;
}

int64_t scan_integer(struct slice text, const struct scan_value *v)
{
    struct slice raw = scan_raw(text, v);
    bool negative = raw.len > 0 && raw.ptr[0] == '-';
    uint64_t value = 0;

    raw = negative ? slice_from(raw, 1) : raw;
    int64_t take = whole_digits(raw) + read_exponent(raw);
    size_t at = 0;
    bool zero = true;
    while (take > 0 && value <= INT64_MAX / 10) {
        at += at < raw.len && raw.ptr[at] == '.' ? 1 : 0;
        bool digit = at < raw.len && raw.ptr[at] >= '0' && raw.ptr[at] <= '9';

        value = value * 10 + (digit ? (uint64_t)(raw.ptr[at] - '0') : 0);
        zero = zero && value == 0;
        if (!digit && zero) {
            return 0;
        }
        at += digit ? 1 : 0;
        take--;
    }
    if (take > 0 || value > INT64_MAX) {
        return negative ? INT64_MIN : INT64_MAX;
    }
    return negative ? -(int64_t)value : (int64_t)value;
}
