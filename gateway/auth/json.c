#include "auth/json.h"

bool json_member(struct slice text, const struct scan_value *object, const char *name,
                 struct arena *arena, struct scan_value *out)
{
    struct scan_cursor c = scan_open(text, object);
    struct slice wanted = slice_str(name);
    struct scan_value v;

    while (scan_next(&c, &v)) {
        struct scan_value key = {.kind = SCAN_STRING, .offset = v.key_offset, .len = v.key.len + 2};

        if (v.key.len >= wanted.len && slice_eq(scan_string(text, &key, arena), wanted)) {
            *out = v;
            return true;
        }
    }
    return false;
}

struct slice json_member_string(struct slice text, const struct scan_value *object,
                                const char *name, struct arena *arena)
{
    struct scan_value v;

    if (!json_member(text, object, name, arena, &v) || v.kind != SCAN_STRING) {
        return slice_of(NULL, 0);
    }
    struct slice s = scan_string(text, &v, arena);

    return s.ptr == NULL ? slice_of("", 0) : s;
}
