#include "obs/log.h"

#include "base/clock.h"
#include "base/decimal.h"
#include "base/lane.h"
#include "base/utf8.h"
#include "obs/log_ring.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

bool log_enabled(const struct log_source *source, enum log_level level)
{
    return source != NULL && level >= log_source_level(source);
}

/* Behind the limit: a number or the quotes of a member that just fitted, and the end of the line.
 */
enum { SLACK = 64 };

static void put_end(struct log_line *line, const char *at)
{
    line->len = (size_t)(at - line->text);
}

static char *put_literal(char *at, const char *text)
{
    size_t len = strlen(text);

    memcpy(at, text, len);
    return at + len;
}

/* What must be escaped, or looked at as UTF-8: quotes, backslashes, controls, all but ASCII. */
static lane not_plain(lane l)
{
    return lane_below(l, 0x20) | lane_equal(l, '"') | lane_equal(l, '\\') | lane_equal(l, 0x7f) |
           lane_high(l);
}

/* What a line shows as it is; a terminal or an editor may take hidden ones for commands. */
static bool plain_char(struct slice c)
{
    return c.ptr[0] != '"' && c.ptr[0] != '\\' && !utf8_is_hidden(c);
}

/* Returns the place behind, or NULL: there is no room before `end`. */
NO_INLINE static char *put_escaped(char *at, const char *end, struct slice s)
{
    char escaped[UTF8_ESCAPE_BYTES];
    size_t i = 0;

    while (i < s.len) {
        size_t width = utf8_char_len(slice_from(s, i));
        struct slice c = width == 0 ? SLICE_LITERAL("\xef\xbf\xbd") : slice_of(s.ptr + i, width);

        i += width == 0 ? 1 : width;
        if (width == 0 || !plain_char(c)) {
            c = slice_of(escaped, utf8_escape(c, escaped));
        }
        if ((size_t)(end - at) < c.len) {
            return NULL;
        }
        memcpy(at, c.ptr, c.len);
        at += c.len;
    }
    return at;
}

void log_begin(struct log_line *line, struct log_source *source, enum log_level level,
               const char *event)
{
    line->source = log_enabled(source, level) ? source : NULL;
    line->len = 0;
    line->limit = 0;
    line->left_out = false;
    line->minor = false;
    if (line->source == NULL) {
        return;
    }
    char *at = put_literal(line->text, "{\"time\":\"");

    clock_stamp(clock_wall_ms(), at);
    at = put_literal(at + CLOCK_STAMP_BYTES - 1, "\",\"level\":\"");
    at = put_literal(at, level_names[level]);
    at = put_literal(at, "\",\"event\":\"");
    at = put_literal(at, event);
    *at++ = '"';
    put_end(line, at);
    line->limit = sizeof(line->text) - SLACK;
}

void log_put_text(struct log_line *line, char *at, struct slice value)
{
    bool plain = !lane_any_of(value, not_plain); /* as nearly every value is */

    if (at == NULL) {
        return;
    }
    *at++ = '"';
    if (!plain) {
        at = put_escaped(at, line->text + line->limit, value);
    } else if (value.len > 0) {
        memcpy(at, value.ptr, value.len);
        at += value.len;
    }
    if (at == NULL) {
        line->left_out = true;
        return;
    }
    *at++ = '"';
    put_end(line, at);
}

void log_put_u64(struct log_line *line, char *at, uint64_t value)
{
    if (at != NULL) {
        put_end(line, decimal_put(at, value));
    }
}

void log_put_bool(struct log_line *line, char *at, bool value)
{
    if (at != NULL) {
        put_end(line, put_literal(at, value ? "true" : "false"));
    }
}

void log_put_seconds(struct log_line *line, char *at, uint64_t us)
{
    unsigned micros = (unsigned)(us % 1000000u);

    if (at != NULL) {
        at = decimal_put(at, us / 1000000u);
        *at = '.';
        decimal_pair(at + 1, micros / 10000);
        decimal_pair(at + 3, micros / 100 % 100);
        decimal_pair(at + 5, micros % 100);
        put_end(line, at + 7);
    }
}

void log_end(struct log_line *line)
{
    if (line->source == NULL) {
        return;
    }
    char *at = line->text + line->len;

    put_end(line, put_literal(at, line->left_out ? ",\"left_out\":true}\n" : "}\n"));
    log_source_put(line->source, slice_of(line->text, line->len), line->minor);
}

void log_put_event(struct log_source *source, enum log_level level, const char *event,
                   struct slice key, const char *detail)
{
    struct log_line line;

    log_begin(&line, source, level, event);
    log_member(&line, key, slice_str(detail));
    log_end(&line);
}
