#include "config/load.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/reader.h"
#include "config/screen.h"

enum { KEY_TEXT = 256, MAX_ITEMS = 1024, FAR = 100 };

static void fill_mapping(struct reader *r, const yaml_node_t *node, const struct schema *schema,
                         void *base, const char *path);

void config_errors_finish(struct config_errors *e)
{
    for (size_t i = 0; i < e->count; i++) {
        free(e->at[i].text);
    }
    e->count = 0;
}

static struct slice scalar_text(const yaml_node_t *node)
{
    assert(node != NULL && node->type == YAML_SCALAR_NODE);
    return slice_of((const char *)node->data.scalar.value, node->data.scalar.length);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Levenshtein distance of two short words. */
static size_t distance(struct slice a, struct slice b)
{
    enum { LONGEST = 48 };
    size_t row[LONGEST + 1];

    if (a.len > LONGEST || b.len > LONGEST || a.ptr == NULL || b.ptr == NULL) {
        return FAR;
    }
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t above = row[j];

            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.ptr[i - 1] != b.ptr[j - 1]));
            diagonal = above;
        }
    }
    return row[b.len];
}

static void unknown_key(struct reader *r, struct place at, const struct schema *schema,
                        struct slice name)
{
    const char *best = NULL;
    size_t least = name.len / 2 + 1;

    assert(schema->keys != NULL);
    for (size_t i = 0; i < schema->count; i++) {
        size_t d = distance(name, slice_str(schema->keys[i].name));
        bool prefix = slice_starts_with(slice_str(schema->keys[i].name), name) && name.len >= 3;

        if (d < least || (prefix && best == NULL)) {
            least = d < least ? d : least;
            best = schema->keys[i].name;
        }
    }
    if (best != NULL) {
        reader_error(r, at, "unknown key; did you mean \"%s\"?", best);
    } else {
        reader_error(r, at, "unknown key; docs/CONFIGURATION.md lists all");
    }
}

static const struct key_spec *find_key(const struct schema *schema, struct slice name)
{
    for (size_t i = 0; i < schema->count; i++) {
        if (slice_eq_str(name, schema->keys[i].name)) {
            return &schema->keys[i];
        }
    }
    return NULL;
}

static void fill_list(struct reader *r, const yaml_node_t *node, const struct key_spec *spec,
                      struct place at, void *base)
{
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    size_t item_size = spec->inner->item_size;
    void **slot = (void **)((char *)base + spec->offset);
    size_t *slot_count = (size_t *)((char *)base + spec->count_offset);

    if (count > MAX_ITEMS) {
        reader_error(r, at, "has more than %d entries", (int)MAX_ITEMS);
        return;
    }
    *slot = xcalloc(count == 0 ? 1 : count, item_size);
    *slot_count = count;
    for (size_t i = 0; i < count && r->errors->count < CONFIG_MAX_ERRORS; i++) {
        const yaml_node_t *item =
            yaml_document_get_node(&r->document, node->data.sequence.items.start[i]);
        void *target = (char *)*slot + i * item_size;
        char path[KEY_TEXT + 16];

        snprintf(path, sizeof(path), "%s[%zu]", at.key, i);
        reader_defaults(r, spec->inner, target);
        fill_mapping(r, item, spec->inner, target, path);
    }
}

static void fill_items(struct reader *r, const yaml_node_t *node, const struct key_spec *spec,
                       struct place at, void *base)
{
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    struct slice *items = xcalloc(count == 0 ? 1 : count, sizeof(*items));
    bool all_scalars = true;

    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item =
            yaml_document_get_node(&r->document, node->data.sequence.items.start[i]);

        all_scalars = all_scalars && item->type == YAML_SCALAR_NODE;
        items[i] = item->type == YAML_SCALAR_NODE ? scalar_text(item) : slice_of(NULL, 0);
    }
    if (all_scalars) {
        reader_items(r, spec, at, items, count, base);
    } else {
        reader_error(r, at, "must be a list of plain values");
    }
    free(items);
}

static void fill_value(struct reader *r, const yaml_node_t *node, const struct key_spec *spec,
                       struct place at, void *base)
{
    bool plain_null = node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
                      node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (plain_null) {
        reader_error(r, at, "has no value");
    } else if (spec->kind == KEY_BLOCK && node->type == YAML_MAPPING_NODE) {
        fill_mapping(r, node, spec->inner, base, at.key);
    } else if (spec->kind == KEY_LIST && node->type == YAML_SEQUENCE_NODE) {
        fill_list(r, node, spec, at, base);
    } else if (node->type == YAML_SCALAR_NODE) {
        reader_scalar(r, spec, at, scalar_text(node), base);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        fill_items(r, node, spec, at, base);
    } else {
        reader_error(r, at, "must not be a block of keys");
    }
}

static bool seen_above(struct reader *r, const yaml_node_t *node, const yaml_node_pair_t *until)
{
    const yaml_node_t *name = yaml_document_get_node(&r->document, until->key);

    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < until; p++) {
        const yaml_node_t *other = yaml_document_get_node(&r->document, p->key);

        if (other->type == YAML_SCALAR_NODE && slice_eq(scalar_text(other), scalar_text(name))) {
            return true;
        }
    }
    return false;
}

static void remember(struct reader *r, struct place at)
{
    r->places = xgrow(r->places, r->place_count, &r->place_capacity, sizeof(*r->places));
    r->places[r->place_count++] = (struct place){xstrdup(at.key), at.line, at.column};
}

static void fill_pair(struct reader *r, const yaml_node_t *node, const yaml_node_pair_t *pair,
                      const struct schema *schema, void *base, const char *path)
{
    const yaml_node_t *name = yaml_document_get_node(&r->document, pair->key);
    char key[KEY_TEXT];
    struct place at = {path, name->start_mark.line + 1, name->start_mark.column + 1};

    if (name->type != YAML_SCALAR_NODE) {
        reader_error(r, at, "a key must be a plain word");
        return;
    }
    snprintf(key, sizeof(key), "%s%s%.*s", path, path[0] == '\0' ? "" : ".",
             SLICE_ARG(scalar_text(name)));
    at.key = key;
    const struct key_spec *spec = find_key(schema, scalar_text(name));

    if (seen_above(r, node, pair)) {
        reader_error(r, at, "stands here a second time");
    } else if (spec == NULL) {
        unknown_key(r, at, schema, scalar_text(name));
    } else {
        remember(r, at);
        fill_value(r, yaml_document_get_node(&r->document, pair->value), spec, at, base);
    }
}

static bool has_key(struct reader *r, const yaml_node_t *node, const char *name)
{
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, p->key);

        if (key->type == YAML_SCALAR_NODE && slice_eq_str(scalar_text(key), name)) {
            return true;
        }
    }
    return false;
}

static void fill_mapping(struct reader *r, const yaml_node_t *node, const struct schema *schema,
                         void *base, const char *path)
{
    struct place at = {path, node->start_mark.line + 1, node->start_mark.column + 1};

    if (node->type != YAML_MAPPING_NODE) {
        reader_error(r, at, "must be a block of keys");
        return;
    }
    remember(r, at);
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top && r->errors->count < CONFIG_MAX_ERRORS; p++) {
        fill_pair(r, node, p, schema, base, path); /* each unknown or second key is an error */
    }
    for (size_t i = 0; i < schema->count; i++) {
        if (schema->keys[i].required && !has_key(r, node, schema->keys[i].name)) {
            reader_error(r, at, "the key \"%s\" is missing: %s", schema->keys[i].name,
                         schema->keys[i].sentence);
        }
    }
}

static void read_document(struct reader *r, struct slice text)
{
    yaml_parser_t parser;

    screen_parser_init(&parser, text);
    if (!yaml_parser_load(&parser, &r->document)) {
        screen_syntax_error(r, &parser);
        yaml_parser_delete(&parser);
        return;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&r->document);

    if (root == NULL) {
        reader_error(r, (struct place){"", 1, 1}, "the file is empty");
    } else {
        fill_mapping(r, root, &config_schema, r->settings, "");
        reader_sort_places(r);
        reader_cross_check(r);
    }
    yaml_document_delete(&r->document);
    yaml_parser_delete(&parser);
}

enum corral_err config_parse_all(struct slice text, struct settings *out,
                                 struct config_places *out_places, struct config_errors *out_errors)
{
    struct reader r = {.errors = out_errors, .settings = out};

    *out = (struct settings){0};
    reader_defaults(&r, &config_schema, out);
    if (screen_text(&r, text)) {
        read_document(&r, text);
    }
    *out_places = (struct config_places){r.places, r.place_count};
    return out_errors->count > 0 ? CE_CONFIG : CE_OK;
}

void config_places_finish(struct config_places *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free((char *)(uintptr_t)p->at[i].key);
    }
    free(p->at);
    *p = (struct config_places){0};
}

enum corral_err config_parse(struct slice text, struct settings *out,
                             struct config_errors *out_errors)
{
    struct config_places places;
    enum corral_err err = config_parse_all(text, out, &places, out_errors);

    config_places_finish(&places);
    if (err != CE_OK) {
        settings_finish(out);
    }
    return err;
}

void config_report(struct config_errors *errors, const struct config_places *places,
                   enum config_severity severity, const char *key, const char *sentence)
{
    struct reader r = {.errors = errors, .places = places->at, .place_count = places->count};
    struct place at = reader_place(&r, "%s", key);
    size_t before = errors->count;

    at.key = key;
    reader_error(&r, at, "%s", sentence);
    if (errors->count > before) {
        errors->at[before].warning = severity == CONFIG_WARNING;
    }
}

enum corral_err config_read_file(const char *path, char **out_text, size_t *out_len,
                                 struct config_errors *out_errors)
{
    struct reader r = {.errors = out_errors};
    const struct place whole = {"", 0, 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0) {
        reader_error(&r, whole, "cannot be read: %m");
        return CE_CONFIG;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > CONFIG_MAX_BYTES) {
        reader_error(&r, whole, "must be a regular file of at most %d bytes",
                     (int)CONFIG_MAX_BYTES);
        close(fd);
        return CE_CONFIG;
    }
    char *text = xcalloc(1, (size_t)st.st_size + 1);
    ssize_t n = read(fd, text, (size_t)st.st_size);

    close(fd);
    *out_text = text;
    *out_len = n < 0 ? 0 : (size_t)n;
    return CE_OK;
}
