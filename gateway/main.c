#include <cjson/cJSON.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <yaml.h>

#include "app/cli.h"
#include "app/commit.h"
#include "app/serve.h"
#include "app/version.h"
#include "base/attr.h"
#include "base/buf.h"
#include "config/load.h"

static const char usage[] =
    "corral: the secure front door of a herd of Ollama servers\n"
    "\n"
    "  corral serve [FILE]      serve; without FILE: this machine only, one key, Ollama at\n"
    "                           OLLAMA_HOST or localhost:11434\n"
    "  corral check FILE        what serve would refuse, as FILE:LINE:COLUMN: what is wrong\n"
    "  corral key create|list|revoke   API keys\n"
    "  corral keygen            a key pair or secret for signing tokens\n"
    "  corral token mint|inspect       JWTs\n"
    "  corral reference         print the configuration reference (Markdown)\n"
    "  corral version           version, commit, libraries (--version)\n"
    "\n"
    "`corral help COMMAND` says more, as COMMAND --help does. Exit status: 0 done, 1 failed (the "
    "message says why), 2 "
    "wrong\n"
    "command line, 3 serve ended by cutting running answers.\n";

static int print_usage(FILE *to, int status)
{
    fputs(usage, to);
    return status;
}

static bool wants_help(int argc, char **argv)
{
    return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

static int cmd_serve(int argc, char **argv)
{
    if (wants_help(argc, argv)) {
        puts("usage: corral serve [FILE]\n\n"
             "SIGHUP reads FILE again (a bad one changes nothing). SIGTERM or SIGINT drains: no "
             "new\n"
             "connections, running answers go on for at most timeouts.drain_s; a second signal "
             "ends\n"
             "them. SIGUSR1 opens log.file again. Certificates and key files are watched.");
        return 0;
    }
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fputs("usage: corral serve [FILE]\n", stderr);
        return EXIT_USAGE;
    }
    return serve_run(argc == 2 ? argv[1] : NULL);
}

static int cmd_check(int argc, char **argv)
{
    static const char help[] =
        "usage: corral check [--no-files] FILE\n"
        "\n"
        "Prints all that `corral serve FILE` would refuse, as FILE:LINE:COLUMN: what is wrong, in\n"
        "the text, the files and folders it names, the addresses. Changes nothing.\n"
        "\n"
        "  --no-files   the text alone: for a machine that has no certificates and keys\n";
    const char *file = NULL;
    bool no_files = false;
    const struct cli_option options[] = {{"no-files", NULL, &no_files, false}};
    const struct cli_command c = {"corral check", help, options, ARRAY_LEN(options), &file};
    enum cli_next next = cli_read(&c, argc, argv);

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? 0 : EXIT_USAGE;
    }
    if (file == NULL) {
        fputs("usage: corral check [--no-files] FILE\n", stderr);
        return EXIT_USAGE;
    }
    return serve_check(file, !no_files);
}

/* Of a command without arguments. True: *out_status is its exit status. */
static bool refuse_arguments(int argc, char **argv, const char *line, int *out_status)
{
    bool help = wants_help(argc, argv);

    if (argc > 1) {
        fprintf(help ? stdout : stderr, "usage: %s\n", line);
        *out_status = help ? 0 : EXIT_USAGE;
    }
    return argc > 1;
}

static int cmd_reference(int argc, char **argv)
{
    int status;

    if (refuse_arguments(argc, argv, "corral reference", &status)) {
        return status;
    }
    struct buf out = buf_make(1 << 20);
    enum corral_err err = config_write_reference(&out);

    if (err == CE_OK) {
        fwrite(buf_slice(&out).ptr, 1, out.len, stdout);
    }
    buf_finish(&out);
    return err == CE_OK ? 0 : EXIT_FAULT;
}

static int cmd_version(int argc, char **argv)
{
    int status;

    if (refuse_arguments(argc, argv, "corral version", &status)) {
        return status;
    }
    printf("corral %s\ncommit %s\nlibevent %s\n%s\nlibjwt %s\ncJSON %s\nlibyaml %s\n"
           "xxHash %u\nSQLite %s\n",
           CORRAL_VERSION, CORRAL_COMMIT, event_get_version(), OpenSSL_version(OPENSSL_VERSION),
           CORRAL_LIBJWT_VERSION, cJSON_Version(), yaml_get_version_string(), XXH_versionNumber(),
           sqlite3_libversion());
    return 0;
}

/* "help key create" is "key create --help". */
static void turn_help_around(int argc, char **argv)
{
    static char option[] = "--help";

    for (int i = 1; i < argc - 1; i++) {
        argv[i] = argv[i + 1];
    }
    argv[argc - 1] = option;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"serve", cmd_serve},     {"check", cmd_check},       {"key", cli_key},
        {"keygen", cli_keygen},   {"token", cli_token},       {"reference", cmd_reference},
        {"version", cmd_version}, {"--version", cmd_version}, {"-V", cmd_version},
    };

    if (argc < 2) {
        return print_usage(stderr, EXIT_USAGE);
    }
    if (wants_help(argc, argv) || (argc == 2 && strcmp(argv[1], "help") == 0)) {
        return print_usage(stdout, 0);
    }
    if (strcmp(argv[1], "help") == 0) {
        turn_help_around(argc, argv);
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "corral: there is no command \"%s\"\n\n", argv[1]);
    return print_usage(stderr, EXIT_USAGE);
}
