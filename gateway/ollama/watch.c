#include "ollama/watch.h"

#include <assert.h>

#include "base/lane.h"

enum state {
    AT_VALUE,
    AT_FIRST_VALUE,
    AT_KEY,
    AT_FIRST_KEY,
    AT_COLON,
    AT_NEXT,
    IN_STRING,
    IN_ESCAPE,
    IN_HEX,
    IN_LITERAL,
};

/* The lowest path of a mask that is not empty. */
static size_t first_of(uint32_t mask)
{
    return (size_t)__builtin_ctz(mask);
}

static size_t first_slot(const char *part)
{
    return (unsigned char)part[0] % WATCH_FIRSTS;
}

void watch_index_build(const struct watch_table *table, struct watch_index *out)
{
    *out = (struct watch_index){0};
    for (size_t i = 0; i < table->count; i++) {
        const char *const *parts = table->paths[i].parts;
        uint32_t bit = (uint32_t)1 << i;
        size_t level = 0;

        for (; level < WATCH_LEVELS && parts[level] != NULL; level++) {
            size_t len = strlen(parts[level]);

            assert(len > 0 && len <= WATCH_KEY_BYTES);
            out->lengths[level][i] = (uint8_t)len;
            out->paths[level][first_slot(parts[level])] |= bit;
        }
        out->ends[level] |= bit;
    }
}

/* Of `left`, those whose part at this level is `part`. */
static uint32_t paths_equal(const struct watch_table *table, size_t level, uint32_t left,
                            struct slice part)
{
    uint32_t mask = 0;

    for (; left != 0; left &= left - 1) {
        size_t i = first_of(left);

        if (table->index->lengths[level][i] == part.len &&
            memcmp(table->paths[i].parts[level], part.ptr, part.len) == 0) {
            mask |= left & -left;
        }
    }
    return mask;
}

/* Of the paths alive in the container around, those whose next part is `part`: mostly none. */
static uint32_t paths_matching(const struct watch *w, struct slice part)
{
    if (w->depth == 0 || w->depth > WATCH_LEVELS || part.len == 0) {
        return 0;
    }
    size_t level = w->depth - 1u;
    uint32_t left = w->live[w->depth] & w->table->index->paths[level][first_slot(part.ptr)];

    return left == 0 ? 0 : paths_equal(w->table, level, left, part);
}

/* `text`: of a string or literal, as much as is held; `len`: of all of it. */
static void report(struct watch *w, enum scan_kind kind, struct slice text, size_t len)
{
    uint32_t left = w->depth > WATCH_LEVELS ? 0 : w->matched & w->table->index->ends[w->depth];

    for (; left != 0; left &= left - 1) {
        struct watch_event event = {.path = first_of(left), .kind = kind, .text = text, .len = len};

        w->on_value(w->arg, &event);
    }
}

static bool in_object(const struct watch *w)
{
    size_t level = w->depth - 1u;

    return (w->objects[level / 64] >> level % 64 & 1u) != 0;
}

static void value_done(struct watch *w)
{
    w->ended = w->depth == 0;
    w->state = w->ended ? AT_VALUE : AT_NEXT;
}

static void open_container(struct watch *w, bool object)
{
    report(w, object ? SCAN_OBJECT : SCAN_ARRAY, slice_of(NULL, 0), 0);
    if (w->depth == WATCH_DEPTH_MAX) {
        w->broken = true;
        return;
    }
    uint64_t bit = (uint64_t)1 << w->depth % 64;

    w->objects[w->depth / 64] &= ~bit;
    w->objects[w->depth / 64] |= object ? bit : 0;
    w->depth++;
    if (w->depth <= WATCH_LEVELS) {
        w->live[w->depth] = w->matched;
    }
    w->state = object ? AT_FIRST_KEY : AT_FIRST_VALUE;
}

static void close_container(struct watch *w, char c)
{
    if (c != (in_object(w) ? '}' : ']')) {
        w->broken = true;
        return;
    }
    w->depth--;
    value_done(w);
}

/* Text of the value now read. Nobody asks for that of a string no path leads to. */
static void take(struct watch *w, struct slice bytes)
{
    if (w->matched == 0 && !w->string_is_key) {
        return;
    }
    if (w->text_len < WATCH_TEXT_BYTES) {
        size_t room = WATCH_TEXT_BYTES - w->text_len;

        memcpy(w->text + w->text_len, bytes.ptr, bytes.len < room ? bytes.len : room);
    }
    w->text_len += bytes.len;
}

/* A high surrogate whose low one did not come reads as U+FFFD, as Go has it. */
static void drop_surrogate(struct watch *w)
{
    if (w->high_surrogate != 0) {
        w->high_surrogate = 0;
        take(w, SLICE_LITERAL("\xef\xbf\xbd"));
    }
}

static void begin_string(struct watch *w, bool key)
{
    w->state = IN_STRING;
    w->string_is_key = key;
    w->text_len = 0;
    w->high_surrogate = 0;
}

static bool is_literal_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' || c == '+' || c == '-' ||
           c == '.';
}

/* What is read now is `tail` behind what is held: all of it, and how long it is. */
static struct slice whole_text(struct watch *w, struct slice tail, size_t *out_len)
{
    if (w->text_len > 0) {
        take(w, tail);
        tail = slice_of(w->text, w->text_len);
        *out_len = w->text_len;
    } else {
        *out_len = tail.len;
    }
    return slice_of(tail.ptr, tail.len < WATCH_TEXT_BYTES ? tail.len : WATCH_TEXT_BYTES);
}

/* At a closing quote, with the plain bytes `tail` before it. */
static void end_string(struct watch *w, struct slice tail)
{
    size_t len;

    drop_surrogate(w);
    struct slice text = whole_text(w, tail, &len);

    if (!w->string_is_key) {
        report(w, SCAN_STRING, text, len);
        value_done(w);
        return;
    }
    w->matched = len <= WATCH_KEY_BYTES ? paths_matching(w, text) : 0;
    w->state = AT_COLON;
}

/* Returns bytes read: a literal's first one is left to literal_run. */
static size_t begin_value(struct watch *w, char c)
{
    if (w->depth > 0 && !in_object(w)) {
        w->matched = paths_matching(w, SLICE_LITERAL("[]"));
    }
    if (c == '{' || c == '[') {
        open_container(w, c == '{');
    } else if (c == '"') {
        begin_string(w, false);
    } else if (c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n') {
        w->state = IN_LITERAL;
        w->string_is_key = true; /* its text is judged, whoever asks */
        w->text_len = 0;
        return 0;
    } else {
        w->broken = true;
    }
    return 1;
}

static bool literal_kind(struct slice text, enum scan_kind *out)
{
    switch (text.ptr[0]) {
    case 't':
        *out = SCAN_TRUE;
        return slice_eq(text, SLICE_LITERAL("true"));
    case 'f':
        *out = SCAN_FALSE;
        return slice_eq(text, SLICE_LITERAL("false"));
    case 'n':
        *out = SCAN_NULL;
        return slice_eq(text, SLICE_LITERAL("null"));
    default:
        *out = SCAN_NUMBER;
        return true;
    }
}

static void end_literal(struct watch *w, struct slice tail)
{
    enum scan_kind kind;
    size_t len;
    struct slice text = whole_text(w, tail, &len);

    if (!literal_kind(text, &kind)) {
        w->broken = true;
        return;
    }
    report(w, kind, text, len);
    value_done(w);
}

static void escape(struct watch *w, char c)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *at = c == '\0' ? NULL : strchr(from, c);

    w->state = IN_STRING;
    if (c == 'u') {
        w->state = IN_HEX;
        w->escape_digits = 0;
        w->escape_value = 0;
    } else if (at == NULL) {
        w->broken = true;
    } else {
        drop_surrogate(w);
        take(w, slice_of(&to[at - from], 1));
    }
}

static void take_point(struct watch *w, unsigned point)
{
    char out[4];

    if (point < 0x80) {
        out[0] = (char)point;
        take(w, slice_of(out, 1));
    } else if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        take(w, slice_of(out, 2));
    } else if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        take(w, slice_of(out, 3));
    } else {
        out[0] = (char)(0xf0 | point >> 18);
        out[1] = (char)(0x80 | (point >> 12 & 0x3f));
        out[2] = (char)(0x80 | (point >> 6 & 0x3f));
        out[3] = (char)(0x80 | (point & 0x3f));
        take(w, slice_of(out, 4));
    }
}

static void take_unit(struct watch *w, unsigned unit)
{
    if (unit >= 0xdc00 && unit <= 0xdfff && w->high_surrogate != 0) {
        unsigned high = w->high_surrogate;

        w->high_surrogate = 0;
        take_point(w, 0x10000 + ((high & 0x3ffu) << 10) + (unit & 0x3ffu));
        return;
    }
    drop_surrogate(w);
    if (unit >= 0xd800 && unit <= 0xdbff) {
        w->high_surrogate = (uint16_t)unit;
    } else {
        take_point(w, unit >= 0xdc00 && unit <= 0xdfff ? 0xfffd : unit);
    }
}

static void hex_digit(struct watch *w, char c)
{
    int value = ascii_hex(c);

    if (value < 0) {
        w->broken = true;
        return;
    }
    w->escape_value = (uint16_t)((unsigned)w->escape_value << 4 | (unsigned)value);
    if (++w->escape_digits == 4) {
        w->state = IN_STRING;
        take_unit(w, w->escape_value);
    }
}

/* What ends a run: a quote, a backslash or a control character. */
static lane ends_run(lane l)
{
    return lane_equal(l, '"') | lane_equal(l, '\\') | lane_below(l, 0x20);
}

static bool ends_run_here(unsigned char c)
{
    return c == '"' || c == '\\' || c < 0x20;
}

/* What nearly always follows a key, and a value in an object: read at once. Bytes read. */
static size_t after_key(struct watch *w, struct slice in)
{
    if (w->state != AT_COLON || in.len == 0 || in.ptr[0] != ':') {
        return 0;
    }
    w->state = AT_VALUE;
    if (in.len < 2 || in.ptr[1] <= ' ') {
        return 1;
    }
    if (in.ptr[1] == '"') {
        begin_string(w, false);
        return 2;
    }
    return 1 + begin_value(w, in.ptr[1]);
}

static size_t after_value(struct watch *w, struct slice in)
{
    if (w->state != AT_NEXT || in.len < 2 || in.ptr[0] != ',' || in.ptr[1] != '"' ||
        !in_object(w)) {
        return 0;
    }
    begin_string(w, true);
    return 2;
}

/* A run of plain string bytes and the one byte that ends it. Returns bytes read. */
static size_t string_run(struct watch *w, struct slice in)
{
    size_t i = lane_find(in, ends_run, ends_run_here);

    if (i < in.len && in.ptr[i] == '"') {
        end_string(w, slice_of(in.ptr, i));
        struct slice rest = slice_of(in.ptr + i + 1, in.len - i - 1);

        return i + 1 + (w->string_is_key ? after_key(w, rest) : after_value(w, rest));
    }
    if (i > 0) {
        drop_surrogate(w);
        take(w, slice_of(in.ptr, i));
    }
    if (i == in.len) {
        return i;
    }
    if (in.ptr[i] == '\\') {
        w->state = IN_ESCAPE;
    } else {
        w->broken = true;
    }
    return i + 1;
}

static size_t literal_run(struct watch *w, struct slice in)
{
    size_t i = 0;

    while (i < in.len && is_literal_byte(in.ptr[i])) {
        i++;
    }
    if (i == in.len) {
        take(w, in);
        return i;
    }
    end_literal(w, slice_of(in.ptr, i));
    return i + after_value(w, slice_of(in.ptr + i, in.len - i));
}

/* Between tokens: white space is skipped, one byte of structure is read. Returns bytes read. */
static size_t structure(struct watch *w, char c)
{
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        return 1;
    }
    bool closes = c == '}' || c == ']';

    switch ((enum state)w->state) {
    case AT_FIRST_VALUE:
        if (closes) {
            close_container(w, c);
            return 1;
        }
        return begin_value(w, c);
    case AT_VALUE:
        return begin_value(w, c);
    case AT_FIRST_KEY:
    case AT_KEY:
        if (c == '"') {
            begin_string(w, true);
        } else if (c == '}' && w->state == AT_FIRST_KEY) {
            close_container(w, c);
        } else {
            w->broken = true;
        }
        return 1;
    case AT_COLON:
        w->broken = c != ':';
        w->state = AT_VALUE;
        return 1;
    default:
        break;
    }
    if (c == ',') {
        w->state = in_object(w) ? AT_KEY : AT_VALUE;
    } else if (closes) {
        close_container(w, c);
    } else {
        w->broken = true;
    }
    return 1;
}

static size_t step(struct watch *w, struct slice in)
{
    switch ((enum state)w->state) {
    case IN_STRING:
        return string_run(w, in);
    case IN_LITERAL:
        return literal_run(w, in);
    case IN_ESCAPE:
        escape(w, in.ptr[0]);
        return 1;
    case IN_HEX:
        hex_digit(w, in.ptr[0]);
        return 1;
    default:
        return structure(w, in.ptr[0]);
    }
}

void watch_init(struct watch *w, const struct watch_table *table,
                void (*on_value)(void *arg, const struct watch_event *event), void *arg)
{
    assert(table->count <= WATCH_PATHS_MAX && table->index != NULL);
    w->table = table;
    w->on_value = on_value;
    w->arg = arg;
    watch_reset(w);
}

void watch_reset(struct watch *w)
{
    w->broken = false;
    w->ended = false;
    w->state = AT_VALUE;
    w->depth = 0;
    w->text_len = 0;
    w->high_surrogate = 0;
    w->matched = (uint32_t)(((uint64_t)1 << w->table->count) - 1);
}

size_t watch_feed(struct watch *w, struct slice bytes)
{
    size_t at = 0;

    while (at < bytes.len && !w->broken && !w->ended) {
        at += step(w, slice_of(bytes.ptr + at, bytes.len - at));
    }
    return at;
}

bool watch_inside(const struct watch *w)
{
    return !w->ended && (w->depth > 0 || w->state != AT_VALUE);
}
