#include "auth/keyfile.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/utf8.h"

static const char key_prefix[] = "ck_";
enum { KEY_PREFIX_BYTES = sizeof(key_prefix) - 1, KEY_RANDOM_BYTES = 32 };

bool auth_tenant_name_ok(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
            c != '-') {
            return false;
        }
    }
    return name.len > 0 && name.len <= KEYFILE_MAX_TENANT_BYTES;
}

/* C0, DEL and, as UTF-8, C1: they would steer whoever prints a log line. */
bool auth_user_ok(struct slice user)
{
    if (user.len > AUTH_MAX_USER_BYTES || !utf8_valid(user)) {
        return false;
    }
    for (size_t i = 0; i < user.len; i++) {
        unsigned char b = (unsigned char)user.ptr[i];
        bool c1 = b == 0xc2 && i + 1 < user.len && (unsigned char)user.ptr[i + 1] < 0xa0;

        if (b < 0x20 || b == 0x7f || c1) {
            return false;
        }
    }
    return true;
}

void keyfile_finish(struct keyfile *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->records[i].tenant);
        free(f->records[i].user);
    }
    free(f->records);
    *f = (struct keyfile){0};
}

static EVP_MD *sha256; /* a constant once it is there; lives as long as the process */
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* EVP_sha256() would be looked up in OpenSSL's shared tables again for every request. */
static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (sha256 == NULL) {
        mem_exhausted();
    }
}

void keyfile_hash(const unsigned char salt[static KEYFILE_SALT_BYTES], struct slice key,
                  unsigned char out[static KEYFILE_HASH_BYTES])
{
    unsigned char input[KEYFILE_SALT_BYTES + KEY_TEXT_BYTES];

    assert(key.len < KEY_TEXT_BYTES);
    pthread_once(&sha256_once, fetch_sha256);
    memcpy(input, salt, KEYFILE_SALT_BYTES);
    memcpy(input + KEYFILE_SALT_BYTES, key.ptr, key.len);
    if (EVP_Digest(input, KEYFILE_SALT_BYTES + key.len, out, NULL, sha256, NULL) != 1) {
        mem_exhausted(); /* SHA-256 of 62 bytes fails for no other reason */
    }
    explicit_bzero(input, sizeof(input));
}

static void draw_salt(struct keyfile *f)
{
    static const unsigned char none[KEYFILE_SALT_BYTES];

    if (f->count == 0 && memcmp(f->salt, none, sizeof(none)) == 0) {
        rand_bytes(f->salt, sizeof(f->salt));
    }
}

/* 'k' and 11 characters of five random bits each: names a key in logs and for revoking. */
static void draw_id(char out[static KEY_ID_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

    rand_bytes(out, KEY_ID_BYTES);
    for (size_t i = 0; i < KEY_ID_BYTES; i++) {
        out[i] = letters[(unsigned char)out[i] & 31u];
    }
    out[0] = 'k';
    out[KEY_ID_BYTES - 1] = '\0';
}

static void append(struct keyfile *f, const char *tenant, const char *user, struct slice key)
{
    struct key_record r = {.tenant = xstrdup(tenant), .user = xstrdup(user == NULL ? "" : user)};
    char stamp[CLOCK_STAMP_BYTES];

    draw_salt(f);
    draw_id(r.id);
    keyfile_hash(f->salt, key, r.hash);
    clock_stamp(clock_wall_ms(), stamp);
    memcpy(r.created, stamp, 19); /* whole seconds */
    r.created[19] = 'Z';
    f->records = xgrow(f->records, f->count, &f->capacity, sizeof(*f->records));
    f->records[f->count++] = r;
}

void keyfile_create_key(struct keyfile *f, const char *tenant, const char *user,
                        char out_key[static KEY_TEXT_BYTES])
{
    unsigned char random[KEY_RANDOM_BYTES];

    rand_bytes(random, sizeof(random));
    memcpy(out_key, key_prefix, KEY_PREFIX_BYTES);
    base64url_encode(random, sizeof(random), out_key + KEY_PREFIX_BYTES);
    explicit_bzero(random, sizeof(random));
    append(f, tenant, user, slice_of(out_key, KEY_TEXT_BYTES - 1));
}

enum corral_err keyfile_add_key(struct keyfile *f, const char *tenant, const char *user,
                                struct slice key)
{
    unsigned char random[KEY_TEXT_BYTES];
    size_t len = 0;

    if (key.len != KEY_TEXT_BYTES - 1 || !slice_starts_with(key, slice_str(key_prefix))) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    enum corral_err err = base64url_decode(slice_from(key, KEY_PREFIX_BYTES), random, &len);

    explicit_bzero(random, sizeof(random));
    if (err != CE_OK || len != KEY_RANDOM_BYTES) {
        return CE_AUTH_TOKEN_SHAPE;
    }
    append(f, tenant, user, key);
    return CE_OK;
}

enum corral_err keyfile_revoke(struct keyfile *f, const char *id)
{
    enum corral_err err = CE_NOT_FOUND;

    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->records[i].id, id) == 0) {
            f->records[i].revoked = true;
            err = CE_OK;
        }
    }
    return err;
}

int keyfile_open_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    char *folder = slash == NULL ? xstrdup(".") : xstrndup(path, len == 0 ? 1 : len);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    free(folder);
    return fd;
}
