#include "app/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/settings.h"

enum { CAPABILITIES_MAX = 64, LINKS_MAX = 40 /* the kernel's own bound */ };

static void add_folder(struct sandbox *s, const char *path, size_t len, enum sandbox_right right)
{
    s->folders = xgrow(s->folders, s->folder_count, &s->folder_capacity, sizeof(*s->folders));
    s->folders[s->folder_count++] = (struct sandbox_folder){xstrndup(path, len), right};
}

static void add_path(struct sandbox *s, const char *path, enum sandbox_right right)
{
    if (path != NULL) {
        add_folder(s, path, strlen(path), right);
    }
}

static void add_parent(struct sandbox *s, const char *path, size_t len, enum sandbox_right right)
{
    const char *slash = memrchr(path, '/', len);

    if (slash == NULL) {
        add_path(s, ".", right);
    } else {
        add_folder(s, path, slash == path ? 1 : (size_t)(slash - path), right);
    }
}

/* How many bytes of `path` name the first link on the way, 0: there is none; and where it leads. */
static size_t find_link(char *path, char *target, size_t room)
{
    for (size_t i = 1; i <= strlen(path); i++) {
        char kept = path[i];

        if (kept != '/' && kept != '\0') {
            continue;
        }
        path[i] = '\0';
        ssize_t len = readlink(path, target, room - 1);
        path[i] = kept;
        if (len > 0) {
            target[len] = '\0';
            return i;
        }
    }
    return 0;
}

/*
 * A link is replaced by renaming another over it (the kubelet's `..data`), and the kernel looks at
 * where it leads. So the folder of every link on the way is allowed, and where the last one leads.
 */
static void add_links(struct sandbox *s, const char *path, bool is_file, enum sandbox_right right)
{
    char at[PATH_MAX];
    char target[PATH_MAX];
    char next[2 * PATH_MAX];
    size_t len;
    int links = 0;

    snprintf(at, sizeof(at), "%s", path);
    while (links < LINKS_MAX && (len = find_link(at, target, sizeof(target))) > 0) {
        const char *slash = memrchr(at, '/', len);
        int before = target[0] == '/' || slash == NULL ? 0 : (int)(slash - at) + 1;

        links++;
        add_parent(s, at, len, SANDBOX_READ);
        if (snprintf(next, sizeof(next), "%.*s%s%s", before, at, target, at + len) >= PATH_MAX) {
            return;
        }
        memcpy(at, next, strlen(next) + 1);
    }
    if (links > 0 && is_file) {
        add_parent(s, at, strlen(at), right);
    } else if (links > 0) {
        add_path(s, at, right);
    }
}

/* A file is replaced by renaming another over it: what counts is the folder it lies in. */
static void add_folder_of(struct sandbox *s, const char *file, enum sandbox_right right)
{
    if (file != NULL && file[0] != '\0') {
        add_parent(s, file, strlen(file), right);
        add_links(s, file, true, right);
    }
}

static void add_port(struct sandbox *s, uint16_t port)
{
    s->ports = xgrow(s->ports, s->port_count, &s->port_capacity, sizeof(*s->ports));
    s->ports[s->port_count++] = port;
}

/* The files of a folder may be links out of it. */
static void add_links_in(struct sandbox *s, const char *folder)
{
    DIR *d = opendir(folder);
    const struct dirent *entry;
    char file[PATH_MAX];

    while (d != NULL && (entry = readdir(d)) != NULL) {
        int len = snprintf(file, sizeof(file), "%s/%s", folder, entry->d_name);

        if (entry->d_name[0] != '.' && len < PATH_MAX) {
            add_links(s, file, true, SANDBOX_READ);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static void add_read(void *arg, enum settings_path kind, const char *path)
{
    if (kind == SETTINGS_FOLDER) {
        add_path(arg, path, SANDBOX_READ);
        add_links(arg, path, false, SANDBOX_READ);
        add_links_in(arg, path);
    } else {
        add_folder_of(arg, path, SANDBOX_READ);
    }
}

/* What a set of settings needs that a reload takes, whether it is in force or shall be. */
static void collect_read(struct sandbox *s, const struct settings *settings)
{
    settings_each_path(settings, add_read, s);
    for (size_t i = 0; i < settings->replica_count; i++) {
        if (settings->replicas[i].port != 0) {
            add_port(s, settings->replicas[i].port);
        }
    }
}

/* And what is for the process's life: another log or listener is for the next start. */
static void collect_written(struct sandbox *s, const struct settings *settings)
{
    add_folder_of(s, settings->log_file, SANDBOX_WRITE);
    for (size_t i = 0; i < settings->listener_count; i++) {
        const char *address = settings->listeners[i].address;

        if (strncmp(address, "unix:", 5) == 0) {
            add_folder_of(s, address + 5, SANDBOX_REMOVE);
        }
    }
}

static bool give_up_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const struct rlimit no_core = {0, 0};

    for (unsigned long c = 0; c < CAPABILITIES_MAX; c++) {
        (void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0); /* fails where there is none to drop */
    }
    return setrlimit(RLIMIT_CORE, &no_core) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_capset, &header, none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* The resolver loads its modules when it is first asked; later it could not. */
static void warm_up_resolver(void)
{
    struct addrinfo *list = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &list) == 0) {
        freeaddrinfo(list);
    }
}

static bool fail(struct sandbox_fault *out, const char *what)
{
    snprintf(out->text, sizeof(out->text), "sandbox: %s: %s", what, strerror(errno));
    return false;
}

const char *sandbox_missing(const struct settings *settings)
{
    if (settings->sandbox_mode != SANDBOX_REQUIRED) {
        return NULL;
    }
    return SANITIZED ? "is \"required\", but this is a sanitizer build; set it to auto to run with "
                       "what there is"
           : landlock_abi() == 0 ? "is \"required\", but this kernel has no Landlock; set it to "
                                   "auto to run with what there is"
                                 : NULL;
}

bool sandbox_enter(struct sandbox *s, const struct settings *settings, const char *config_path,
                   const char *state_directory, struct sandbox_fault *out_fault)
{
    bool required = settings->sandbox_mode == SANDBOX_REQUIRED;

    if (settings->sandbox_mode == SANDBOX_OFF || (SANITIZED && !required)) {
        return true;
    }
    s->landlock_abi = landlock_abi();
    if (sandbox_missing(settings) != NULL) {
        snprintf(out_fault->text, sizeof(out_fault->text), "sandbox.mode: %s",
                 sandbox_missing(settings));
        return false;
    }
    collect_read(s, settings);
    collect_written(s, settings);
    add_folder_of(s, config_path, SANDBOX_READ);
    add_path(s, state_directory, SANDBOX_WRITE);
    warm_up_resolver();
    if (!give_up_privileges()) {
        return fail(out_fault, "privileges cannot be given up");
    }
    if (s->landlock_abi > 0 && !landlock_enter(s)) {
        return fail(out_fault, "Landlock refuses");
    }
    if (!seccomp_enter()) {
        return fail(out_fault, "seccomp refuses");
    }
    s->entered = true;
    return true;
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strcmp(folder, "/") == 0 ||
           (strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/'));
}

static bool has_folder(const struct sandbox *s, const struct sandbox_folder *wanted)
{
    for (size_t i = 0; i < s->folder_count; i++) {
        bool right = s->folders[i].right == wanted->right || s->folders[i].right == SANDBOX_WRITE;

        if (right && is_below(wanted->path, s->folders[i].path)) {
            return true;
        }
    }
    return false;
}

static bool has_port(const struct sandbox *s, uint16_t port)
{
    for (size_t i = 0; i < s->port_count; i++) {
        if (s->ports[i] == port) {
            return true;
        }
    }
    return false;
}

bool sandbox_covers(const struct sandbox *s, const struct settings *settings,
                    struct sandbox_fault *out_fault)
{
    struct sandbox wanted = {0};
    bool covered = true;

    if (!s->entered || s->landlock_abi == 0) {
        return true;
    }
    collect_read(&wanted, settings);
    for (size_t i = 0; i < wanted.folder_count && covered; i++) {
        covered = has_folder(s, &wanted.folders[i]);
        if (!covered) {
            snprintf(out_fault->text, sizeof(out_fault->text),
                     "the folder %s is new: the sandbox is closed around those of the start, so "
                     "this needs a restart",
                     wanted.folders[i].path);
        }
    }
    for (size_t i = 0; i < wanted.port_count && covered; i++) {
        covered = has_port(s, wanted.ports[i]);
        if (!covered) {
            snprintf(out_fault->text, sizeof(out_fault->text),
                     "port %u of a replica is new: the sandbox is closed around those of the "
                     "start, so this needs a restart",
                     wanted.ports[i]);
        }
    }
    sandbox_finish(&wanted);
    return covered;
}

void sandbox_finish(struct sandbox *s)
{
    for (size_t i = 0; i < s->folder_count; i++) {
        free(s->folders[i].path);
    }
    free(s->folders);
    free(s->ports);
    *s = (struct sandbox){0};
}
