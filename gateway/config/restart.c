/*
 * Which keys of two configurations differ that need a new process: the schema's `restart`, which
 * the reference prints. Called by a reload, on main; owns nothing.
 */
#include <stdio.h>
#include <string.h>

#include "config/load.h"
#include "config/schema.h"

enum { PATH_BYTES = 128 };

struct comparison {
    struct buf *out;
    enum corral_err err;
};

static const void *at(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Of the kinds that a key for a restart has. */
static bool is_same(const struct key_spec *k, const void *a, const void *b)
{
    switch (k->kind) {
    case KEY_U64:
        return memcmp(a, b, sizeof(uint64_t)) == 0;
    case KEY_BOOL:
        return memcmp(a, b, sizeof(bool)) == 0;
    case KEY_STRING:
    case KEY_ADDRESS:
    case KEY_LISTEN:
        return same_text(*(char *const *)a, *(char *const *)b);
    default:
        return memcmp(a, b, sizeof(uint32_t)) == 0; /* numbers, words, flags, masks */
    }
}

static void name_key(struct comparison *c, const char *before, const char *name)
{
    if (c->err == CE_OK) {
        c->err = buf_printf(c->out, "%s%s%s", c->out->len == 0 ? "" : ", ", before, name);
    }
}

static void compare(struct comparison *c, const struct schema *schema, const char *before,
                    const void *old, const void *fresh);

static void compare_list(struct comparison *c, const struct key_spec *k, const char *before,
                         const void *old, const void *fresh)
{
    size_t count = *(const size_t *)at(old, k->count_offset);
    const char *x = *(char *const *)at(old, k->offset);
    const char *y = *(char *const *)at(fresh, k->offset);
    char inner[PATH_BYTES];

    if (count != *(const size_t *)at(fresh, k->count_offset)) {
        name_key(c, before, k->name);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(inner, sizeof(inner), "%s%s[%zu].", before, k->name, i);
        compare(c, k->inner, inner, x + i * k->inner->item_size, y + i * k->inner->item_size);
    }
}

static void compare(struct comparison *c, const struct schema *schema, const char *before,
                    const void *old, const void *fresh)
{
    char inner[PATH_BYTES];

    for (size_t i = 0; i < schema->count; i++) {
        const struct key_spec *k = &schema->keys[i];

        if (k->kind == KEY_BLOCK) {
            snprintf(inner, sizeof(inner), "%s%s.", before, k->name);
            compare(c, k->inner, inner, old, fresh);
        } else if (k->restart && k->kind == KEY_LIST) {
            compare_list(c, k, before, old, fresh);
        } else if (k->restart && !is_same(k, at(old, k->offset), at(fresh, k->offset))) {
            name_key(c, before, k->name);
        }
    }
}

enum corral_err config_changed_for_restart(const struct settings *old, const struct settings *fresh,
                                           struct buf *out)
{
    struct comparison c = {.out = out};

    compare(&c, &config_schema, "", old, fresh);
    return c.err;
}
