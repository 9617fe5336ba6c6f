/*
 * The checker: one pass over a text, without recursion, that can stop between any two bytes.
 *
 * request_reader.c feeds it a body as it arrives; scan_check of scan.h feeds it a text at once.
 * It owns nothing; the table of keys lies in the caller's arena. Pure.
 */
#include "ollama/scan_check.h"

#include "base/rand.h"
#include "base/word.h"
#include "ollama/scan_space.h"

static int peek(const struct scan_check *c)
{
    return scan_text_peek(&c->t);
}

static bool is_watched(const struct scan_check *c, size_t depth)
{
    return c->role[depth] != 0 && c->role[depth] < SCAN_ROLE_LEAF;
}

/* A value begins at `offset`. */
static enum corral_err tell_begin(struct scan_check *c, size_t offset, uint8_t *out_role)
{
    struct slice text = c->t.text;
    bool has_key = c->depth > 0 && c->in_object[c->depth];
    const struct scan_value v = {
        .kind = scan_kind_of(text.ptr[offset]),
        .key_folded = has_key && c->key_folded,
        .key_offset = has_key ? c->key_offset : offset,
        .key = has_key ? slice_of(text.ptr + c->key_offset + 1, c->key_len) : slice_of(NULL, 0),
        .offset = offset,
    };

    return c->visitor->on_begin(c->arg, c->depth, c->role[c->depth], &v, out_role);
}

static enum corral_err tell_end(struct scan_check *c, uint8_t role)
{
    return role == 0 ? CE_OK : c->visitor->on_end(c->arg, c->depth, role, c->t.at);
}

static enum corral_err open_container(struct scan_check *c, bool object, uint8_t role)
{
    if (c->depth == SCAN_DEPTH_MAX) {
        return CE_JSON_DEPTH;
    }
    c->t.at++;
    c->depth++;
    c->in_object[c->depth] = object;
    c->in_struct[c->depth] = (role & SCAN_ROLE_STRUCT) != 0;
    c->role[c->depth] = role & (uint8_t)~SCAN_ROLE_FLAGS;
    c->object_id[c->depth] = c->objects++;
    c->expect = object ? SCAN_EXPECT_FIRST_KEY : SCAN_EXPECT_FIRST_VALUE;
    return CE_OK;
}

static enum corral_err close_container(struct scan_check *c)
{
    uint8_t role = c->role[c->depth];

    c->t.at++;
    c->depth--;
    c->expect = c->depth == 0 ? SCAN_EXPECT_END : SCAN_EXPECT_NEXT;
    return tell_end(c, role);
}

static void open_string(struct scan_check *c, enum scan_expect expect, uint8_t role)
{
    c->t.at++;
    c->string_from = c->t.at;
    c->string_role = role & (uint8_t)~SCAN_ROLE_FLAGS;
    c->t.strict = (role & SCAN_ROLE_STRICT) != 0;
    c->expect = expect;
}

static enum corral_err check_literal(struct scan_check *c)
{
    size_t from = c->t.at;
    uint8_t role = 0;
    enum corral_err err = scan_token_literal(&c->t);

    if (err != CE_OK) {
        return err;
    }
    c->expect = SCAN_EXPECT_NEXT;
    if (is_watched(c, c->depth)) {
        err = tell_begin(c, from, &role);
    }
    return err == CE_OK ? tell_end(c, role & (uint8_t)~SCAN_ROLE_FLAGS) : err;
}

static enum corral_err check_value(struct scan_check *c)
{
    int b = peek(c);
    uint8_t role = c->visitor == NULL ? SCAN_ROLE_FLAGS : 0;

    if (b != '{' && b != '[' && b != '"') {
        return check_literal(c);
    }
    if (is_watched(c, c->depth)) {
        enum corral_err err = tell_begin(c, c->t.at, &role);
        if (err != CE_OK) {
            return err;
        }
    }
    if (b == '"') {
        open_string(c, SCAN_EXPECT_STRING, role);
        return CE_OK;
    }
    return open_container(c, b == '{', role);
}

/*
 * The rest of a string that is a value, as far as it is known. The visitor hears of what stands
 * before a fault, as it would if that came in a piece of its own.
 */
static enum corral_err check_string(struct scan_check *c)
{
    enum corral_err err = scan_token_string(&c->t);

    if (c->string_role != 0) {
        size_t end = err == CE_OK ? c->t.at - 1 : c->t.at;
        struct slice piece = slice_of(c->t.text.ptr + c->string_from, end - c->string_from);
        enum corral_err told =
            piece.len == 0 ? CE_OK : c->visitor->on_text(c->arg, c->string_role, piece);

        c->string_from = end;
        if (told != CE_OK) {
            return told;
        }
    }
    if (err != CE_OK) {
        return err;
    }
    c->expect = SCAN_EXPECT_NEXT;
    return tell_end(c, c->string_role);
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

static enum corral_err check_unique(struct scan_check *c, struct slice key)
{
    NOT_ZEROED char room[SCAN_KEY_BYTES_MAX];
    bool is_itself = is_folded(key);

    if (key.len > SCAN_KEY_BYTES_MAX || c->keys.count == c->keys_max) {
        return CE_JSON_KEYS;
    }
    c->key_offset = (size_t)(key.ptr - c->t.text.ptr) - 1;
    c->key_len = key.len;
    c->key_folded = is_itself;
    if (!is_itself) {
        size_t len = c->in_struct[c->depth] ? scan_key_fold(key, room, sizeof(room))
                                            : scan_key_decode(key, room, sizeof(room));

        key = slice_of(room, len);
    }
    uint64_t hash = hash_bytes_salted(key, c->object_id[c->depth]);

    return scan_keys_add(&c->keys, hash, c->arena) ? CE_OK : CE_JSON_DUPLICATE;
}

static enum corral_err check_key_string(struct scan_check *c)
{
    enum corral_err err = scan_token_string(&c->t);

    if (err != CE_OK && c->t.at - c->string_from > SCAN_KEY_BYTES_MAX) {
        return CE_JSON_KEYS;
    }
    if (err != CE_OK) {
        return err;
    }
    struct slice key = slice_of(c->t.text.ptr + c->string_from, c->t.at - 1 - c->string_from);

    c->expect = SCAN_EXPECT_COLON;
    return check_unique(c, key);
}

static enum corral_err check_key(struct scan_check *c)
{
    if (peek(c) != '"') {
        return peek(c) == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
    }
    open_string(c, SCAN_EXPECT_KEY_STRING, SCAN_ROLE_STRICT);
    return CE_OK;
}

static enum corral_err check_colon(struct scan_check *c)
{
    if (peek(c) != ':') {
        return CE_JSON_SYNTAX;
    }
    c->t.at++;
    c->expect = SCAN_EXPECT_VALUE;
    return CE_OK;
}

static enum corral_err check_next(struct scan_check *c)
{
    bool object = c->in_object[c->depth];
    int b = peek(c);

    if (b == ',') {
        c->t.at++;
        c->expect = object ? SCAN_EXPECT_KEY : SCAN_EXPECT_VALUE;
        return CE_OK;
    }
    if (b == (object ? '}' : ']')) {
        return close_container(c);
    }
    return b == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
}

/* At a byte that begins no text: a byte order mark of UTF-8 or UTF-16, or anything. */
static enum corral_err check_mark(const struct scan_check *c)
{
    static const struct slice marks[] = {SLICE_LITERAL("\xef\xbb\xbf"), SLICE_LITERAL("\xfe\xff"),
                                         SLICE_LITERAL("\xff\xfe")};
    struct slice rest = slice_from(c->t.text, c->t.at);

    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (slice_starts_with(rest, marks[i])) {
            return CE_JSON_BOM;
        }
        if (!c->t.whole && rest.len < marks[i].len && slice_starts_with(marks[i], rest)) {
            return CE_MORE;
        }
    }
    return CE_JSON_UTF8;
}

/* The top level is an object. */
static enum corral_err check_top(struct scan_check *c)
{
    int first = peek(c);

    if (first == '{') {
        return check_value(c);
    }
    if (first >= 0x80) {
        return check_mark(c);
    }
    bool other = first >= 0x20 && strchr("[\"-0123456789tfn", first) != NULL;

    return other ? CE_JSON_TYPE : first == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX;
}

/* At a byte that is no blank, or at the end of the whole text. */
static enum corral_err check_step(struct scan_check *c)
{
    switch (c->expect) {
    case SCAN_EXPECT_TOP:
        return check_top(c);
    case SCAN_EXPECT_FIRST_VALUE:
        return peek(c) == ']' ? close_container(c) : check_value(c);
    case SCAN_EXPECT_VALUE:
        return check_value(c);
    case SCAN_EXPECT_FIRST_KEY:
        return peek(c) == '}' ? close_container(c) : check_key(c);
    case SCAN_EXPECT_KEY:
        return check_key(c);
    case SCAN_EXPECT_COLON:
        return check_colon(c);
    case SCAN_EXPECT_NEXT:
        return check_next(c);
    default:
        break;
    }
    return peek(c) == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX; /* something behind the document */
}

static enum corral_err check_outside(struct scan_check *c)
{
    c->t.at = scan_skip_space(c->t.text, c->t.at);
    if (c->t.at == c->t.text.len && !c->t.whole) {
        return CE_MORE;
    }
    return check_step(c);
}

void scan_check_init(struct scan_check *c, size_t keys_max, struct arena *arena,
                     const struct scan_visitor *visitor, void *arg)
{
    c->t = (struct scan_text){.at = 0};
    c->visitor = visitor;
    c->arg = arg;
    c->arena = arena;
    c->keys_max = keys_max;
    c->depth = 0;
    c->string_from = 0;
    c->key_offset = 0;
    c->key_len = 0;
    c->objects = 0;
    c->expect = SCAN_EXPECT_TOP;
    c->string_role = 0;
    c->key_folded = false;
    c->role[0] = visitor == NULL ? 0 : 1;
    scan_keys_init(&c->keys);
}

enum corral_err scan_check_feed(struct scan_check *c, struct slice text, bool whole)
{
    enum corral_err err = CE_OK;

    c->t.text = text;
    c->t.whole = whole;
    while (err == CE_OK) {
        if (c->expect == SCAN_EXPECT_STRING) {
            err = check_string(c);
        } else if (c->expect == SCAN_EXPECT_KEY_STRING) {
            err = check_key_string(c);
        } else if (c->expect == SCAN_EXPECT_END && whole &&
                   scan_skip_space(text, c->t.at) == text.len) {
            c->t.at = text.len;
            return CE_OK;
        } else {
            err = check_outside(c);
        }
    }
    return err;
}

enum corral_err scan_check(struct slice text, size_t keys_max, struct arena *arena, size_t *out_at)
{
    NOT_ZEROED struct scan_check c;

    scan_check_init(&c, keys_max, arena, NULL, NULL);
    enum corral_err err = scan_check_feed(&c, text, true);

    if (err != CE_OK && out_at != NULL) {
        *out_at = c.t.at;
    }
    return err;
}
