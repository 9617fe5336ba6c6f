#include <stdlib.h>

#include <openssl/crypto.h>

#include "auth/fault.h"
#include "auth/impl.h"
#include "auth/keyfile.h"
#include "base/mem.h"

enum { HASH_BYTES = 32 };

/* The bytes are a SHA-256 with a salt of ours: as even as any hash of them. */
static size_t home_of(const struct api_keys *k, const unsigned char hash[static HASH_BYTES])
{
    uint64_t start;

    memcpy(&start, hash, sizeof(start));
    return start & (k->slot_count - 1);
}

static const struct api_key *find(const struct api_keys *k,
                                  const unsigned char hash[static HASH_BYTES])
{
    if (k->slot_count == 0) {
        return NULL;
    }
    for (size_t i = home_of(k, hash); k->slots[i] != 0; i = (i + 1) & (k->slot_count - 1)) {
        const struct api_key *key = &k->keys[k->slots[i] - 1];

        if (CRYPTO_memcmp(key->hash, hash, HASH_BYTES) == 0) {
            return key;
        }
    }
    return NULL;
}

static void place(struct api_keys *k, uint32_t index)
{
    size_t i = home_of(k, k->keys[index].hash);

    while (k->slots[i] != 0) {
        i = (i + 1) & (k->slot_count - 1);
    }
    k->slots[i] = index + 1;
}

static void alloc(struct api_keys *k, size_t count)
{
    k->slot_count = 16;
    while (k->slot_count < count * 2) {
        k->slot_count *= 2;
    }
    k->slots = xcalloc(k->slot_count, sizeof(*k->slots));
    k->keys = xcalloc(count + 1, sizeof(*k->keys));
}

static char *credential_text(const char *id)
{
    static const char prefix[] = "key:";
    size_t len = strlen(id);
    char *text = xcalloc(1, sizeof(prefix) + len);

    memcpy(text, prefix, sizeof(prefix) - 1);
    memcpy(text + sizeof(prefix) - 1, id, len);
    return text;
}

/* A tenant that was taken out of the configuration must not take the others' keys with it. */
static void skip(struct api_keys *k, const struct key_record *r, const char *path, size_t line)
{
    if (k->skipped == NULL) {
        k->skipped = xcalloc(SKIPPED_TEXTS + 1, sizeof(*k->skipped));
    }
    if (k->skipped_count++ < SKIPPED_TEXTS) {
        (void)auth_fault_set(&k->skipped[k->skipped_count - 1],
                             "%s: line %zu: key %s is for tenant \"%.64s\", which is not "
                             "configured: it is skipped; add the tenant or remove the line",
                             path, line, r->id, r->tenant);
    } else {
        (void)auth_fault_set(&k->skipped[SKIPPED_TEXTS],
                             "%zu keys in all are for tenants that are not configured",
                             k->skipped_count);
    }
}

static enum corral_err take(struct api_keys *k, const struct key_record *r, size_t line,
                            const struct auth_settings *settings, struct auth_fault *out_fault)
{
    const struct tenant_settings *tenant = auth_find_tenant(settings, slice_str(r->tenant));

    if (tenant == NULL) {
        skip(k, r, settings->api_keys_file, line);
        return CE_OK;
    }
    if (find(k, r->hash) != NULL) {
        return auth_fault_set(out_fault, "%s: line %zu: key %s is there twice; remove one line",
                              settings->api_keys_file, line, r->id);
    }
    struct api_key *key = &k->keys[k->count];

    key->tenant = tenant;
    key->user = xstrdup(r->user);
    key->credential = credential_text(r->id);
    key->revoked = r->revoked;
    memcpy(key->hash, r->hash, sizeof(key->hash));
    place(k, (uint32_t)k->count);
    k->count++;
    return CE_OK;
}

enum corral_err api_keys_read(struct api_keys *out, const struct auth_settings *settings,
                              struct auth_fault *out_fault)
{
    struct keyfile file;
    enum corral_err err = keyfile_read(settings->api_keys_file, &file, out_fault);

    if (err == CE_NOT_FOUND) {
        return auth_fault_set(out_fault,
                              "%s: there is no such file; `corral key create --file %s --tenant "
                              "NAME` makes it",
                              settings->api_keys_file, settings->api_keys_file);
    }
    if (err != CE_OK) {
        return err;
    }
    memcpy(out->salt, file.salt, sizeof(out->salt));
    alloc(out, file.count);
    for (size_t i = 0; i < file.count && err == CE_OK; i++) {
        /* Records follow the header line in the file, one a line. */
        err = take(out, &file.records[i], i + 2, settings, out_fault);
    }
    keyfile_finish(&file);
    return err; /* the caller finishes a half-made table */
}

void api_keys_finish(struct api_keys *k)
{
    for (size_t i = 0; i < k->count; i++) {
        free(k->keys[i].user);
        free(k->keys[i].credential);
    }
    free(k->keys);
    free(k->slots);
    free(k->skipped);
    *k = (struct api_keys){0};
}

bool api_keys_any(const struct api_keys *k)
{
    for (size_t i = 0; i < k->count; i++) {
        if (!k->keys[i].revoked) {
            return true;
        }
    }
    return false;
}

enum corral_err api_keys_find(const struct api_keys *k, struct slice text, struct verified *out)
{
    unsigned char hash[HASH_BYTES];

    if (k->slot_count == 0) {
        return CE_AUTH_KEY_UNKNOWN;
    }
    keyfile_hash(k->salt, text, hash);
    const struct api_key *key = find(k, hash);

    if (key == NULL || key->revoked) {
        return CE_AUTH_KEY_UNKNOWN;
    }
    *out = (struct verified){
        .principal = {.tenant = key->tenant,
                      .verbs = key->tenant->verbs,
                      .user = slice_str(key->user),
                      .credential = slice_str(key->credential)},
        .exp = UINT64_MAX,
    };
    return CE_OK;
}
