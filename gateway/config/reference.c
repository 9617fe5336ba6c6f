#include <string.h>

#include "config/load.h"
#include "config/schema.h"

static const char *kind_name(enum key_kind kind)
{
    static const char *const names[] = {
        [KEY_U32] = "number",
        [KEY_U64] = "number",
        [KEY_BOOL] = "true or false",
        [KEY_STRING] = "text",
        [KEY_STRINGS] = "list of texts",
        [KEY_ADDRESS] = "address:port",
        [KEY_LISTEN] = "address:port or unix:/path",
        [KEY_PREFIXES] = "list of networks",
        [KEY_URL] = "URL",
        [KEY_VERBS] = "list of verbs",
        [KEY_OPTIONS] = "list of options",
        [KEY_LOG_LEVEL] = "level",
        [KEY_WORD] = "word",
        [KEY_FLAGS] = "list of words",
        [KEY_BLOCK] = "block",
        [KEY_LIST] = "list of blocks",
    };
    return names[kind];
}

static const char *unit_of(const char *name)
{
    static const struct {
        const char *suffix;
        const char *unit;
    } units[] = {
        {"_ms", "milliseconds"}, {"_s", "seconds"}, {"_bytes", "bytes"}, {"_per_10s", "per 10 s"}};
    struct slice text = slice_str(name);

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (slice_ends_with(text, slice_str(units[i].suffix)) ||
            strcmp(name, units[i].suffix + 1) == 0) {
            return units[i].unit;
        }
    }
    return "";
}

static enum corral_err write_default(const struct key_spec *k, struct buf *out)
{
    if (k->required) {
        return buf_append_str(out, "required | ");
    }
    if (k->fallback == NULL) {
        return buf_append_str(out, k->kind == KEY_BLOCK ? " | " : "none | ");
    }
    return buf_printf(out, "`%s` | ", k->fallback[0] == '\0' ? "\"\"" : k->fallback);
}

static enum corral_err write_range(const struct key_spec *k, struct buf *out)
{
    if (k->words != NULL) {
        return buf_printf(out, "%s | ", k->words);
    }
    if (k->kind != KEY_U32 && k->kind != KEY_U64) {
        return buf_append_str(out, " | ");
    }
    return buf_printf(out, "%llu to %llu | ", (unsigned long long)k->min,
                      (unsigned long long)(k->max == 0 ? UINT32_MAX : k->max));
}

static enum corral_err write_row(const struct key_spec *k, const char *prefix, struct buf *out)
{
    const char *unit = unit_of(k->name);
    enum corral_err err = buf_printf(out, "| `%s%s` | %s%s%s | ", prefix, k->name,
                                     kind_name(k->kind), unit[0] == '\0' ? "" : ", ", unit);

    if (err == CE_OK) {
        err = write_default(k, out);
    }
    if (err == CE_OK) {
        err = write_range(k, out);
    }
    return err == CE_OK
               ? buf_printf(out, "%s | %s |\n", k->restart ? "restart" : "reload", k->sentence)
               : err;
}

static enum corral_err write_rows(const struct schema *schema, const char *prefix, struct buf *out)
{
    enum corral_err err = CE_OK;

    for (size_t i = 0; i < schema->count && err == CE_OK; i++) {
        const struct key_spec *k = &schema->keys[i];

        err = write_row(k, prefix, out);
        if (err == CE_OK && k->inner != NULL) {
            struct buf inner = buf_make(256);

            err = buf_printf(&inner, "%s%s%s.", prefix, k->name, k->kind == KEY_LIST ? "[]" : "");
            if (err == CE_OK) {
                err = buf_append(&inner, slice_of("", 1));
            }
            if (err == CE_OK) {
                err = write_rows(k->inner, buf_slice(&inner).ptr, out);
            }
            buf_finish(&inner);
        }
    }
    return err;
}

enum corral_err config_write_reference(struct buf *out)
{
    static const char head[] =
        "# Configuration reference\n\n"
        "Made from the schema table in `gateway/config/schema.c` by `corral reference`; a test "
        "keeps the two equal. The annotated example is `config/corral.yaml`; `corral check FILE` "
        "reports every error of a file with line, column and what would be right.\n\n"
        "The file is plain YAML: no anchors, aliases or tags, whole numbers in digits, `true` or "
        "`false`; units are part of a key's name. Unknown and repeated keys are errors. Secrets "
        "are only named by file. \"reload\": SIGHUP takes a change; \"restart\": it needs a new "
        "process, and so does, under the sandbox, a file in a folder or a replica's port that was "
        "not named at the start.\n\n"
        "| key | kind | default | range | change | meaning |\n"
        "| --- | --- | --- | --- | --- | --- |\n";
    enum corral_err err = buf_append_str(out, head);

    return err == CE_OK ? write_rows(&config_schema, "", out) : err;
}
