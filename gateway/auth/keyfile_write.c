/*
 * Replacing the API key file: called by the command line, never by a worker. The file is written
 * whole, beside itself, and renamed. It may be behind a link, and may be another user's than who
 * runs the command: root makes keys that a service reads. So the link stays, and owner, group, mode
 * and access control list are those of the file before; where that cannot be, nothing is written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "auth/fault.h"
#include "auth/keyfile.h"
#include "base/buf.h"
#include "base/mem.h"

static const char acl_name[] = "system.posix_acl_access";
enum { ACL_MAX_BYTES = 65536 };

/* Where the file is, behind links; it need not be there itself. Caller frees; NULL: errno tells. */
static char *resolve(const char *path)
{
    struct stat st;
    char *real = realpath(path, NULL);

    if (real != NULL || errno != ENOENT) {
        return real;
    }
    if (lstat(path, &st) == 0) {
        errno = ELOOP; /* a link to nothing: what it shall be made of is not known */
        return NULL;
    }
    return xstrdup(path);
}

static enum corral_err unwritten(const char *path, struct auth_fault *out_fault)
{
    return auth_fault_set(out_fault, "%s: cannot be written: %s", path, strerror(errno));
}

static enum corral_err leads_nowhere(const char *path, struct auth_fault *out_fault)
{
    return auth_fault_set(out_fault,
                          "%s: is a link that leads to no file; make the file there, or remove the "
                          "link",
                          path);
}

int keyfile_lock(const char *path, struct auth_fault *out_fault)
{
    char *real = resolve(path);
    int fd = real == NULL ? -1 : keyfile_open_folder(real);

    if (fd >= 0 && flock(fd, LOCK_EX) == 0) {
        free(real);
        return fd;
    }
    if (real == NULL && errno == ELOOP) {
        (void)leads_nowhere(path, out_fault);
    } else {
        (void)auth_fault_set(out_fault,
                             "%s: its folder cannot be locked: %s; make the folder first", path,
                             strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    free(real);
    return -1;
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        bytes = n < 0 ? bytes : slice_from(bytes, (size_t)n);
    }
    return true;
}

/* The folder's entry must reach the disk too, or the old file may come back after a crash. */
static void sync_folder(const char *path)
{
    int fd = keyfile_open_folder(path);

    if (fd >= 0) {
        (void)fsync(fd); /* some file systems cannot; the rename itself was done */
        close(fd);
    }
}

/* With an access control list the group's bits are its mask: the mode alone would lock users out.
 */
static bool keep_acl(int fd, const char *path)
{
    char acl[ACL_MAX_BYTES];
    ssize_t len = getxattr(path, acl_name, acl, sizeof(acl));

    if (len < 0) {
        return errno == ENODATA || errno == ENOTSUP;
    }
    return fsetxattr(fd, acl_name, acl, (size_t)len, 0) == 0;
}

/* `fd` becomes as the file that it shall replace. */
static enum corral_err keep_facts(int fd, const char *path, const struct stat *old,
                                  struct auth_fault *out_fault)
{
    struct stat st;

    if (old->st_nlink > 1) {
        return auth_fault_set(out_fault,
                              "%s: has %lu names (hard links), and only this one would be written; "
                              "remove the others or link them with ln -s",
                              path, (unsigned long)old->st_nlink);
    }
    if (fstat(fd, &st) != 0 || ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
                                fchown(fd, old->st_uid, old->st_gid) != 0)) {
        return auth_fault_set(out_fault,
                              "%s: belongs to user %u and group %u, and you may not give a file to "
                              "them: run this as that user or as root",
                              path, old->st_uid, old->st_gid);
    }
    if (fchmod(fd, old->st_mode & 0777) != 0 || !keep_acl(fd, path)) {
        return auth_fault_set(out_fault, "%s: its mode cannot be kept: %s", path, strerror(errno));
    }
    return CE_OK;
}

/* mkostemp makes it 0600, which is right for a new file. */
static enum corral_err fill(int fd, const char *path, struct slice bytes,
                            struct auth_fault *out_fault)
{
    struct stat old;

    if (stat(path, &old) == 0) {
        enum corral_err err = keep_facts(fd, path, &old, out_fault);

        if (err != CE_OK) {
            return err;
        }
    }
    return write_all(fd, bytes) && fsync(fd) == 0 ? CE_OK : unwritten(path, out_fault);
}

static enum corral_err replace(const char *path, struct slice bytes, struct auth_fault *out_fault)
{
    static const char suffix[] = ".XXXXXX";
    size_t len = strlen(path);
    char *temporary = xcalloc(1, len + sizeof(suffix));

    memcpy(temporary, path, len);
    memcpy(temporary + len, suffix, sizeof(suffix));
    int fd = mkostemp(temporary, O_CLOEXEC);
    enum corral_err err = fd < 0 ? unwritten(path, out_fault) : fill(fd, path, bytes, out_fault);

    if (fd >= 0 && close(fd) != 0 && err == CE_OK) {
        err = unwritten(path, out_fault);
    }
    if (err == CE_OK && rename(temporary, path) != 0) {
        err = unwritten(path, out_fault);
    }
    if (err == CE_OK) {
        sync_folder(path);
    } else if (fd >= 0) {
        unlink(temporary);
    }
    free(temporary);
    return err;
}

enum corral_err keyfile_write(const char *path, const struct keyfile *f,
                              struct auth_fault *out_fault)
{
    char *real = resolve(path);
    struct buf b = buf_make(KEYFILE_MAX_BYTES);
    enum corral_err err;

    if (real == NULL) {
        return errno == ELOOP ? leads_nowhere(path, out_fault) : unwritten(path, out_fault);
    }
    err = keyfile_text(f, &b) == CE_OK
              ? replace(real, buf_slice(&b), out_fault)
              : auth_fault_set(out_fault, "%s: too many keys to write", path);
    buf_finish(&b);
    free(real);
    return err;
}
