#include "ollama/scan.h"

#include "base/lane.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "base/word.h"
#include "ollama/scan_notes.h"
#include "ollama/scan_space.h"

enum {
    SET_FIRST = 64,
    SHORT_DIGITS = 300, /* fewer cannot reach 1e308 */
};

/* 64-bit keyed hashes stand for the keys: a collision would refuse a body, never let one pass. */
struct key_set {
    uint64_t *slots; /* the checker's own first, then in the arena; 0 is free */
    size_t capacity; /* a power of two */
    size_t count;
};

enum expect { EXPECT_VALUE, EXPECT_FIRST_VALUE, EXPECT_KEY, EXPECT_FIRST_KEY, EXPECT_NEXT };

struct checker {
    struct slice text;
    size_t at;
    enum expect expect;
    size_t depth;
    bool in_object[SCAN_DEPTH_MAX + 1];
    uint32_t object_id[SCAN_DEPTH_MAX + 1];
    uint32_t objects;
    size_t keys_max;
    struct key_set set;
    uint64_t first_slots[SET_FIRST];
    struct arena *arena;
    struct noting noting;
    uint32_t key_offset; /* of the member to come */
    uint32_t key_len;
    bool key_folded;
};

static void set_place(struct key_set *set, uint64_t hash)
{
    size_t i = hash & (set->capacity - 1);

    while (set->slots[i] != 0) {
        i = (i + 1) & (set->capacity - 1);
    }
    set->slots[i] = hash;
}

static void set_grow(struct key_set *set, struct arena *arena)
{
    struct key_set bigger = {.capacity = set->capacity * 2, .count = set->count};

    bigger.slots = arena_alloc(arena, bigger.capacity * sizeof(*bigger.slots));
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i] != 0) {
            set_place(&bigger, set->slots[i]);
        }
    }
    *set = bigger;
}

/* False when it was there. */
static bool set_add(struct key_set *set, uint64_t hash, struct arena *arena)
{
    hash = hash == 0 ? 1 : hash;
    if (set->count * 2 >= set->capacity) {
        set_grow(set, arena);
    }
    size_t i = hash & (set->capacity - 1);
    while (set->slots[i] != 0) {
        if (set->slots[i] == hash) {
            return false;
        }
        i = (i + 1) & (set->capacity - 1);
    }
    set->slots[i] = hash;
    set->count++;
    return true;
}

static int byte_at(const struct checker *c, size_t at)
{
    return at < c->text.len ? (unsigned char)c->text.ptr[at] : -1;
}

static int peek(const struct checker *c)
{
    return byte_at(c, c->at);
}

static void skip_space(struct checker *c)
{
    c->at = scan_skip_space(c->text, c->at);
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hex digits at `at`, or -1. */
static int hex4(const struct checker *c, size_t at)
{
    int value = 0;

    for (size_t i = 0; i < 4; i++) {
        int digit = hex_value(byte_at(c, at + i));

        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* At the 'u' of an escape. A high surrogate must be followed by its low one (RFC 8259 section 7).
 */
static enum corral_err check_unicode(struct checker *c)
{
    int unit = hex4(c, c->at + 1);

    if (unit < 0) {
        return CE_JSON_SYNTAX;
    }
    if (unit == 0) {
        return CE_JSON_NUL;
    }
    c->at += 5;
    if (unit < 0xd800 || unit > 0xdfff) {
        return CE_OK;
    }
    int low = peek(c) == '\\' && byte_at(c, c->at + 1) == 'u' ? hex4(c, c->at + 2) : -1;

    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        return CE_JSON_UTF8;
    }
    c->at += 6;
    return CE_OK;
}

static enum corral_err check_escape(struct checker *c)
{
    c->at++;
    switch (peek(c)) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        c->at++;
        return CE_OK;
    case 'u':
        return check_unicode(c);
    default:
        return CE_JSON_SYNTAX;
    }
}

/* What ends a run: a quote, a backslash, a control character, all but ASCII. */
static lane ends_run(lane l)
{
    return lane_equal(l, '"') | lane_equal(l, '\\') | lane_below(l, 0x20) | lane_high(l);
}

static bool ends_run_here(unsigned char c)
{
    return c == '"' || c == '\\' || c < 0x20 || c >= 0x80;
}

/* At the opening quote; leaves behind the closing one. */
static enum corral_err check_string(struct checker *c)
{
    enum corral_err err = CE_OK;

    c->at++;
    while (err == CE_OK) {
        c->at += lane_find(slice_from(c->text, c->at), ends_run, ends_run_here);
        int b = peek(c);
        if (b == '"') {
            c->at++;
            return CE_OK;
        }
        if (b == '\\') {
            err = check_escape(c);
        } else if (b >= 0x80) {
            size_t width = utf8_char_len(slice_from(c->text, c->at));

            err = width == 0 ? CE_JSON_UTF8 : CE_OK;
            c->at += width;
        } else {
            err = b == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX; /* a control byte, or the end */
        }
    }
    return err;
}

static size_t skip_digits(struct checker *c)
{
    size_t from = c->at;

    while (peek(c) >= '0' && peek(c) <= '9') {
        c->at++;
    }
    return c->at - from;
}

/* The exponent's value, clamped: what counts is far smaller. */
static int64_t exponent_value(struct slice digits, bool negative)
{
    int64_t value = 0;

    for (size_t i = 0; i < digits.len && value < INT32_MAX; i++) {
        value = value * 10 + (digits.ptr[i] - '0');
    }
    return negative ? -value : value;
}

/*
 * Whether digits (with an optional point) times 10^exponent stay below 1.7976931348623158e308.
 * Go refuses what overflows a double; the borderline below one unit in the last place is ours.
 */
static bool magnitude_fits(struct slice digits, int64_t exponent)
{
    static const char max[] = "17976931348623157";
    char lead[sizeof(max) - 1];
    size_t n = 0;
    int64_t power = exponent - 1; /* of ten, of the first digit that is not zero */
    bool after_point = false;

    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] == '.') {
            after_point = true;
            continue;
        }
        bool counts = n > 0 || digits.ptr[i] != '0';

        if (counts && n < sizeof(lead)) {
            lead[n++] = digits.ptr[i];
        }
        power += !after_point && counts ? 1 : 0;
        power -= after_point && !counts ? 1 : 0;
    }
    if (n == 0 || power < 308) {
        return true;
    }
    return power == 308 && memcmp(lead, max, n) <= 0;
}

/* RFC 8259 section 6. */
static enum corral_err check_number(struct checker *c)
{
    c->at += peek(c) == '-' ? 1 : 0;
    size_t from = c->at;
    bool zero = peek(c) == '0';
    size_t count = skip_digits(c);
    if (count == 0 || (zero && count > 1)) {
        return CE_JSON_SYNTAX;
    }
    if (peek(c) == '.') {
        c->at++;
        if (skip_digits(c) == 0) {
            return CE_JSON_SYNTAX;
        }
    }
    struct slice digits = slice_of(c->text.ptr + from, c->at - from);
    int64_t exponent = 0;

    if (peek(c) == 'e' || peek(c) == 'E') {
        c->at++;
        bool negative = peek(c) == '-';

        c->at += negative || peek(c) == '+' ? 1 : 0;
        size_t start = c->at;
        if (skip_digits(c) == 0) {
            return CE_JSON_SYNTAX;
        }
        exponent = exponent_value(slice_of(c->text.ptr + start, c->at - start), negative);
    }
    if (exponent == 0 && digits.len < SHORT_DIGITS) {
        return CE_OK;
    }
    return magnitude_fits(digits, exponent) ? CE_OK : CE_OVERFLOW;
}

static enum corral_err check_word(struct checker *c, const char *word)
{
    struct slice w = slice_str(word);

    if (!slice_starts_with(slice_from(c->text, c->at), w)) {
        return CE_JSON_SYNTAX;
    }
    c->at += w.len;
    return CE_OK;
}

/* A value begins here: its note, or 0. */
static uint32_t note_here(struct checker *c, char first_byte)
{
    uint32_t number = note_value(&c->noting, c->depth);

    if (number != 0) {
        struct scan_note *note = &c->noting.notes->at[number];
        bool has_key = c->depth > 0 && c->in_object[c->depth];

        /* Member by member: a struct that is copied whole waits for its parts to be stored. */
        note->key_offset = has_key ? c->key_offset : (uint32_t)c->at;
        note->key_len = has_key ? c->key_len : 0;
        note->key_folded = has_key && c->key_folded;
        note->kind = (uint8_t)scan_kind_of(first_byte);
        note->offset = (uint32_t)c->at;
    }
    return number;
}

static enum corral_err open_container(struct checker *c, bool object, uint32_t note)
{
    if (c->depth == SCAN_DEPTH_MAX) {
        return CE_JSON_DEPTH;
    }
    c->at++;
    c->depth++;
    c->in_object[c->depth] = object;
    c->object_id[c->depth] = c->objects++;
    c->expect = object ? EXPECT_FIRST_KEY : EXPECT_FIRST_VALUE;
    note_open(&c->noting, c->depth, note);
    return CE_OK;
}

static void close_container(struct checker *c)
{
    c->at++;
    note_close(&c->noting, c->depth, c->at);
    c->depth--;
    c->expect = EXPECT_NEXT;
}

static enum corral_err check_number_size(struct checker *c)
{
    enum corral_err err = check_number(c);

    return err == CE_OVERFLOW ? CE_JSON_SYNTAX : err;
}

static enum corral_err check_scalar(struct checker *c)
{
    switch (peek(c)) {
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    case '\0':
        return CE_JSON_NUL;
    default:
        return check_number_size(c);
    }
}

static enum corral_err check_value(struct checker *c)
{
    int b = peek(c);
    uint32_t note = note_here(c, (char)b);

    c->expect = EXPECT_NEXT;
    if (b == '{' || b == '[') {
        return open_container(c, b == '{', note);
    }
    enum corral_err err = check_scalar(c);

    note_end(&c->noting, note, c->at);
    return err;
}

/* Whether a key is what folding makes of it: ASCII without escapes and capitals, as most are. */
static bool is_folded(struct slice key)
{
    size_t i = 0;

    while (key.len - i >= WORD_BYTES) {
        uint64_t word = word_load(key.ptr + i);

        if (((word & WORD_TOPS) | word_between(word, 'A', 'Z') | word_equal(word, '\\')) != 0) {
            return false;
        }
        i += WORD_BYTES;
    }
    while (i < key.len && (unsigned char)key.ptr[i] < 0x80 && key.ptr[i] != '\\' &&
           ascii_lower(key.ptr[i]) == key.ptr[i]) {
        i++;
    }
    return i == key.len;
}

static enum corral_err check_unique(struct checker *c, struct slice key)
{
    NOT_ZEROED char folded[SCAN_KEY_BYTES_MAX];
    bool is_itself = is_folded(key);

    if (key.len > SCAN_KEY_BYTES_MAX || c->set.count == c->keys_max) {
        return CE_JSON_KEYS;
    }
    c->key_offset = (uint32_t)(key.ptr - c->text.ptr - 1);
    c->key_len = (uint32_t)key.len;
    c->key_folded = is_itself;
    if (!is_itself) {
        key = slice_of(folded, scan_key_fold(key, folded, sizeof(folded)));
    }
    uint64_t hash = hash_bytes_salted(key, c->object_id[c->depth]);

    return set_add(&c->set, hash, c->arena) ? CE_OK : CE_JSON_DUPLICATE;
}

static enum corral_err check_key(struct checker *c)
{
    size_t from = c->at + 1;

    if (peek(c) != '"') {
        return peek(c) == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
    }
    enum corral_err err = check_string(c);
    if (err != CE_OK) {
        return err;
    }
    err = check_unique(c, slice_of(c->text.ptr + from, c->at - 1 - from));
    if (err != CE_OK) {
        return err;
    }
    skip_space(c);
    if (peek(c) != ':') {
        return CE_JSON_SYNTAX;
    }
    c->at++;
    c->expect = EXPECT_VALUE;
    return CE_OK;
}

static enum corral_err check_next(struct checker *c)
{
    bool object = c->in_object[c->depth];
    int b = peek(c);

    if (b == ',') {
        c->at++;
        c->expect = object ? EXPECT_KEY : EXPECT_VALUE;
        return CE_OK;
    }
    if (b == (object ? '}' : ']')) {
        close_container(c);
        return CE_OK;
    }
    return b == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
}

static enum corral_err check_step(struct checker *c)
{
    switch (c->expect) {
    case EXPECT_FIRST_VALUE:
        if (peek(c) == ']') {
            close_container(c);
            return CE_OK;
        }
        return check_value(c);
    case EXPECT_VALUE:
        return check_value(c);
    case EXPECT_FIRST_KEY:
        if (peek(c) == '}') {
            close_container(c);
            return CE_OK;
        }
        return check_key(c);
    case EXPECT_KEY:
        return check_key(c);
    case EXPECT_NEXT:
        break;
    }
    return check_next(c);
}

/* The top level: an object, and nothing behind it. */
static enum corral_err check_document(struct checker *c)
{
    skip_space(c);
    int first = peek(c);
    if (first != '{') {
        bool other = first >= 0x20 && first < 0x80 && strchr("[\"-0123456789tfn", first) != NULL;

        if (first >= 0x80) {
            return CE_JSON_UTF8; /* a BOM, most likely */
        }
        return other ? CE_JSON_TYPE : first == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
    }
    enum corral_err err = check_value(c);
    while (err == CE_OK && c->depth > 0) {
        skip_space(c);
        err = check_step(c);
    }
    if (err != CE_OK) {
        return err;
    }
    skip_space(c);
    return c->at == c->text.len ? CE_OK : peek(c) == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
}

static enum corral_err check_all(struct checker *c)
{
    c->set = (struct key_set){.slots = c->first_slots, .capacity = SET_FIRST};
    return check_document(c);
}

enum corral_err scan_check(struct slice text, size_t keys_max, struct arena *arena, size_t *out_at)
{
    struct checker c = {.text = text, .keys_max = keys_max, .arena = arena};
    enum corral_err err = check_all(&c);

    if (err != CE_OK && out_at != NULL) {
        *out_at = c.at;
    }
    return err;
}

enum corral_err scan_check_noting(struct slice text, struct arena *arena, struct scan_notes *notes,
                                  struct scan_value *out_root)
{
    struct checker c = {.text = text, .keys_max = SCAN_KEYS_MAX, .arena = arena};

    notes->count = 0;
    c.noting.notes = text.len <= UINT32_MAX ? notes : NULL;
    enum corral_err err = check_all(&c);

    if (err == CE_OK) {
        *out_root = c.noting.notes == NULL ? scan_root(text) : scan_noted(text, notes, 1);
    }
    return err;
}
