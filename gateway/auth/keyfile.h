/**
 * The API key file: one JSON line a key, salted SHA-256 of the key, never the key itself.
 *
 *     {"corral_keys":1,"salt":"…"}
 *     {"id":"k7f3…","tenant":"acme","user":"ada","hash":"…","created":"…","revoked":false}
 *
 * One random salt a file, so that a key is found by one hash however many there are. A key is "ck_"
 * and 43 base64url characters (256 random bits); its hash needs no stretching. The file is written
 * whole, beside itself, and renamed, so readers see one or the other.
 */
#ifndef CORRAL_AUTH_KEYFILE_H
#define CORRAL_AUTH_KEYFILE_H

#include "auth/auth.h"

enum {
    KEY_TEXT_BYTES = 47,
    KEY_ID_BYTES = 13,
    KEYFILE_MAX_KEYS = 100000,
    KEYFILE_MAX_BYTES = 64 * 1024 * 1024,
    KEYFILE_SALT_BYTES = 16,
    KEYFILE_HASH_BYTES = 32,
    KEYFILE_MAX_TENANT_BYTES = 64,
};

struct buf;

struct key_record {
    char id[KEY_ID_BYTES];
    char *tenant; /* owned */
    char *user;   /* owned; may be "" */
    unsigned char hash[KEYFILE_HASH_BYTES];
    char created[21]; /* "2026-11-21T13:22:27Z" */
    bool revoked;
};

/** Zeroed it is an empty file; its salt is drawn with the first key. */
struct keyfile {
    unsigned char salt[KEYFILE_SALT_BYTES];
    struct key_record *records; /* owned */
    size_t count;
    size_t capacity;
};

/**
 * Read a file.
 *
 * @return CE_OK; CE_NOT_FOUND when it is missing (*out is an empty file then, ready for a first
 *         key); CE_KEYS when malformed, with the line in the fault.
 */
MUST_USE enum corral_err keyfile_read(const char *path, struct keyfile *out,
                                      struct auth_fault *out_fault);

/** Read a text; `name` stands for it in the fault. CE_OK or CE_KEYS. */
MUST_USE enum corral_err keyfile_parse(struct slice text, const char *name, struct keyfile *out,
                                       struct auth_fault *out_fault);

/** The file as it is written. CE_OK, or what the buffer says. */
MUST_USE enum corral_err keyfile_text(const struct keyfile *f, struct buf *out);

/**
 * Write the file that `path` names or links to. A new one has mode 0600; one that is there keeps
 * its owner, group, mode and access control list, and a link stays a link.
 *
 * @return CE_OK, or CE_KEYS with the fault filled; the old file stays then. Blocks.
 */
MUST_USE enum corral_err keyfile_write(const char *path, const struct keyfile *f,
                                       struct auth_fault *out_fault);
void keyfile_finish(struct keyfile *f);

/**
 * Hold off other writers from reading to writing: locks the folder of the file itself, which nobody
 * replaces.
 *
 * @return a descriptor; close() unlocks. -1, with the fault filled, when the folder cannot be
 * locked or `path` is a link that leads to no file. Blocks.
 */
int keyfile_lock(const char *path, struct auth_fault *out_fault);

/** The folder that holds `path`: a descriptor, or -1. */
int keyfile_open_folder(const char *path);

/** Make a new key, append its record, and give its text (NUL-terminated) once. */
void keyfile_create_key(struct keyfile *f, const char *tenant, const char *user,
                        char out_key[static KEY_TEXT_BYTES]);

/** Revoke every record of that id. @return CE_OK, CE_NOT_FOUND. */
MUST_USE enum corral_err keyfile_revoke(struct keyfile *f, const char *id);

/** Append a key that is given (first start keeps its own). CE_AUTH_TOKEN_SHAPE when not a key. */
MUST_USE enum corral_err keyfile_add_key(struct keyfile *f, const char *tenant, const char *user,
                                         struct slice key);

/** SHA-256 of salt and key. `key` has KEY_TEXT_BYTES - 1 bytes. */
void keyfile_hash(const unsigned char salt[static KEYFILE_SALT_BYTES], struct slice key,
                  unsigned char out[static KEYFILE_HASH_BYTES]);

/** Names a tenant may have: 1 to 64 letters, digits, '.', '_' and '-'. */
bool auth_tenant_name_ok(struct slice name);

/** Names a person may carry: at most AUTH_MAX_USER_BYTES of UTF-8 without control characters. */
bool auth_user_ok(struct slice user);

#endif
