/*
 * The version of a replica. Called by upstream/poller.c for each answer to /api/version, and by
 * upstream/replica.c to find the least one. Owns nothing.
 */
#include "ollama/version.h"

#include "base/arena.h"
#include "ollama/scan.h"

enum { KEYS_MAX = 16 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_version_character(char c)
{
    return ascii_is_letter(c) || is_digit(c) || c == '.' || c == '+' || c == '-' || c == '_';
}

/* "0.24.0-rc1": up to three numbers, what is missing is 0. False: it does not begin with one. */
static bool read_numbers(struct slice text, struct version *v)
{
    size_t at = 0;

    for (size_t i = 0; i < VERSION_NUMBERS; i++) {
        uint64_t number = 0;
        size_t first = at;

        while (at < text.len && is_digit(text.ptr[at]) && number < UINT32_MAX / 10) {
            number = number * 10 + (uint64_t)(text.ptr[at++] - '0');
        }
        if (at == first) {
            return i > 0;
        }
        v->numbers[i] = (uint32_t)number;
        if (at >= text.len || text.ptr[at] != '.') {
            break;
        }
        at++;
    }
    v->is_prerelease = at < text.len && text.ptr[at] == '-';
    return true;
}

static enum corral_err read_version(struct slice json, struct version *v)
{
    struct scan_value root = scan_root(json);
    struct scan_value found;

    if (!scan_find(json, &root, SLICE_LITERAL("version"), &found) || found.kind != SCAN_STRING) {
        return CE_UPSTREAM_NONSENSE;
    }
    struct slice text = slice_of(json.ptr + found.offset + 1, found.len - 2);

    if (text.len >= sizeof(v->text)) {
        return CE_UPSTREAM_NONSENSE;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_version_character(text.ptr[i])) {
            return CE_UPSTREAM_NONSENSE;
        }
        v->text[i] = text.ptr[i];
    }
    return read_numbers(text, v) ? CE_OK : CE_UPSTREAM_NONSENSE;
}

enum corral_err version_parse(struct slice json, struct version *out)
{
    struct arena arena = {0};
    struct version v = {0};
    enum corral_err err = scan_check(json, KEYS_MAX, &arena, NULL);

    arena_finish(&arena);
    err = err == CE_OK ? read_version(json, &v) : CE_UPSTREAM_NONSENSE;
    if (err == CE_OK) {
        *out = v;
    }
    return err;
}

int version_compare(const struct version *a, const struct version *b)
{
    for (size_t i = 0; i < VERSION_NUMBERS; i++) {
        if (a->numbers[i] != b->numbers[i]) {
            return a->numbers[i] < b->numbers[i] ? -1 : 1;
        }
    }
    return (int)b->is_prerelease - (int)a->is_prerelease;
}
