#include "ollama/splice.h"

#include <assert.h>

static void add(struct splice_list *list, size_t from, size_t to, struct slice with)
{
    assert(list->count < list->max && from <= to);
    list->items[list->count++] = (struct splice){.offset = from, .len = to - from, .with = with};
}

static bool keeps_any(struct slice text, const struct scan_value *object,
                      const struct splice_rule *rule)
{
    struct scan_cursor c = scan_open(text, object);
    struct scan_value member;
    struct slice with;
    bool kept = false;

    while (!kept && scan_next(&c, &member)) {
        kept = rule->decide(rule->arg, &member, &with) != SPLICE_DROP;
    }
    return kept;
}

static void add_front(struct splice_list *list, const struct scan_value *object,
                      const struct splice_rule *rule, bool comma, struct arena *arena)
{
    struct slice with = rule->added;

    if (comma) {
        char *text = arena_alloc(arena, with.len + 1);

        memcpy(text, with.ptr, with.len);
        text[with.len] = ',';
        with = slice_of(text, with.len + 1);
    }
    add(list, object->offset + 1, object->offset + 1, with);
}

/*
 * A dropped member behind a kept one goes from the end of the member before it, so with its leading
 * comma; those in front of the first kept one go up to the next key, so with their trailing comma.
 */
void splice_object(struct splice_list *list, struct slice text, const struct scan_value *object,
                   const struct splice_rule *rule, struct arena *arena)
{
    const struct slice nothing = {NULL, 0};
    struct scan_cursor c = scan_open(text, object);
    struct scan_value member;
    size_t end = object->offset + 1; /* of the member before */
    size_t leading = 0;              /* where dropped members in front begin; 0: none */
    bool kept = false;

    if (rule->added.len > 0) {
        add_front(list, object, rule, keeps_any(text, object, rule), arena);
    }
    while (scan_next(&c, &member)) {
        struct slice with = nothing;
        enum splice_act act = rule->decide(rule->arg, &member, &with);
        size_t member_end = member.offset + member.len;

        if (act == SPLICE_DROP && kept) {
            add(list, end, member_end, nothing);
        } else if (act == SPLICE_DROP && leading == 0) {
            leading = member.key_offset;
        } else if (act != SPLICE_DROP && leading != 0) {
            add(list, leading, member.key_offset, nothing);
            leading = 0;
        }
        if (act == SPLICE_REPLACE) {
            add(list, member.key_offset, member_end, with);
        }
        kept = kept || act != SPLICE_DROP;
        end = member_end;
    }
    if (leading != 0) {
        add(list, leading, end, nothing);
    }
}

void splice_sort(struct splice_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        struct splice moved = list->items[i];
        size_t j = i;

        while (j > 0 && list->items[j - 1].offset > moved.offset) {
            list->items[j] = list->items[j - 1];
            j--;
        }
        list->items[j] = moved;
    }
}
