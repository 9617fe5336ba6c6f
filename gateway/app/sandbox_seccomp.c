#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "app/sandbox.h"
#include "base/attr.h"

/*
 * What libevent, OpenSSL, SQLite, the resolver and libc ask of the kernel while corral serves.
 * Everything else is answered EPERM: a library that tries something new goes on without it.
 */
static const int allowed[] = {
    /* sockets and the loop */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(socketpair),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    /* files, within Landlock */
    SCMP_SYS(access),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchown),
    SCMP_SYS(fcntl),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(read),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(readv),
    SCMP_SYS(stat),
    SCMP_SYS(statx),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* memory, threads, time, signals */
    SCMP_SYS(brk),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(nanosleep),
    SCMP_SYS(prlimit64),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sysinfo),
    SCMP_SYS(tgkill),
    SCMP_SYS(time),
    SCMP_SYS(uname),
};

/* Nobody asks for these by mistake. */
static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(bpf),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
};

static const uint64_t domains[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK /* the resolver's */};
static const uint64_t controls[] = {TCGETS, FIONREAD, FIONBIO};
static const uint64_t names[] = {PR_SET_NAME, 0x53564d41 /* PR_SET_VMA: malloc names its arenas */};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count && failed == 0; i++) {
        failed = seccomp_rule_add(filter, action, calls[i], 0);
    }
    return failed;
}

/* The call with one of these values as its argument. */
static int add_values(scmp_filter_ctx filter, int call, unsigned argument, const uint64_t *values,
                      size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count && failed == 0; i++) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                  SCMP_CMP64(argument, SCMP_CMP_EQ, values[i]));
    }
    return failed;
}

static int add_masked(scmp_filter_ctx filter, uint32_t action, int call, unsigned argument,
                      const uint64_t mask_and_value[static 2])
{
    return seccomp_rule_add(
        filter, action, call, 1,
        SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask_and_value[0], mask_and_value[1]));
}

static int add_judged(scmp_filter_ctx filter)
{
    static const uint64_t no_exec[] = {PROT_EXEC, 0};
    static const uint64_t thread[] = {CLONE_THREAD, CLONE_THREAD};
    static const uint64_t process[] = {CLONE_THREAD, 0};
    int failed = add_values(filter, SCMP_SYS(socket), 0, domains, ARRAY_LEN(domains));

    failed = failed != 0 ? failed
                         : add_values(filter, SCMP_SYS(ioctl), 1, controls, ARRAY_LEN(controls));
    failed = failed != 0 ? failed : add_values(filter, SCMP_SYS(prctl), 0, names, ARRAY_LEN(names));
    failed = failed != 0 ? failed : add_masked(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_exec);
    failed =
        failed != 0 ? failed : add_masked(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 2, no_exec);
    failed = failed != 0 ? failed : add_masked(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0, thread);
    failed = failed != 0 ? failed
                         : add_masked(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 0, process);
    /* Its flags lie in memory, where a filter cannot look: libc takes clone instead. */
    return failed != 0 ? failed
                       : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

bool seccomp_enter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int failed = filter == NULL ? -ENOMEM : 0;

    failed = failed != 0 ? failed : add_all(filter, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
    failed =
        failed != 0 ? failed : add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));
    failed = failed != 0 ? failed : add_judged(filter);
    failed = failed != 0 ? failed : seccomp_load(filter);
    seccomp_release(filter);
    errno = -failed;
    return failed == 0;
}
