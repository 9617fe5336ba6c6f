#include "auth/fault.h"
#include "auth/json.h"
#include "auth/keyfile.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"

enum { LINE_KEYS_MAX = 16, LINE_MAX_BYTES = 4096 };

/* One line while it is read. */
struct line {
    struct slice text;
    struct scan_value root;
    struct arena *arena;
};

static struct slice line_string(const struct line *l, const char *name)
{
    return json_member_string(l->text, &l->root, name, l->arena);
}

/* Exactly `want` bytes as base64url. */
static bool line_bytes(const struct line *l, const char *name, size_t want, unsigned char *out)
{
    struct slice text = line_string(l, name);
    size_t len = 0;

    return text.len == BASE64URL_LEN(want) && base64url_decode(text, out, &len) == CE_OK &&
           len == want;
}

/* A member that nobody here knows could be one that takes rights away. */
static bool members_known(const struct line *l, const char *const names[], size_t count)
{
    struct scan_cursor c = scan_open(l->text, &l->root);
    struct scan_value v;

    while (scan_next(&c, &v)) {
        size_t i = 0;

        while (i < count && !slice_eq_str(v.key, names[i])) {
            i++;
        }
        if (i == count) {
            return false;
        }
    }
    return true;
}

static const char *read_header(const struct line *l, struct keyfile *f)
{
    static const char *const names[] = {"corral_keys", "salt"};
    struct scan_value version;

    if (!json_member(l->text, &l->root, "corral_keys", l->arena, &version)) {
        return "the first line must be {\"corral_keys\":1,\"salt\":...}";
    }
    if (version.kind != SCAN_NUMBER || !slice_eq_str(scan_raw(l->text, &version), "1")) {
        return "written by another version; this one reads corral_keys 1";
    }
    if (!line_bytes(l, "salt", sizeof(f->salt), f->salt)) {
        return "salt must be 22 characters of base64url";
    }
    return members_known(l, names, ARRAY_LEN(names)) ? NULL : "has a member that is not known";
}

static bool id_ok(struct slice id)
{
    if (id.len == 0 || id.len >= KEY_ID_BYTES) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) {
            return false;
        }
    }
    return true;
}

static const char *read_record(const struct line *l, struct key_record *r)
{
    static const char *const names[] = {"id", "tenant", "user", "hash", "created", "revoked"};
    struct slice id = line_string(l, "id");
    struct slice tenant = line_string(l, "tenant");
    struct slice user = line_string(l, "user");
    struct slice created = line_string(l, "created");
    struct scan_value revoked;

    if (!members_known(l, names, ARRAY_LEN(names))) {
        return "has a member that is not known";
    }
    if (!id_ok(id)) {
        return "id must be 1 to 12 lower case letters and digits";
    }
    if (!auth_tenant_name_ok(tenant)) {
        return "tenant must be 1 to 64 letters, digits, '.', '_' and '-'";
    }
    if (user.ptr == NULL || !auth_user_ok(user)) {
        return "user must be a string of at most 256 bytes without control characters";
    }
    if (!line_bytes(l, "hash", sizeof(r->hash), r->hash)) {
        return "hash must be 43 characters of base64url";
    }
    if (created.ptr == NULL || created.len >= sizeof(r->created)) {
        return "created must be a time like 2026-11-21T13:22:27Z";
    }
    if (!json_member(l->text, &l->root, "revoked", l->arena, &revoked) ||
        (revoked.kind != SCAN_TRUE && revoked.kind != SCAN_FALSE)) {
        return "revoked must be true or false";
    }
    memcpy(r->id, id.ptr, id.len);
    memcpy(r->created, created.ptr, created.len);
    r->tenant = xstrndup(tenant.ptr, tenant.len);
    r->user = xstrndup(user.ptr, user.len);
    r->revoked = revoked.kind == SCAN_TRUE;
    return NULL;
}

static const char *take_line(struct slice text, bool is_first, struct arena *arena,
                             struct keyfile *f)
{
    struct line l = {.text = text, .arena = arena};
    struct key_record record = {0};

    if (text.len > LINE_MAX_BYTES || scan_check(text, LINE_KEYS_MAX, arena, NULL) != CE_OK) {
        return "not one strict JSON object";
    }
    l.root = scan_root(text);
    if (is_first) {
        return read_header(&l, f);
    }
    if (f->count == KEYFILE_MAX_KEYS) {
        return "one key too many; 100000 are allowed";
    }
    const char *why = read_record(&l, &record);

    if (why == NULL) {
        f->records = xgrow(f->records, f->count, &f->capacity, sizeof(*f->records));
        f->records[f->count++] = record;
    }
    return why;
}

enum corral_err keyfile_parse(struct slice text, const char *name, struct keyfile *out,
                              struct auth_fault *out_fault)
{
    struct keyfile f = {0};
    const char *why = text.len == 0 ? "the file is empty; `corral key create` writes it" : NULL;
    size_t number = 1;

    while (why == NULL && text.len > 0) {
        struct arena arena = {0};
        size_t end = slice_find(text, '\n');

        why = take_line(slice_of(text.ptr, end), number == 1, &arena, &f);
        text = slice_from(text, end + 1);
        number += why == NULL ? 1 : 0;
        arena_finish(&arena);
    }
    if (why != NULL) {
        keyfile_finish(&f);
        return auth_fault_set(out_fault, "%s: line %zu: %s", name, number, why);
    }
    *out = f;
    return CE_OK;
}

enum corral_err keyfile_read(const char *path, struct keyfile *out, struct auth_fault *out_fault)
{
    struct file_bytes bytes;
    enum corral_err err = file_bytes_read(path, KEYFILE_MAX_BYTES, &bytes, out_fault);

    if (err != CE_OK) {
        *out = (struct keyfile){0};
        return err;
    }
    err = keyfile_parse(slice_of(bytes.ptr, bytes.len), path, out, out_fault);
    file_bytes_finish(&bytes);
    return err;
}

static enum corral_err put_member(struct buf *b, const char *before, const char *value)
{
    enum corral_err err = buf_append_str(b, before);

    return err == CE_OK ? buf_append_json(b, slice_str(value)) : err;
}

static enum corral_err put_record(struct buf *b, const struct key_record *r)
{
    char hash[BASE64URL_LEN(KEYFILE_HASH_BYTES) + 1];
    enum corral_err err = put_member(b, "{\"id\":\"", r->id);

    base64url_encode(r->hash, sizeof(r->hash), hash);
    if (err == CE_OK) {
        err = put_member(b, "\",\"tenant\":\"", r->tenant);
    }
    if (err == CE_OK) {
        err = put_member(b, "\",\"user\":\"", r->user);
    }
    if (err == CE_OK) {
        err = put_member(b, "\",\"hash\":\"", hash);
    }
    if (err == CE_OK) {
        err = put_member(b, "\",\"created\":\"", r->created);
    }
    return err == CE_OK ? buf_printf(b, "\",\"revoked\":%s}\n", r->revoked ? "true" : "false")
                        : err;
}

enum corral_err keyfile_text(const struct keyfile *f, struct buf *b)
{
    char salt[BASE64URL_LEN(KEYFILE_SALT_BYTES) + 1];

    base64url_encode(f->salt, sizeof(f->salt), salt);
    enum corral_err err = buf_printf(b, "{\"corral_keys\":1,\"salt\":\"%s\"}\n", salt);

    for (size_t i = 0; i < f->count && err == CE_OK; i++) {
        err = put_record(b, &f->records[i]);
    }
    return err;
}
