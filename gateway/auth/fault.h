/**
 * Sentences for operators: what is wrong with a file of keys, and what would be right.
 */
#ifndef CORRAL_AUTH_FAULT_H
#define CORRAL_AUTH_FAULT_H

#include <stddef.h>

#include "auth/auth.h"
#include "base/attr.h"

/** Write the sentence (cut at its room) and give CE_KEYS. `f` may be NULL. */
enum corral_err auth_fault_set(struct auth_fault *f, const char *format, ...) PRINTF_LIKE(2, 3);

/** The bytes of one file of keys, perhaps secret ones. */
struct file_bytes {
    char *ptr; /* owned */
    size_t len;
};

/**
 * Read a regular file whole. Blocks; never called by a worker.
 *
 * @return CE_OK; CE_NOT_FOUND when there is no such file, else CE_KEYS; the fault is filled on
 * both.
 */
MUST_USE enum corral_err file_bytes_read(const char *path, size_t max_bytes, struct file_bytes *out,
                                         struct auth_fault *out_fault);

/** Wipes, then frees. */
void file_bytes_finish(struct file_bytes *f);

#endif
