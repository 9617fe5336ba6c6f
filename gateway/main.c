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
    "  corral check FILE        check a configuration; prints FILE:LINE:COLUMN: what is wrong\n"
    "  corral key create|list|revoke   API keys\n"
    "  corral keygen            a key pair or secret for signing tokens\n"
    "  corral token mint|inspect       JWTs\n"
    "  corral reference         print the configuration reference (Markdown)\n"
    "  corral version           version, commit, libraries\n"
    "\n"
    "Every command answers to --help. Exit status: 0 done, 1 failed (the message says why), 2 "
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
    if (argc != 2 || argv[1][0] == '-') {
        fputs("usage: corral check FILE\n", wants_help(argc, argv) ? stdout : stderr);
        return wants_help(argc, argv) ? 0 : EXIT_USAGE;
    }
    return serve_check(argv[1]);
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

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"serve", cmd_serve},     {"check", cmd_check}, {"key", cli_key},
        {"keygen", cli_keygen},   {"token", cli_token}, {"reference", cmd_reference},
        {"version", cmd_version},
    };

    if (argc < 2) {
        return print_usage(stderr, EXIT_USAGE);
    }
    if (wants_help(argc, argv) || strcmp(argv[1], "help") == 0) {
        return print_usage(stdout, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "corral: there is no command \"%s\"\n\n", argv[1]);
    return print_usage(stderr, EXIT_USAGE);
}
