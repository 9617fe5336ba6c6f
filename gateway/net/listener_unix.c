#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listener.h"

enum { SOCKET_MODE = 0660 };

static const char *path_of(const struct net_address *a)
{
    return ((const struct sockaddr_un *)&a->storage)->sun_path;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Whether the path is free, after removing a socket that nobody listens on any more. */
static bool make_room(const struct net_address *a)
{
    struct stat st;
    int fd;

    if (lstat(path_of(a), &st) != 0) {
        return errno == ENOENT;
    }
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return false;
    }
    fd = new_socket();
    if (fd < 0) {
        return false;
    }
    int connected = connect(fd, (const struct sockaddr *)&a->storage, a->len);
    int error = errno;

    close(fd);
    if (connected == 0 || error != ECONNREFUSED) {
        errno = connected == 0 || error == EAGAIN ? EADDRINUSE : error;
        return false;
    }
    return unlink(path_of(a)) == 0;
}

enum corral_err listener_open_unix(const struct net_address *address, struct unix_socket *out,
                                   int *out_fd)
{
    struct unix_socket made = {.address = *address};
    struct stat st;
    int fd;

    if (!make_room(address) || (fd = new_socket()) < 0) {
        return CE_ADDRESS;
    }
    /* Before the bind, so that it is never open to more than it shall be. */
    if (fchmod(fd, SOCKET_MODE) != 0 ||
        bind(fd, (const struct sockaddr *)&address->storage, address->len) != 0 ||
        chmod(path_of(address), SOCKET_MODE) != 0 || stat(path_of(address), &st) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return CE_ADDRESS;
    }
    made.device = st.st_dev;
    made.inode = st.st_ino;
    made.made = true;
    *out = made;
    *out_fd = fd;
    return CE_OK;
}

void listener_remove_unix(struct unix_socket *s)
{
    struct stat st;

    if (s->made && lstat(path_of(&s->address), &st) == 0 && st.st_dev == s->device &&
        st.st_ino == s->inode) {
        (void)unlink(path_of(&s->address));
    }
    s->made = false;
}
