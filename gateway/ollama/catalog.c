#include "ollama/catalog.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/mem.h"
#include "ollama/scan.h"

enum {
    KEYS_MAX = CATALOG_MODELS_MAX * 32, /* an entry has about 15, its details included */
    STAMP_BYTES = 64,
};

static uint64_t number_of(struct slice text, const struct scan_value *v)
{
    int64_t value = v->kind == SCAN_NUMBER ? scan_integer(text, v) : 0;

    return value < 0 ? 0 : (uint64_t)value;
}

static bool two_digits(const char *p, int *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') {
        return false;
    }
    *out = (p[0] - '0') * 10 + (p[1] - '0');
    return true;
}

/* ".123456789" to nanoseconds; moves *at behind it. */
static int64_t fraction_ns(struct slice s, size_t *at)
{
    int64_t ns = 0;
    int64_t unit = 100000000;

    if (*at >= s.len || s.ptr[*at] != '.') {
        return 0;
    }
    for (++*at; *at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9'; ++*at) {
        ns += (s.ptr[*at] - '0') * unit;
        unit /= 10;
    }
    return ns;
}

/* "Z" or "+02:00" in seconds east. */
static int64_t zone_s(struct slice s)
{
    int hours = 0;
    int minutes = 0;

    if (s.len != 6 || !two_digits(s.ptr + 1, &hours) || !two_digits(s.ptr + 4, &minutes)) {
        return 0;
    }
    int seconds = hours * 3600 + minutes * 60;

    return s.ptr[0] == '-' ? -seconds : seconds;
}

/* RFC 3339, as Go prints time.Time; 0 when it is none. Years an int64 cannot hold are clamped. */
static int64_t time_of(struct slice s)
{
    struct tm tm = {0};
    int century;
    int year;

    if (s.len < 20 || s.len > STAMP_BYTES || !two_digits(s.ptr, &century) ||
        !two_digits(s.ptr + 2, &year) || !two_digits(s.ptr + 5, &tm.tm_mon) ||
        !two_digits(s.ptr + 8, &tm.tm_mday) || !two_digits(s.ptr + 11, &tm.tm_hour) ||
        !two_digits(s.ptr + 14, &tm.tm_min) || !two_digits(s.ptr + 17, &tm.tm_sec)) {
        return 0;
    }
    tm.tm_mon -= 1;
    tm.tm_year = century * 100 + year - 1900;
    size_t at = 19;
    int64_t ns = fraction_ns(s, &at);
    int64_t seconds = (int64_t)timegm(&tm) - zone_s(slice_from(s, at));
    int64_t total;

    if (__builtin_mul_overflow(seconds, 1000000000, &total) ||
        __builtin_add_overflow(total, ns, &total)) {
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    }
    return total;
}

/* A string's inside as spelled; the ones read here hold no escapes. */
static struct slice plain_string(struct slice text, const struct scan_value *v)
{
    struct slice raw = scan_raw(text, v);

    return v->kind != SCAN_STRING || raw.len < 2 ? slice_of(NULL, 0)
                                                 : slice_of(raw.ptr + 1, raw.len - 2);
}

static void read_member(struct slice text, const struct scan_value *v, enum catalog_kind kind,
                        struct catalog_model *m)
{
    struct slice time =
        kind == CATALOG_TAGS ? SLICE_LITERAL("modified_at") : SLICE_LITERAL("expires_at");

    if (scan_key_is(v, SLICE_LITERAL("name")) ||
        (scan_key_is(v, SLICE_LITERAL("model")) && m->spelled.len == 0)) {
        m->spelled = plain_string(text, v);
    } else if (scan_key_is(v, SLICE_LITERAL("digest"))) {
        m->digest = plain_string(text, v);
    } else if (scan_key_is(v, SLICE_LITERAL("size"))) {
        m->size = number_of(text, v);
    } else if (scan_key_is(v, SLICE_LITERAL("size_vram"))) {
        m->size_vram = number_of(text, v);
    } else if (scan_key_is(v, SLICE_LITERAL("context_length"))) {
        m->context_length = number_of(text, v);
    } else if (scan_key_is(v, SLICE_LITERAL("remote_host"))) {
        m->remote = v->kind != SCAN_NULL && plain_string(text, v).len > 0;
    } else if (scan_key_is(v, time)) {
        m->time_ns = time_of(plain_string(text, v));
    }
}

/* False for an entry whose name is none. */
static bool read_entry(struct slice text, const struct scan_value *entry, enum catalog_kind kind,
                       struct catalog_model *out)
{
    struct scan_cursor c = scan_open(text, entry);
    struct catalog_model m = {.json = scan_raw(text, entry)};
    struct scan_value v;

    while (entry->kind == SCAN_OBJECT && scan_next(&c, &v)) {
        read_member(text, &v, kind, &m);
    }
    enum corral_err err = model_parse(m.spelled, &m.name);

    m.remote = m.remote || err == CE_MODEL_REMOTE;
    if (err == CE_OK || err == CE_MODEL_REMOTE) {
        *out = m;
        return true;
    }
    return false;
}

/* `models` is null when Go has nothing to list. */
static enum corral_err read_entries(struct slice text, enum catalog_kind kind, struct catalog *c)
{
    struct scan_value root = scan_root(text);
    struct scan_value list;
    struct scan_value entry;
    size_t capacity = 0;

    if (!scan_find(text, &root, SLICE_LITERAL("models"), &list) ||
        (list.kind != SCAN_ARRAY && list.kind != SCAN_NULL)) {
        return CE_UPSTREAM_NONSENSE;
    }
    struct scan_cursor cursor = scan_open(text, &list);

    while (scan_next(&cursor, &entry)) {
        if (c->count == CATALOG_MODELS_MAX) {
            return CE_TOO_LARGE;
        }
        c->models = xgrow(c->models, c->count, &capacity, sizeof(*c->models));
        if (read_entry(text, &entry, kind, &c->models[c->count])) {
            c->remote += c->models[c->count].remote ? 1 : 0;
            c->count++;
        }
    }
    return CE_OK;
}

enum corral_err catalog_parse(enum catalog_kind kind, struct slice json, struct catalog **out)
{
    struct arena arena = {0};
    enum corral_err err = CE_OK;

    if (json.len > CATALOG_BYTES_MAX) {
        return CE_TOO_LARGE;
    }
    if (scan_check(json, KEYS_MAX, &arena, NULL) != CE_OK) {
        err = CE_UPSTREAM_NONSENSE;
    }
    arena_finish(&arena);
    if (err != CE_OK) {
        return err;
    }
    struct catalog *c = xcalloc(1, sizeof(*c));

    c->text = malloc(json.len);
    if (c->text == NULL) {
        err = CE_NO_MEMORY;
        goto fail;
    }
    memcpy(c->text, json.ptr, json.len);
    err = read_entries(slice_of(c->text, json.len), kind, c);
    if (err != CE_OK) {
        goto fail;
    }
    *out = c; /* caller owns */
    return CE_OK;

fail:
    catalog_destroy(c);
    return err;
}

void catalog_destroy(struct catalog *c)
{
    if (c == NULL) {
        return;
    }
    free(c->models);
    free(c->text);
    free(c);
}

const struct catalog_model *catalog_find(const struct catalog *c, const struct model_name *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (model_eq(&c->models[i].name, name)) {
            return &c->models[i];
        }
    }
    return NULL;
}
