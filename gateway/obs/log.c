#include "obs/log.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/utf8.h"
#include "base/word.h"
#include "obs/log_ring.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

bool log_enabled(const struct log_source *source, enum log_level level)
{
    return source != NULL && level >= log_source_level(source);
}

static void put(struct log_line *line, struct slice bytes)
{
    if (bytes.len > sizeof(line->text) - 2 - line->len) {
        line->overflow = true;
        return;
    }
    if (bytes.len > 0) {
        memcpy(line->text + line->len, bytes.ptr, bytes.len);
        line->len += bytes.len;
    }
}

static void put_str(struct log_line *line, const char *text)
{
    put(line, slice_str(text));
}

static bool plain_char(unsigned char c)
{
    return c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
}

/* Nearly every value is: ASCII without quotes, backslashes and control characters. */
static bool all_plain(struct slice s)
{
    size_t i = 0;

    while (s.len - i >= WORD_BYTES) {
        uint64_t word = word_load(s.ptr + i);

        if ((word_equal(word, '"') | word_equal(word, '\\') | word_equal(word, 0x7f) |
             word_below(word, 0x20) | (word & WORD_TOPS)) != 0) {
            return false;
        }
        i += WORD_BYTES;
    }
    while (i < s.len && (unsigned char)s.ptr[i] < 0x80 && plain_char((unsigned char)s.ptr[i])) {
        i++;
    }
    return i == s.len;
}

/* U+0080 to U+009F: a terminal may take U+009B for the beginning of a command. */
static bool is_control_pair(struct slice s)
{
    return s.len >= 2 && (unsigned char)s.ptr[0] == 0xc2 && (unsigned char)s.ptr[1] < 0xa0;
}

static void put_escaped(struct log_line *line, struct slice s)
{
    size_t plain = 0;
    size_t i = 0;

    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x80 && plain_char(c)) {
            i++;
            continue;
        }
        size_t width = utf8_char_len(slice_from(s, i));
        bool pair = width == 2 && is_control_pair(slice_from(s, i));
        char text[8];

        if (width > 0 && plain_char(c) && !pair) {
            i += width;
            continue;
        }
        put(line, slice_of(s.ptr + plain, i - plain));
        i += pair ? 1 : 0;
        c = (unsigned char)s.ptr[i];
        snprintf(text, sizeof(text), "\\u%04x", width == 0 ? 0xfffdu : c);
        put_str(line, text);
        plain = ++i;
    }
    put(line, slice_from(s, plain));
}

/* A member whose value needs no escaping, quoted or not: nearly all there are. */
static void put_member(struct log_line *line, const char *key, struct slice value, bool quoted)
{
    size_t key_len = strlen(key);
    char *at = line->text + line->len;

    if (key_len + value.len + 6 > sizeof(line->text) - 2 - line->len) {
        line->overflow = true;
        return;
    }
    memcpy(at, ",\"", 2);
    memcpy(at + 2, key, key_len);
    at += 2 + key_len;
    memcpy(at, "\":", 2);
    at += 2;
    if (quoted) {
        *at++ = '"';
    }
    if (value.len > 0) {
        memcpy(at, value.ptr, value.len);
        at += value.len;
    }
    if (quoted) {
        *at++ = '"';
    }
    line->len = (size_t)(at - line->text);
}

void log_begin(struct log_line *line, struct log_source *source, enum log_level level,
               const char *event)
{
    char stamp[CLOCK_STAMP_BYTES];

    line->source = log_enabled(source, level) ? source : NULL;
    line->len = 0;
    line->overflow = false;
    if (line->source == NULL) {
        return;
    }
    clock_stamp(clock_wall_ms(), stamp);
    put_str(line, "{\"time\":\"");
    put_str(line, stamp);
    put_str(line, "\",\"level\":\"");
    put_str(line, level_names[level]);
    put_str(line, "\",\"event\":\"");
    put_str(line, event);
    put_str(line, "\"");
}

/* A value that does not fit is left out as a whole, so that the line stays JSON. */
void log_text(struct log_line *line, const char *key, struct slice value)
{
    size_t before = line->len;

    if (line->source == NULL || line->overflow) {
        return;
    }
    if (all_plain(value)) {
        put_member(line, key, value, true);
        return;
    }
    put_member(line, key, SLICE_LITERAL("\""), false);
    put_escaped(line, value);
    put_str(line, "\"");
    if (line->overflow) {
        line->len = before;
    }
}

void log_str(struct log_line *line, const char *key, const char *value)
{
    log_text(line, key, slice_str(value));
}

static void put_raw(struct log_line *line, const char *key, struct slice value)
{
    if (line->source != NULL && !line->overflow) {
        put_member(line, key, value, false);
    }
}

void log_u64(struct log_line *line, const char *key, uint64_t value)
{
    char room[DECIMAL_BYTES];
    const char *digits = decimal_before(room + sizeof(room), value);

    put_raw(line, key, slice_of(digits, (size_t)(room + sizeof(room) - digits)));
}

void log_bool(struct log_line *line, const char *key, bool value)
{
    put_raw(line, key, value ? SLICE_LITERAL("true") : SLICE_LITERAL("false"));
}

void log_seconds(struct log_line *line, const char *key, uint64_t us)
{
    enum { MICROS = 6 };
    char room[DECIMAL_BYTES + 1 + MICROS];
    char *point = room + DECIMAL_BYTES;
    const char *digits = decimal_before(point, us / 1000000u);

    *point = '.';
    decimal_fixed(point + 1, us, MICROS);
    put_raw(line, key, slice_of(digits, (size_t)(room + sizeof(room) - digits)));
}

void log_end(struct log_line *line)
{
    if (line->source == NULL) {
        return;
    }
    line->text[line->len++] = '}';
    line->text[line->len++] = '\n';
    log_source_put(line->source, slice_of(line->text, line->len));
}

void log_event(struct log_source *source, enum log_level level, const char *event,
               const char *detail_key, const char *detail)
{
    struct log_line line;

    log_begin(&line, source, level, event);
    log_str(&line, detail_key, detail);
    log_end(&line);
}
