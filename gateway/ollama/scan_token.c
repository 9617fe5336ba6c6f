/*
 * Strings (RFC 8259 section 7), numbers (section 6) and the three words, checked as strictly as
 * scan.h says. Called by scan_check.c alone; pure.
 */
#include "ollama/scan_token.h"

#include "base/lane.h"
#include "base/utf8.h"
#include "ollama/scan.h"

enum {
    ESCAPE_BYTES_MAX = 12, /* a surrogate pair */
    CHAR_BYTES_MAX = 4,
    SHORT_DIGITS = 300, /* fewer cannot reach 1e308 */
};

static int byte_at(const struct scan_text *t, size_t at)
{
    return at < t->text.len ? (unsigned char)t->text.ptr[at] : -1;
}

/* Four hex digits at `at`, or -1. */
static int hex4(const struct scan_text *t, size_t at)
{
    int value = 0;

    for (size_t i = 0; i < 4; i++) {
        int digit = at + i < t->text.len ? ascii_hex(t->text.ptr[at + i]) : -1;

        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* At the 'u' of an escape. Half of a surrogate pair is no character (RFC 8259 section 8.2). */
static enum corral_err check_unicode(struct scan_text *t)
{
    int unit = hex4(t, t->at + 1);

    if (unit < 0) {
        return CE_JSON_SYNTAX;
    }
    if (unit == 0 && t->strict) {
        return CE_JSON_NUL;
    }
    t->at += 5;
    if (unit < 0xd800 || unit > 0xdfff) {
        return CE_OK;
    }
    int low = scan_text_peek(t) == '\\' && byte_at(t, t->at + 1) == 'u' ? hex4(t, t->at + 2) : -1;

    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        return t->strict ? CE_JSON_UTF8 : CE_OK; /* what follows is looked at by itself */
    }
    t->at += 6;
    return CE_OK;
}

static enum corral_err check_escape(struct scan_text *t)
{
    t->at++;
    switch (scan_text_peek(t)) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        t->at++;
        return CE_OK;
    case 'u':
        return check_unicode(t);
    default:
        return CE_JSON_SYNTAX;
    }
}

static enum corral_err check_char(struct scan_text *t)
{
    size_t width = utf8_char_len(slice_from(t->text, t->at));

    if (width == 0 && t->strict) {
        return CE_JSON_UTF8;
    }
    t->at += width == 0 ? 1 : width; /* never more: the next byte may be the closing quote */
    return CE_OK;
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

enum corral_err scan_token_string(struct scan_text *t)
{
    enum corral_err err = CE_OK;

    while (err == CE_OK) {
        t->at += lane_find(slice_from(t->text, t->at), ends_run, ends_run_here);
        int b = scan_text_peek(t);
        size_t left = t->text.len - t->at;

        if (b == '"') {
            t->at++;
            return CE_OK;
        }
        if (b == '\\') {
            err = left < ESCAPE_BYTES_MAX && !t->whole ? CE_MORE : check_escape(t);
        } else if (b >= 0x80) {
            err = left < CHAR_BYTES_MAX && !t->whole ? CE_MORE : check_char(t);
        } else if (b < 0) {
            err = t->whole ? CE_JSON_SYNTAX : CE_MORE;
        } else {
            err = b == 0 ? CE_JSON_NUL : CE_JSON_SYNTAX; /* a control byte */
        }
    }
    return err;
}

static size_t skip_digits(struct scan_text *t)
{
    size_t from = t->at;

    while (scan_text_peek(t) >= '0' && scan_text_peek(t) <= '9') {
        t->at++;
    }
    return t->at - from;
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
static enum corral_err check_number(struct scan_text *t)
{
    t->at += scan_text_peek(t) == '-' ? 1 : 0;
    size_t from = t->at;
    bool zero = scan_text_peek(t) == '0';
    size_t count = skip_digits(t);
    if (count == 0 || (zero && count > 1)) {
        return CE_JSON_SYNTAX;
    }
    if (scan_text_peek(t) == '.') {
        t->at++;
        if (skip_digits(t) == 0) {
            return CE_JSON_SYNTAX;
        }
    }
    struct slice digits = slice_of(t->text.ptr + from, t->at - from);
    int64_t exponent = 0;

    if (scan_text_peek(t) == 'e' || scan_text_peek(t) == 'E') {
        t->at++;
        bool negative = scan_text_peek(t) == '-';

        t->at += negative || scan_text_peek(t) == '+' ? 1 : 0;
        size_t start = t->at;
        if (skip_digits(t) == 0) {
            return CE_JSON_SYNTAX;
        }
        exponent = exponent_value(slice_of(t->text.ptr + start, t->at - start), negative);
    }
    if (exponent == 0 && digits.len < SHORT_DIGITS) {
        return CE_OK;
    }
    return magnitude_fits(digits, exponent) ? CE_OK : CE_JSON_SYNTAX;
}

static enum corral_err check_word(struct scan_text *t, const char *word)
{
    struct slice w = slice_str(word);

    if (!slice_starts_with(slice_from(t->text, t->at), w)) {
        return CE_JSON_SYNTAX;
    }
    t->at += w.len;
    return CE_OK;
}

static bool may_go_on(int b)
{
    return (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || b == '+' || b == '-' || b == '.' ||
           b == 'E';
}

/* Whether the literal may go on behind the end of what is known. */
static bool is_open_ended(const struct scan_text *t)
{
    size_t at = t->at;

    while (may_go_on(byte_at(t, at))) {
        at++;
    }
    return at == t->text.len;
}

enum corral_err scan_token_literal(struct scan_text *t)
{
    size_t from = t->at;
    size_t left = t->text.len - from;

    if (!t->whole && left <= SCAN_NUMBER_BYTES_MAX && is_open_ended(t)) {
        return CE_MORE;
    }
    switch (scan_text_peek(t)) {
    case 't':
        return check_word(t, "true");
    case 'f':
        return check_word(t, "false");
    case 'n':
        return check_word(t, "null");
    case '\0':
        return CE_JSON_NUL;
    default:
        break;
    }
    enum corral_err err = check_number(t);

    return err == CE_OK && t->at - from > SCAN_NUMBER_BYTES_MAX ? CE_JSON_SYNTAX : err;
}
