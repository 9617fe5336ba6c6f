#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/sandbox.h"
#include "base/mem.h"
#include "base/pages.h"
#include "config/load.h"
#include "config/settings.h"
#include "unit.h"

/* What one attempt inside the sandbox came to: an errno, 0 for success, or the signal + 1000. */
enum { BY_SIGNAL = 1000, NOT_CLOSED = 999 };

static char folder[] = "/tmp/corral-sandbox-XXXXXX";
static int listening = -1; /* on a loopback port that no replica has */
static uint16_t replica_port;

static struct settings settings_for(const char *mode)
{
    struct settings s;
    struct config_errors errors = {0};
    char text[1024];
    int len = snprintf(text, sizeof(text),
                       "listeners: [{address: \"127.0.0.1:8080\"}]\n"
                       "tenants: [{name: acme}]\n"
                       "api_keys_file: %s/keys/file\n"
                       "log: {file: %s/log/corral.log}\n"
                       "sandbox: {mode: %s}\n"
                       "replicas: [{url: \"http://127.0.0.1:%u\"}]\n",
                       folder, folder, mode, replica_port);

    ck_assert_int_eq(config_parse(slice_of(text, (size_t)len), &s, &errors), CE_OK);
    return s;
}

/* Runs `attempt` in a process of its own behind the sandbox. */
static int inside(int (*attempt)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct settings s = settings_for("auto");
        struct sandbox box = {0};
        struct sandbox_fault fault = {{0}};
        char config[128];

        snprintf(config, sizeof(config), "%s/config/corral.yaml", folder);
        if (!sandbox_enter(&box, &s, config, NULL, &fault) || !box.entered) {
            fprintf(stderr, "%s\n", fault.text);
            _exit(255);
        }
        int result = attempt();

        _exit(result > 254 ? 254 : result);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        return BY_SIGNAL + WTERMSIG(status);
    }
    return WEXITSTATUS(status) == 255 ? NOT_CLOSED : WEXITSTATUS(status);
}

static int result_of(long n)
{
    return n < 0 ? errno : 0;
}

static int open_in(const char *name, int flags)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return result_of(open(path, flags, 0600));
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return fd < 0 ? errno : result_of(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int try_exec(void)
{
    char *const argv[] = {"/bin/true", NULL};

    return result_of(execv(argv[0], argv));
}

static int try_fork(void)
{
    return result_of(fork());
}

static int try_raw_fork(void)
{
    return result_of(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int try_ptrace(void)
{
    return result_of(ptrace(PTRACE_TRACEME, 0, 0, 0));
}

static void *nothing(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, nothing, NULL);

    return failed != 0 ? failed : pthread_join(thread, NULL);
}

static int try_executable_memory(void)
{
    void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (m == MAP_FAILED) {
        return 97;
    }
    return result_of(mprotect(m, 4096, PROT_READ | PROT_EXEC));
}

static int try_mapped_code(void)
{
    void *m = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return m == MAP_FAILED ? errno : 0;
}

/* What HTTP/2 connections make their frames in. */
static int try_pages(void)
{
    struct pages *p = pages_create(20480);
    char *slot = pages_take(p);

    if (slot == NULL) {
        return errno;
    }
    slot[0] = 'x';
    pages_give(p, slot);
    pages_destroy(p);
    return 0;
}

static int try_raw_socket(void)
{
    return result_of(socket(AF_PACKET, SOCK_RAW, 0));
}

static int try_passwd(void)
{
    return result_of(open("/etc/passwd", O_RDONLY));
}

static int try_elsewhere(void)
{
    return open_in("other/file", O_RDONLY);
}

static int try_key_file(void)
{
    return open_in("keys/file", O_RDONLY);
}

static int try_config_file(void)
{
    return open_in("config/corral.yaml", O_RDONLY);
}

static int try_write_key_file(void)
{
    return open_in("keys/file", O_WRONLY);
}

static int try_new_key_file(void)
{
    return open_in("keys/new", O_WRONLY | O_CREAT);
}

static int try_new_log_file(void)
{
    return open_in("log/new", O_WRONLY | O_CREAT);
}

static int try_resolver_file(void)
{
    return access("/etc/hosts", F_OK) != 0 ? 0 : result_of(open("/etc/hosts", O_RDONLY));
}

static int try_connect_elsewhere(void)
{
    struct sockaddr_in to;
    socklen_t len = sizeof(to);

    getsockname(listening, (struct sockaddr *)&to, &len);
    return connect_to(ntohs(to.sin_port));
}

static int try_connect_replica(void)
{
    return connect_to(replica_port);
}

static int try_bind(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return result_of(bind(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int try_root(void)
{
    return result_of(setuid(0));
}

#define KILLED (BY_SIGNAL + SIGSYS)

static const struct {
    const char *what;
    int (*attempt)(void);
    int want;
    int needs_abi; /* of Landlock, to be refused */
} attempts[] = {
    {"exec", try_exec, KILLED, 0},
    {"fork", try_fork, KILLED, 0},
    {"raw fork", try_raw_fork, KILLED, 0},
    {"ptrace", try_ptrace, KILLED, 0},
    {"thread", try_thread, 0, 0},
    {"executable memory", try_executable_memory, EPERM, 0},
    {"mapped code", try_mapped_code, EPERM, 0},
    {"untouched pages", try_pages, 0, 0},
    {"raw socket", try_raw_socket, EPERM, 0},
    {"setuid", try_root, EPERM, 0},
    {"/etc/passwd", try_passwd, EACCES, 1},
    {"a file elsewhere", try_elsewhere, EACCES, 1},
    {"the key file", try_key_file, 0, 0},
    {"the configuration", try_config_file, 0, 0},
    {"writing the key file", try_write_key_file, EACCES, 1},
    {"a new key file", try_new_key_file, EACCES, 1},
    {"a new log file", try_new_log_file, 0, 0},
    {"the resolver's file", try_resolver_file, 0, 0},
    {"connecting elsewhere", try_connect_elsewhere, EACCES, 4},
    {"connecting to the replica", try_connect_replica, ECONNREFUSED, 0},
    {"binding a port", try_bind, EACCES, 4},
};

START_TEST(what_an_intruder_can_do)
{
    if (SANITIZED || landlock_abi() < attempts[_i].needs_abi) {
        return; /* the sandbox is off, or the kernel has less of it */
    }
    int got = inside(attempts[_i].attempt);

    ck_assert_msg(got == attempts[_i].want, "%s: %d, not %d", attempts[_i].what, got,
                  attempts[_i].want);
}
END_TEST

START_TEST(what_a_reload_may_name)
{
    struct settings s = settings_for("auto");
    struct sandbox_folder folders[] = {{"/nonexistent", SANDBOX_READ}};
    struct sandbox box = {.entered = true, .landlock_abi = 4, .folders = folders};
    struct sandbox_fault fault = {{0}};

    box.folder_count = 1;
    ck_assert(!sandbox_covers(&box, &s, &fault));
    ck_assert_ptr_nonnull(strstr(fault.text, "/keys is new"));
    folders[0].path = folder; /* another log is for the next start: nothing is written there now */
    ck_assert(!sandbox_covers(&box, &s, &fault));
    ck_assert_ptr_nonnull(strstr(fault.text, "of a replica is new"));
    box.ports = &replica_port;
    box.port_count = 1;
    ck_assert(sandbox_covers(&box, &s, &fault));
    box.entered = false;
    box.port_count = 0;
    ck_assert(sandbox_covers(&box, &s, &fault));
    settings_finish(&s);
}
END_TEST

START_TEST(off_is_off_and_required_is_honest)
{
    struct settings s = settings_for("off");
    struct sandbox box = {0};
    struct sandbox_fault fault = {{0}};

    ck_assert(sandbox_enter(&box, &s, NULL, NULL, &fault) && !box.entered);
    settings_finish(&s);
    if (SANITIZED) {
        s = settings_for("required");
        ck_assert(!sandbox_enter(&box, &s, NULL, NULL, &fault));
        ck_assert_ptr_nonnull(strstr(fault.text, "sanitizer"));
        settings_finish(&s);
    }
}
END_TEST

static void make_file(const char *name, const char *file)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_ge(fd, 0);
    close(fd);
}

static int bound_socket(bool listens, uint16_t *out_port)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    socklen_t len = sizeof(to);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    if (listens) {
        ck_assert_int_eq(listen(fd, 8), 0);
    }
    *out_port = ntohs(to.sin_port);
    return fd;
}

static void setup(void)
{
    uint16_t other;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_file("keys", "file");
    make_file("config", "corral.yaml");
    make_file("other", "file");
    make_file("log", "corral.log");
    listening = bound_socket(true, &other);
    (void)bound_socket(false, &replica_port); /* nobody listens: refused is as good as connected */
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void teardown(void)
{
    ck_assert_int_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static Suite *sandbox_suite(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *tc = tcase_create("sandbox");

    tcase_add_unchecked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, what_an_intruder_can_do, 0, (int)ARRAY_LEN(attempts));
    tcase_add_test(tc, what_a_reload_may_name);
    tcase_add_test(tc, off_is_off_and_required_is_honest);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(sandbox_suite)
