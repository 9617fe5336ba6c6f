#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "base/clock.h"
#include "ollama/route.h"
#include "ollama/scan.h"

enum { LIST_MAX = 64, INSPECT_KEYS_MAX = 2048, LIFETIME_DEFAULT_S = 3600 };
#define LIFETIME_MAX_S 31536000u

static const char mint_help[] =
    "usage: corral token mint --key FILE --algorithm HS256|RS256|ES256|EdDSA --issuer I\n"
    "                         --audience A --tenant T [--kid K] [--user U] [--lifetime-s N]\n"
    "                         [--verbs chat,list] [--models 'llama3*,me/x']\n"
    "\n"
    "Signs a JWT and prints it. It is as good as a password until it expires.\n"
    "\n"
    "  --key FILE       PEM private key, or for HS256 the secret file (corral keygen makes both)\n"
    "  --algorithm A    the algorithm of that key\n"
    "  --issuer I       `iss`: an issuer of the configuration\n"
    "  --audience A     `aud`: one of that issuer's audiences\n"
    "  --tenant T       tenant to act for\n"
    "  --kid K          key id, where the issuer has several keys\n"
    "  --user U         `sub`: person or program, for logs and fair shares\n"
    "  --lifetime-s N   seconds until it expires (3600)\n"
    "  --verbs LIST     fewer rights than the tenant has: chat generate embed list show\n"
    "  --models LIST    fewer models than the tenant has; '*' stands for anything\n";

/* Split at commas. False when there are too many or empty ones. */
static bool split_list(const char *text, struct slice out[static LIST_MAX], size_t *out_count)
{
    struct slice rest = slice_str(text);
    size_t count = 0;
    bool more = text != NULL;

    while (more) {
        size_t end = slice_find(rest, ',');

        if (end == 0 || count == LIST_MAX) {
            return false;
        }
        more = end < rest.len;
        out[count++] = slice_of(rest.ptr, end);
        rest = slice_from(rest, end + 1);
    }
    *out_count = count;
    return true;
}

static const char *request_fault(const struct mint_request *r, const char *lifetime,
                                 uint64_t *out_lifetime_s)
{
    *out_lifetime_s = LIFETIME_DEFAULT_S;
    if (lifetime != NULL && (slice_parse_u64(slice_str(lifetime), out_lifetime_s) != CE_OK ||
                             *out_lifetime_s == 0 || *out_lifetime_s > LIFETIME_MAX_S)) {
        return "--lifetime-s is a number of seconds from 1 to 31536000";
    }
    for (size_t i = 0; i < r->verb_count; i++) {
        enum verb verb;

        if (verb_parse(r->verbs[i], &verb) != CE_OK) {
            return "--verbs knows: chat generate embed list show pull push create copy delete blob";
        }
    }
    return NULL;
}

static int mint(const struct cli_command *c, const struct mint_request *r)
{
    struct auth_fault fault = {{0}};
    struct buf token = buf_make(AUTH_MAX_TOKEN_BYTES);
    int status = CLI_OK;

    if (mint_token(r, &token, &fault) != CE_OK) {
        status = cli_fail(c, "%s", fault.text);
    } else {
        printf("%.*s\n", SLICE_ARG(buf_slice(&token)));
        status = fflush(stdout) == 0 ? CLI_OK : cli_fail(c, "the token cannot be written: %m");
    }
    if (token.data != NULL) {
        explicit_bzero(token.data, token.capacity);
    }
    buf_finish(&token);
    return status;
}

static int token_mint(int argc, char **argv)
{
    struct mint_request r = {.now_s = clock_wall_ms() / 1000};
    const char *lifetime = NULL;
    const char *verbs = NULL;
    const char *models = NULL;
    const struct cli_option options[] = {
        {"key", &r.key_file, NULL, true},  {"algorithm", &r.algorithm, NULL, true},
        {"issuer", &r.issuer, NULL, true}, {"audience", &r.audience, NULL, true},
        {"tenant", &r.tenant, NULL, true}, {"kid", &r.kid, NULL, false},
        {"user", &r.user, NULL, false},    {"lifetime-s", &lifetime, NULL, false},
        {"verbs", &verbs, NULL, false},    {"models", &models, NULL, false},
    };
    const struct cli_command c = {"corral token mint", mint_help, options, ARRAY_LEN(options),
                                  NULL};
    struct slice verb_list[LIST_MAX];
    struct slice model_list[LIST_MAX];
    enum cli_next next = cli_read(&c, argc, argv);

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? CLI_OK : CLI_USAGE;
    }
    r.verbs = verb_list;
    r.models = model_list;
    const char *why = split_list(verbs, verb_list, &r.verb_count) &&
                              split_list(models, model_list, &r.model_count)
                          ? request_fault(&r, lifetime, &r.lifetime_s)
                          : "a list is 1 to 64 names between commas, without spaces";

    if (why != NULL) {
        cli_fail(&c, "%s", why);
        return CLI_USAGE;
    }
    return mint(&c, &r);
}

static const char inspect_help[] =
    "usage: corral token inspect [TOKEN|-]\n"
    "\n"
    "Prints header and payload of a JWT as one JSON object. Without TOKEN, or with -, it is read\n"
    "from stdin, where no process list shows it. The signature is NOT checked: what is printed is\n"
    "what the token claims, not what is true.\n";

static int inspect(const struct cli_command *c, struct slice token)
{
    struct arena arena = {0};
    struct token_parts parts;
    int status = CLI_FAILED;

    if (token_split(token, &arena, &parts) != CE_OK) {
        cli_fail(c, "not a JWT: three segments of base64url between dots, 8 KiB at most");
    } else if (scan_check(parts.header, INSPECT_KEYS_MAX, &arena, NULL) != CE_OK ||
               scan_check(parts.payload, INSPECT_KEYS_MAX, &arena, NULL) != CE_OK) {
        cli_fail(c, "header or payload is not one strict JSON object");
    } else {
        fputs("{\n  \"header\": ", stdout);
        cli_print_visible(parts.header);
        fputs(",\n  \"payload\": ", stdout);
        cli_print_visible(parts.payload);
        fputs(",\n  \"signature\": \"NOT checked\"\n}\n", stdout);
        fflush(stdout);
        fprintf(stderr, "%s: signature NOT checked; this is only what the token claims\n", c->name);
        status = CLI_OK;
    }
    arena_finish(&arena);
    return status;
}

static int token_inspect(int argc, char **argv)
{
    const char *text = NULL;
    const struct cli_command c = {"corral token inspect", inspect_help, NULL, 0, &text};
    enum cli_next next = cli_read(&c, argc, argv);
    char input[AUTH_MAX_TOKEN_BYTES + 2];
    struct slice token;

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? CLI_OK : CLI_USAGE;
    }
    if (text != NULL && strcmp(text, "-") != 0) {
        return inspect(&c, slice_str(text));
    }
    size_t len = fread(input, 1, sizeof(input), stdin);

    token = slice_of(input, len);
    while (token.len > 0 && strchr(" \r\n\t", token.ptr[token.len - 1]) != NULL) {
        token.len--;
    }
    int status = inspect(&c, token);

    explicit_bzero(input, sizeof(input));
    return status;
}

int cli_token(int argc, char **argv)
{
    static const char help[] = "usage: corral token mint|inspect ...\n"
                               "\n"
                               "  mint      sign a token for a tenant\n"
                               "  inspect   print what a token says\n"
                               "\n"
                               "Each answers to --help.\n";
    static const struct cli_choice choices[] = {
        {"mint", token_mint}, {"inspect", token_inspect}, {NULL, NULL}};

    return cli_choose(help, choices, argc, argv);
}
