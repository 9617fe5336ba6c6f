#include "auth/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum corral_err auth_fault_set(struct auth_fault *f, const char *format, ...)
{
    va_list args;

    if (f == NULL) {
        return CE_KEYS;
    }
    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
    return CE_KEYS;
}

static bool read_all(int fd, char *into, size_t room, size_t *out_len)
{
    size_t len = 0;

    while (len < room) {
        ssize_t n = read(fd, into + len, room - len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return false;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    *out_len = len;
    return true;
}

static enum corral_err read_fd(int fd, const char *path, size_t max_bytes, struct file_bytes *out,
                               struct auth_fault *out_fault)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return auth_fault_set(out_fault, "%s: not a regular file", path);
    }
    if (st.st_size < 0 || (uint64_t)st.st_size > max_bytes) {
        return auth_fault_set(out_fault, "%s: larger than the %zu bytes that are allowed", path,
                              max_bytes);
    }
    /* One byte more than stat said, so that a file that grew meanwhile is noticed. */
    size_t room = (size_t)st.st_size + 1;
    struct file_bytes bytes = {.ptr = malloc(room)};
    enum corral_err err = CE_OK;

    if (bytes.ptr == NULL) {
        return auth_fault_set(out_fault, "%s: no memory to read it", path);
    }
    if (!read_all(fd, bytes.ptr, room, &bytes.len)) {
        err = auth_fault_set(out_fault, "%s: cannot be read: %s", path, strerror(errno));
    } else if (bytes.len == room) {
        err = auth_fault_set(out_fault, "%s: changed while it was read; try again", path);
    }
    if (err != CE_OK) {
        bytes.len = room;
        file_bytes_finish(&bytes);
        return err;
    }
    *out = bytes;
    return CE_OK;
}

enum corral_err file_bytes_read(const char *path, size_t max_bytes, struct file_bytes *out,
                                struct auth_fault *out_fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */

    if (fd < 0) {
        int why = errno;

        auth_fault_set(out_fault, "%s: cannot be opened: %s", path, strerror(why));
        return why == ENOENT ? CE_NOT_FOUND : CE_KEYS;
    }
    enum corral_err err = read_fd(fd, path, max_bytes, out, out_fault);

    close(fd);
    return err;
}

void file_bytes_finish(struct file_bytes *f)
{
    if (f->ptr != NULL) {
        explicit_bzero(f->ptr, f->len);
        free(f->ptr);
    }
    *f = (struct file_bytes){0};
}
