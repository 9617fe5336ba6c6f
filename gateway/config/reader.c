#include "config/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ollama/request.h"

void reader_error(struct reader *r, struct place at, const char *format, ...)
{
    char text[512];
    va_list args;

    if (r->errors->count == CONFIG_MAX_ERRORS) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t room = strlen(text) + strlen(at.key) + 3;
    char *whole = xcalloc(1, room);

    snprintf(whole, room, "%s%s%s", at.key, at.key[0] == '\0' ? "" : ": ", text);
    r->errors->at[r->errors->count++] = (struct config_error){at.line, at.column, whole};
}

static int by_key(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;

    return strcmp(x->key, y->key);
}

void reader_sort_places(struct reader *r)
{
    if (r->place_count > 0) {
        qsort(r->places, r->place_count, sizeof(*r->places), by_key);
    }
}

struct place reader_place(const struct reader *r, const char *key_format, ...)
{
    static const char *top = "";
    char key[256];
    va_list args;

    va_start(args, key_format);
    vsnprintf(key, sizeof(key), key_format, args);
    va_end(args);
    while (key[0] != '\0') {
        const struct place wanted = {.key = key};
        const struct place *found =
            r->place_count == 0
                ? NULL
                : bsearch(&wanted, r->places, r->place_count, sizeof(*r->places), by_key);

        if (found != NULL) {
            return *found;
        }
        char *dot = strrchr(key, '.');
        char *bracket = strrchr(key, '[');
        char *cut = dot > bracket ? dot : bracket;

        key[cut == NULL ? 0 : (size_t)(cut - key)] = '\0';
    }
    return (struct place){top, 1, 1};
}

static void *member(void *base, size_t offset)
{
    return (char *)base + offset;
}

static void set_string(void *slot, struct slice text)
{
    char **string = slot;

    free(*string);
    *string = xstrndup(text.ptr, text.len);
}

static void read_number(struct reader *r, const struct key_spec *spec, struct place at,
                        struct slice text, void *base)
{
    uint64_t most = spec->max == 0 ? UINT32_MAX : spec->max;
    uint64_t value;

    if (slice_parse_u64(text, &value) != CE_OK) {
        reader_error(r, at,
                     "\"%.*s\" is not a whole number in digits (the unit is in the key's name)",
                     SLICE_ARG(text));
    } else if (value < spec->min || value > most) {
        reader_error(r, at, "%llu is out of range: %llu to %llu are allowed",
                     (unsigned long long)value, (unsigned long long)spec->min,
                     (unsigned long long)most);
    } else if (spec->kind == KEY_U32) {
        *(uint32_t *)member(base, spec->offset) = (uint32_t)value;
    } else {
        *(uint64_t *)member(base, spec->offset) = value;
    }
}

static void read_bool(struct reader *r, const struct key_spec *spec, struct place at,
                      struct slice text, void *base)
{
    bool yes = slice_eq_str(text, "true");

    if (!yes && !slice_eq_str(text, "false")) {
        reader_error(r, at, "\"%.*s\" is neither true nor false", SLICE_ARG(text));
        return;
    }
    *(bool *)member(base, spec->offset) = yes;
}

static void read_string(struct reader *r, const struct key_spec *spec, struct place at,
                        struct slice text, void *base)
{
    if (text.len < spec->min || (spec->max > 0 && text.len > spec->max)) {
        reader_error(r, at, "must be %llu to %llu bytes long", (unsigned long long)spec->min,
                     (unsigned long long)spec->max);
    } else if (slice_find(text, '\0') < text.len || slice_find(text, '\n') < text.len) {
        reader_error(r, at, "must be one line");
    } else {
        set_string(member(base, spec->offset), text);
    }
}

static void read_address(struct reader *r, const struct key_spec *spec, struct place at,
                         struct slice text, void *base)
{
    struct net_address parsed;

    if (text.len == 0 && !spec->required) {
        set_string(member(base, spec->offset), text);
        return;
    }
    if (net_address_parse(text, &parsed) != CE_OK) {
        reader_error(r, at,
                     "\"%.*s\" is not an address and port: write it like 127.0.0.1:8443, "
                     "0.0.0.0:8443 or [::]:8443",
                     SLICE_ARG(text));
        return;
    }
    set_string(member(base, spec->offset), text);
}

static void read_listen(struct reader *r, const struct key_spec *spec, struct place at,
                        struct slice text, void *base)
{
    struct net_address parsed;

    if (!slice_starts_with(text, SLICE_LITERAL("unix:"))) {
        read_address(r, spec, at, text, base);
    } else if (net_address_parse_unix(text, &parsed) != CE_OK) {
        reader_error(r, at,
                     "\"%.*s\" is not a socket's path: write it like unix:/run/corral/corral.sock, "
                     "at most 107 bytes from the first /",
                     SLICE_ARG(text));
    } else {
        set_string(member(base, spec->offset), text);
    }
}

/* Without its scheme. *out_port holds the scheme's default. */
static bool parse_authority(struct slice rest, struct slice *out_host, uint64_t *out_port)
{
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '/') {
        rest.len--;
    }
    size_t colon = rest.len;

    while (colon > 0 && rest.ptr[colon - 1] != ':' && rest.ptr[colon - 1] != ']') {
        colon--;
    }
    bool has_port = colon > 0 && rest.ptr[colon - 1] == ':';

    if (has_port &&
        (slice_parse_u64(slice_from(rest, colon), out_port) != CE_OK || *out_port - 1 > 65534)) {
        return false;
    }
    *out_host = has_port ? slice_of(rest.ptr, colon - 1) : rest;
    if (out_host->len > 2 && out_host->ptr[0] == '[') {
        *out_host = slice_of(out_host->ptr + 1, out_host->len - 2);
    }
    for (size_t i = 0; i < out_host->len; i++) {
        char c = ascii_lower(out_host->ptr[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
              c == ':' || c == '_')) {
            return false;
        }
    }
    return out_host->len > 0 && out_host->len < 254;
}

static bool parse_url(struct slice text, bool *out_https, struct slice *out_host,
                      uint64_t *out_port)
{
    static const struct slice http = {"http://", 7};
    static const struct slice https = {"https://", 8};

    *out_https = slice_starts_with(text, https);
    *out_port = *out_https ? 443 : 11434;
    return (*out_https || slice_starts_with(text, http)) &&
           parse_authority(slice_from(text, *out_https ? https.len : http.len), out_host, out_port);
}

static void read_url(struct reader *r, struct place at, struct slice text, void *base)
{
    struct replica_settings *s = base;
    struct net_address socket;
    struct slice host;
    uint64_t port;

    if (net_address_parse_unix(text, &socket) == CE_OK) {
        set_string(&s->host, text);
        s->port = 0;
    } else if (!parse_url(text, &s->https, &host, &port)) {
        reader_error(r, at,
                     "\"%.*s\" is not a replica's address: write it like "
                     "http://127.0.0.1:11434 or https://ollama.example.com, without a path, or "
                     "unix:/run/ollama.sock",
                     SLICE_ARG(text));
    } else {
        set_string(&s->host, host);
        s->port = (uint16_t)port;
    }
}

static void read_level(struct reader *r, const struct key_spec *spec, struct place at,
                       struct slice text, void *base)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_str(text, names[i])) {
            *(enum log_level *)member(base, spec->offset) = (enum log_level)i;
            return;
        }
    }
    reader_error(r, at, "\"%.*s\" is not a level: debug, info, warn or error", SLICE_ARG(text));
}

/* The index of a word in "one two three", or -1. */
static int word_index(const char *words, struct slice word)
{
    struct slice rest = slice_str(words);

    for (int i = 0; rest.len > 0; i++) {
        size_t end = slice_find(rest, ' ');

        if (slice_eq(word, slice_of(rest.ptr, end))) {
            return i;
        }
        rest = slice_from(rest, end + 1);
    }
    return -1;
}

static void read_word(struct reader *r, const struct key_spec *spec, struct place at,
                      struct slice text, void *base)
{
    int index = word_index(spec->words, text);

    if (index < 0) {
        reader_error(r, at, "\"%.*s\" is none of: %s", SLICE_ARG(text), spec->words);
        return;
    }
    *(uint32_t *)member(base, spec->offset) = (uint32_t)index;
}

static void read_flags(struct reader *r, const struct key_spec *spec, struct place at,
                       const struct slice *items, size_t count, void *base)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < count; i++) {
        int index = word_index(spec->words, items[i]);

        if (index < 0) {
            reader_error(r, at, "\"%.*s\" is none of: %s", SLICE_ARG(items[i]), spec->words);
        } else {
            mask |= 1u << (unsigned)index;
        }
    }
    if (count < spec->min) {
        reader_error(r, at, "must name at least one of: %s", spec->words);
    }
    *(uint32_t *)member(base, spec->offset) = mask;
}

void reader_scalar(struct reader *r, const struct key_spec *spec, struct place at,
                   struct slice text, void *base)
{
    switch (spec->kind) {
    case KEY_U32:
    case KEY_U64:
        read_number(r, spec, at, text, base);
        break;
    case KEY_BOOL:
        read_bool(r, spec, at, text, base);
        break;
    case KEY_STRING:
        read_string(r, spec, at, text, base);
        break;
    case KEY_ADDRESS:
        read_address(r, spec, at, text, base);
        break;
    case KEY_LISTEN:
        read_listen(r, spec, at, text, base);
        break;
    case KEY_URL:
        read_url(r, at, text, base);
        break;
    case KEY_LOG_LEVEL:
        read_level(r, spec, at, text, base);
        break;
    case KEY_WORD:
        read_word(r, spec, at, text, base);
        break;
    case KEY_STRINGS:
    case KEY_PREFIXES:
    case KEY_VERBS:
    case KEY_OPTIONS:
    case KEY_FLAGS:
    case KEY_LIST:
        reader_error(r, at, "must be a list, like [%.*s]", SLICE_ARG(text));
        break;
    case KEY_BLOCK:
        reader_error(r, at, "must be a block of keys, not a value");
        break;
    }
}

static void read_strings(struct reader *r, const struct key_spec *spec, struct place at,
                         const struct slice *items, size_t count, void *base)
{
    char ***strings = member(base, spec->offset);
    size_t *slot_count = member(base, spec->count_offset);

    if (count < spec->min || (spec->max > 0 && count > spec->max)) {
        reader_error(r, at, "must have %llu to %llu entries", (unsigned long long)spec->min,
                     (unsigned long long)spec->max);
        return;
    }
    for (size_t i = 0; i < *slot_count; i++) {
        free((*strings)[i]);
    }
    free(*strings);
    *strings = xcalloc(count == 0 ? 1 : count, sizeof(char *));
    *slot_count = count;
    for (size_t i = 0; i < count; i++) {
        if (items[i].len == 0 || items[i].len > 512) {
            reader_error(r, at, "entry %zu must be 1 to 512 bytes long", i + 1);
        }
        (*strings)[i] = xstrndup(items[i].ptr, items[i].len);
    }
}

static void read_prefixes(struct reader *r, const struct key_spec *spec, struct place at,
                          const struct slice *items, size_t count, void *base)
{
    struct net_prefix **prefixes = member(base, spec->offset);
    size_t *slot_count = member(base, spec->count_offset);

    free(*prefixes);
    *prefixes = xcalloc(count == 0 ? 1 : count, sizeof(**prefixes));
    *slot_count = count;
    for (size_t i = 0; i < count; i++) {
        if (net_prefix_parse(items[i], &(*prefixes)[i]) != CE_OK) {
            reader_error(r, at, "\"%.*s\" is not a network: write it like 10.0.0.0/8 or fd00::/8",
                         SLICE_ARG(items[i]));
        }
    }
}

static void read_verbs(struct reader *r, const struct key_spec *spec, struct place at,
                       const struct slice *items, size_t count, void *base)
{
    unsigned mask = 0;
    enum verb verb;

    for (size_t i = 0; i < count; i++) {
        if (verb_parse(items[i], &verb) != CE_OK) {
            reader_error(r, at, "\"%.*s\" is not a verb: chat generate embed list show are",
                         SLICE_ARG(items[i]));
        } else if ((VERBS_DEFAULT & VERB_BIT(verb)) == 0) {
            reader_error(r, at,
                         "the admin verb \"%.*s\" cannot be granted in this version: use "
                         "the replica itself",
                         SLICE_ARG(items[i]));
        } else {
            mask |= VERB_BIT(verb);
        }
    }
    *(unsigned *)member(base, spec->offset) = mask;
}

static void read_options(struct reader *r, const struct key_spec *spec, struct place at,
                         const struct slice *items, size_t count, void *base)
{
    static const struct {
        const char *name;
        unsigned bit;
    } options[] = {
        {"num_batch", REQUEST_NUM_BATCH},   {"num_gpu", REQUEST_NUM_GPU},
        {"main_gpu", REQUEST_MAIN_GPU},     {"use_mmap", REQUEST_USE_MMAP},
        {"num_thread", REQUEST_NUM_THREAD}, {"draft_num_predict", REQUEST_DRAFT_NUM_PREDICT},
        {"shift", REQUEST_SHIFT},
    };
    unsigned mask = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned bit = 0;

        for (size_t n = 0; n < ARRAY_LEN(options); n++) {
            bit |= slice_eq_str(items[i], options[n].name) ? options[n].bit : 0;
        }
        if (bit == 0) {
            reader_error(r, at,
                         "\"%.*s\" is not a runner option: num_batch num_gpu main_gpu "
                         "use_mmap num_thread draft_num_predict shift are (num_ctx is "
                         "allowed by num_ctx_max)",
                         SLICE_ARG(items[i]));
        }
        mask |= bit;
    }
    *(unsigned *)member(base, spec->offset) = mask;
}

void reader_items(struct reader *r, const struct key_spec *spec, struct place at,
                  const struct slice *items, size_t count, void *base)
{
    switch (spec->kind) {
    case KEY_STRINGS:
        read_strings(r, spec, at, items, count, base);
        break;
    case KEY_PREFIXES:
        read_prefixes(r, spec, at, items, count, base);
        break;
    case KEY_VERBS:
        read_verbs(r, spec, at, items, count, base);
        break;
    case KEY_OPTIONS:
        read_options(r, spec, at, items, count, base);
        break;
    case KEY_FLAGS:
        read_flags(r, spec, at, items, count, base);
        break;
    default:
        reader_error(r, at, "must be one value, not a list");
        break;
    }
}

/* A fallback is written as in YAML: a scalar, or a flow list of plain or quoted words. */
static void apply_fallback(struct reader *r, const struct key_spec *spec, void *base)
{
    enum { MAX_ITEMS = 16 };
    struct slice text = slice_str(spec->fallback);
    struct slice items[MAX_ITEMS];
    size_t count = 0;
    const struct place at = {spec->name, 0, 0};

    if (text.len < 2 || text.ptr[0] != '[') {
        reader_scalar(r, spec, at, text, base);
        return;
    }
    struct slice rest = slice_of(text.ptr + 1, text.len - 2);

    while (rest.len > 0 && count < MAX_ITEMS) {
        size_t comma = slice_find(rest, ',');
        struct slice item = slice_trim(slice_of(rest.ptr, comma));

        if (item.len >= 2 && item.ptr[0] == '"') {
            item = slice_of(item.ptr + 1, item.len - 2);
        }
        items[count++] = item;
        rest = slice_from(rest, comma + 1);
    }
    reader_items(r, spec, at, items, count, base);
}

void reader_defaults(struct reader *r, const struct schema *schema, void *base)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct key_spec *spec = &schema->keys[i];

        if (spec->kind == KEY_BLOCK) {
            reader_defaults(r, spec->inner, base);
        } else if (spec->fallback != NULL) {
            apply_fallback(r, spec, base);
        }
    }
}
