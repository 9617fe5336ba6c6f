/**
 * JSON log lines, one event each, written by a helper thread.
 *
 * Every thread that logs has a source: a ring of bytes with one writer (that thread) and one reader
 * (the helper, which wakes by itself every LOG_PERIOD_MS). A full ring drops the line and counts
 * it; a target that fails (disk full, closed pipe) drops lines and counts them. Logging never
 * waits.
 *
 * Lines are built key by key; text from peers is escaped. Prompts and credentials are never given
 * to it.
 */
#ifndef CORRAL_OBS_LOG_H
#define CORRAL_OBS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum { LOG_PERIOD_MS = 50, LOG_LINE_BYTES = 4096, LOG_RING_BYTES = 256 * 1024 };

struct logger;
struct log_source;

struct log_settings {
    enum log_level level;
    const char *path; /* NULL: standard error */
};

/** Open the file. CE_IO when that fails (errno tells). Lines wait in the rings until the start. */
MUST_USE enum corral_err logger_create(const struct log_settings *settings, struct logger **out);

/** Start the helper thread; at most once. */
void logger_start(struct logger *l);

/** Write out what is in the rings, stop the thread, free everything, sources too. */
void logger_destroy(struct logger *l);

/** A ring for the calling thread; lives as long as the logger. */
struct log_source *logger_source(struct logger *l);

/** From any thread: level from now on (reload), and open the file again (log rotation). */
void logger_set_level(struct logger *l, enum log_level level);
void logger_reopen(struct logger *l);

/** Lines dropped since the start: rings full, target failed. */
uint64_t logger_dropped(struct logger *l);

/** A line under construction; on the stack. */
struct log_line {
    struct log_source *source; /* NULL: below the level, everything is a no-op */
    size_t len;
    size_t limit;  /* where the last member must have begun; 0: no line */
    bool left_out; /* a value did not fit: the line's end tells */
    bool minor;    /* may use only half of the ring: a stranger caused it */
    char text[LOG_LINE_BYTES];
};

bool log_enabled(const struct log_source *source, enum log_level level);

/** Begin with time, level and event name (static text). `source` may be NULL: no line. */
void log_begin(struct log_line *line, struct log_source *source, enum log_level level,
               const char *event);

/*
 * One member each; `key` is a literal. A value that does not fit is left out as a whole, so that
 * the line stays JSON, and the line ends in "left_out":true.
 */
#define LOG_KEY(key) SLICE_LITERAL(",\"" key "\":")

/** Where a value goes, behind its key, with room for `len` bytes; NULL: no room, or no line. */
static inline char *log_key(struct log_line *line, struct slice key, size_t len)
{
    char *at = line->text + line->len;

    if (UNLIKELY(line->len + key.len + len > line->limit)) {
        line->left_out = true;
        return NULL;
    }
    memcpy(at, key.ptr, key.len);
    return at + key.len;
}

void log_put_text(struct log_line *line, char *at, struct slice value);
void log_put_u64(struct log_line *line, char *at, uint64_t value);
void log_put_bool(struct log_line *line, char *at, bool value);
void log_put_seconds(struct log_line *line, char *at, uint64_t us);

static inline void log_member(struct log_line *line, struct slice key, struct slice value)
{
    log_put_text(line, log_key(line, key, value.len), value);
}

/** Text from anywhere: escaped. */
#define log_text(line, key, value) log_member(line, LOG_KEY(key), value)
#define log_str(line, key, value) log_member(line, LOG_KEY(key), slice_str(value))
#define log_u64(line, key, value) log_put_u64(line, log_key(line, LOG_KEY(key), 0), value)
#define log_bool(line, key, value) log_put_bool(line, log_key(line, LOG_KEY(key), 0), value)
/** Microseconds as seconds with six decimals. */
#define log_seconds(line, key, us) log_put_seconds(line, log_key(line, LOG_KEY(key), 0), us)

void log_end(struct log_line *line);

/** One line with one detail: for rare events. */
#define log_event(source, level, event, key, detail)                                               \
    log_put_event(source, level, event, LOG_KEY(key), detail)
void log_put_event(struct log_source *source, enum log_level level, const char *event,
                   struct slice key, const char *detail);

#endif
