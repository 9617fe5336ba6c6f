#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/sandbox.h"
#include "base/attr.h"

/* Newer than Debian 12's headers; linux/landlock.h of 6.7 and 6.10 has the same numbers. */
enum {
    RULE_NET_PORT = 2,
    NET_BIND_TCP = 1u << 0,
    NET_CONNECT_TCP = 1u << 1,
    FS_REFER = 1u << 13,
    FS_TRUNCATE = 1u << 14,
    FS_IOCTL_DEV = 1u << 15,
    FS_ALL_OF_ABI_1 = (1u << 13) - 1,
    ABI_REFER = 2,
    ABI_TRUNCATE = 3,
    ABI_NET = 4,
    ABI_IOCTL = 5,
    PORT_DNS = 53,
};

struct ruleset {
    uint64_t fs;
    uint64_t net;
};

struct net_port {
    uint64_t allowed;
    uint64_t port;
};

/* What resolving a name reads, and the system's certificate authorities; absent ones are no loss.
 */
static const char *const system_paths[] = {
    "/etc/resolv.conf",     "/etc/hosts",
    "/etc/nsswitch.conf",   "/etc/host.conf",
    "/etc/gai.conf",        "/etc/services",
    "/run/systemd/resolve", "/etc/ssl",
    "/usr/lib/ssl",         "/usr/share/ca-certificates",
};

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return abi < 0 ? 0 : (int)abi;
}

static uint64_t fs_rights(int abi)
{
    uint64_t rights = FS_ALL_OF_ABI_1;

    rights |= abi >= ABI_REFER ? FS_REFER : 0;
    rights |= abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0;
    rights |= abi >= ABI_IOCTL ? FS_IOCTL_DEV : 0;
    return rights;
}

static uint64_t rights_of(enum sandbox_right right, int abi)
{
    uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    uint64_t write = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                     LANDLOCK_ACCESS_FS_REMOVE_FILE;

    switch (right) {
    case SANDBOX_READ:
        return read;
    case SANDBOX_WRITE:
        return read | write | (abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0);
    case SANDBOX_REMOVE:
        return LANDLOCK_ACCESS_FS_REMOVE_FILE;
    }
    return 0;
}

/* A path that is not there allows nothing, which is what it is good for. */
static bool allow_path(int ruleset, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights};
    struct stat st;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return true;
    }
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE;
    }
    bool ok = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    int error = errno;

    close(rule.parent_fd);
    errno = error;
    return ok;
}

static bool allow_port(int ruleset, uint16_t port)
{
    const struct net_port rule = {NET_CONNECT_TCP, port};

    return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) == 0;
}

static bool add_rules(int ruleset, const struct sandbox *s)
{
    bool ok = true;

    for (size_t i = 0; i < s->folder_count && ok; i++) {
        ok = allow_path(ruleset, s->folders[i].path,
                        rights_of(s->folders[i].right, s->landlock_abi));
    }
    for (size_t i = 0; i < ARRAY_LEN(system_paths) && ok; i++) {
        ok = allow_path(ruleset, system_paths[i], rights_of(SANDBOX_READ, s->landlock_abi));
    }
    if (s->landlock_abi < ABI_NET) {
        return ok;
    }
    for (size_t i = 0; i < s->port_count && ok; i++) {
        ok = allow_port(ruleset, s->ports[i]);
    }
    return ok && allow_port(ruleset, PORT_DNS);
}

bool landlock_enter(const struct sandbox *s)
{
    const struct ruleset attr = {fs_rights(s->landlock_abi), NET_BIND_TCP | NET_CONNECT_TCP};
    size_t size = s->landlock_abi >= ABI_NET ? sizeof(attr) : sizeof(attr.fs);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);

    if (ruleset < 0) {
        return false;
    }
    bool ok = add_rules(ruleset, s) && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    int error = errno;

    close(ruleset);
    errno = error;
    return ok;
}
