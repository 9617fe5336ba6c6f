/**
 * What is left to somebody who breaks in: little. Entered once, by main, when all sockets listen
 * and before the first other thread, which inherits it.
 *
 * - no new privileges, no capabilities, no core dumps, not traceable by its own user;
 * - Landlock: files are read below the folders that the configuration names, written below those of
 *   the log and the state; no TCP port is bound, only the replicas' and DNS are connected to;
 * - seccomp: an allow-list of system calls; no exec, no fork, no memory that is made executable.
 *
 * A reload that names a folder or port from outside needs a restart: sandbox_covers says so. Off in
 * sanitizer builds, which need more than it allows.
 */
#ifndef CORRAL_APP_SANDBOX_H
#define CORRAL_APP_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;

/** `sandbox.mode`. */
enum sandbox_mode { SANDBOX_AUTO, SANDBOX_REQUIRED, SANDBOX_OFF };

enum sandbox_right {
    SANDBOX_READ,   /* files and folders below */
    SANDBOX_WRITE,  /* also write, make and remove files */
    SANDBOX_REMOVE, /* remove files only */
};

struct sandbox_folder {
    char *path; /* owned */
    enum sandbox_right right;
};

struct sandbox {
    bool entered;
    int landlock_abi;               /* 0: the kernel has none */
    struct sandbox_folder *folders; /* owned */
    size_t folder_count;
    size_t folder_capacity;
    uint16_t *ports; /* owned; of replicas */
    size_t port_count;
    size_t port_capacity;
};

enum { SANDBOX_FAULT_BYTES = 512 };

struct sandbox_fault {
    char text[SANDBOX_FAULT_BYTES];
};

/**
 * @param config_path      NULL: there is no file.
 * @param state_directory  NULL: none.
 * @return false: the mode is `required` and something is missing, *out_fault says what; or a part
 *         of the sandbox failed half-way. In `auto` what the kernel has is used.
 */
bool sandbox_enter(struct sandbox *s, const struct settings *settings, const char *config_path,
                   const char *state_directory, struct sandbox_fault *out_fault);

/** A sentence when the mode is `required` and something is missing here; else NULL. */
const char *sandbox_missing(const struct settings *settings);

/** Whether these settings need nothing that is not allowed; else *out_fault says what. */
bool sandbox_covers(const struct sandbox *s, const struct settings *settings,
                    struct sandbox_fault *out_fault);

void sandbox_finish(struct sandbox *s);

/* sandbox_landlock.c */
/** The kernel's version of Landlock; 0: none. */
int landlock_abi(void);
/** Restrict the calling thread. False: errno tells. */
bool landlock_enter(const struct sandbox *s);

/* sandbox_seccomp.c */
/** Filter the calling thread's system calls. False: errno tells. */
bool seccomp_enter(void);

#endif
