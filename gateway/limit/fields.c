#include "limit/fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/decimal.h"
#include "base/mem.h"

enum {
    POLICY_MAX = 2048,
    LONG_WAIT_MS = 60 * 1000, /* SDKs wait no longer than this: they shall not try in vain */
};

/* The values here are numbers and checked names: LIMIT_FIELDS_BYTES hold them all. */
#define PUT(at, text) memcpy(at, text, sizeof(text) - 1) /* a literal */

static uint64_t seconds(uint64_t ms)
{
    return (ms + 999) / 1000;
}

static uint64_t quota(const struct limit_rule *r)
{
    return r->requests > 0 ? r->requests : r->tokens;
}

char *limit_policy_text(const struct limit_rule *rules, size_t count)
{
    struct buf text = buf_make(POLICY_MAX);
    enum corral_err err = CE_OK;

    for (size_t i = 0; i < count && err == CE_OK; i++) {
        if (!rules[i].shadow) {
            err =
                buf_printf(&text, "%s\"%s\";q=%" PRIu64 ";w=%" PRIu64, text.len == 0 ? "" : ", ",
                           rules[i].name, quota(&rules[i]), limit_rule_length_ms(&rules[i]) / 1000);
        }
    }
    struct slice whole = buf_slice(&text);
    char *copy = err == CE_OK && whole.len > 0 ? xstrndup(whole.ptr, whole.len) : NULL;

    buf_finish(&text);
    return copy;
}

static char *put_level(char *at, const struct limit_level *level)
{
    size_t len = strlen(level->rule->name);

    assert(len <= LIMIT_NAME_MAX);
    *at++ = '"';
    memcpy(at, level->rule->name, len);
    at += len;
    PUT(at, "\";r=");
    at = decimal_put(at + 4, level->remaining);
    PUT(at, ";t=");
    return decimal_put(at + 3, seconds(level->reset_ms));
}

/* As OpenAI's fields have it: "17s", "6m0s". */
static char *put_duration(char *at, uint64_t ms)
{
    uint64_t s = seconds(ms);

    if (s >= 3600) {
        at = decimal_put(at, s / 3600);
        *at++ = 'h';
    }
    if (s >= 60) {
        at = decimal_put(at, s / 60 % 60);
        *at++ = 'm';
    }
    at = decimal_put(at, s % 60);
    *at++ = 's';
    return at;
}

struct output {
    struct limit_field *fields;
    size_t count;
    char *begun;
};

/* A field whose value ends at `at`, where the next one begins. */
static void end_field(struct output *o, struct slice name, char *at)
{
    o->fields[o->count++] = (struct limit_field){name, slice_of(o->begun, (size_t)(at - o->begun))};
    o->begun = at;
}

static void tell_level(struct output *o, const struct limit_level *level,
                       const struct slice names[static 3])
{
    if (level->rule == NULL) {
        return;
    }
    end_field(o, names[0], decimal_put(o->begun, quota(level->rule)));
    end_field(o, names[1], decimal_put(o->begun, level->remaining));
    end_field(o, names[2], put_duration(o->begun, level->reset_ms));
}

static void tell_rate_limit(struct output *o, const struct limit_verdict *v)
{
    char *at = o->begun;

    if (v->requests.rule != NULL) {
        at = put_level(at, &v->requests);
    }
    if (v->tokens.rule != NULL && at > o->begun) {
        PUT(at, ", ");
        at += 2;
    }
    if (v->tokens.rule != NULL) {
        at = put_level(at, &v->tokens);
    }
    if (at > o->begun) {
        end_field(o, SLICE_LITERAL("RateLimit"), at);
    }
}

size_t limit_fields(const struct limit_verdict *v, const char *policy, enum limit_telling telling,
                    char room[static LIMIT_FIELDS_BYTES],
                    struct limit_field out[static LIMIT_FIELDS_MAX])
{
    static const struct slice of_requests[] = {SLICE_LITERAL("x-ratelimit-limit-requests"),
                                               SLICE_LITERAL("x-ratelimit-remaining-requests"),
                                               SLICE_LITERAL("x-ratelimit-reset-requests")};
    static const struct slice of_tokens[] = {SLICE_LITERAL("x-ratelimit-limit-tokens"),
                                             SLICE_LITERAL("x-ratelimit-remaining-tokens"),
                                             SLICE_LITERAL("x-ratelimit-reset-tokens")};
    struct output o = {.fields = out, .begun = room};

    if (policy != NULL) {
        out[o.count++] = (struct limit_field){SLICE_LITERAL("RateLimit-Policy"), slice_str(policy)};
    }
    tell_rate_limit(&o, v);
    if (telling != LIMIT_TELL_SHORT) {
        tell_level(&o, &v->requests, of_requests);
        tell_level(&o, &v->tokens, of_tokens);
    }
    if (telling != LIMIT_TELL_REFUSED) {
        return o.count;
    }
    if (v->wait_ms > 0) {
        end_field(&o, SLICE_LITERAL("Retry-After"), decimal_put(o.begun, seconds(v->wait_ms)));
    }
    if (v->wait_ms > LONG_WAIT_MS || v->wait_ms == 0) {
        out[o.count++] =
            (struct limit_field){SLICE_LITERAL("x-should-retry"), SLICE_LITERAL("false")};
    }
    return o.count;
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

void limit_rule_describe(const struct limit_rule *r, char out[static LIMIT_SENTENCE_BYTES])
{
    static const char *const whose[] = {"", " for each user", " for each model",
                                        " for each user and model"};
    static const char *const calendars[] = {"", "for each day", "for each month"};
    char window[64];

    if (r->calendar != LIMIT_NO_CALENDAR) {
        snprintf(window, sizeof(window), "%s", calendars[r->calendar]);
    } else {
        snprintf(window, sizeof(window), "in %" PRIu64 " second%s", r->window_s,
                 plural(r->window_s));
    }
    snprintf(out, LIMIT_SENTENCE_BYTES, "%" PRIu64 " %s%s %s%s (\"%s\")", quota(r),
             r->requests > 0 ? "request" : "token", plural(quota(r)), window, whose[r->per & 3u],
             r->name);
}

void limit_wait_describe(uint64_t wait_ms, char out[static LIMIT_SENTENCE_BYTES])
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    uint64_t s = seconds(wait_ms);
    size_t i = 0;

    s = s == 0 ? 1 : s;
    while (s < 2 * units[i].seconds && units[i].seconds > 1) {
        i++;
    }
    uint64_t n = (s + units[i].seconds - 1) / units[i].seconds;

    snprintf(out, LIMIT_SENTENCE_BYTES, "%" PRIu64 " %s%s", n, units[i].name, plural(n));
}
