#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli.h"
#include "auth/keyfile.h"
#include "auth/mint.h"
#include "base/buf.h"

enum { LINE_MAX_BYTES = 4096 };

static int print_key(const char *key, const struct key_record *r, bool json)
{
    struct buf b = buf_make(LINE_MAX_BYTES);
    enum corral_err err = CE_OK;

    if (!json) {
        printf("%s\n", key);
        fprintf(stderr,
                "Key %s for tenant %s. It is shown this once; only its hash is kept.\n"
                "A running corral takes it up within two seconds.\n",
                r->id, r->tenant);
        return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
    }
    err = buf_printf(&b, "{\"id\":\"%s\",\"key\":\"%s\",\"tenant\":\"%s\",\"user\":\"", r->id, key,
                     r->tenant);
    if (err == CE_OK) {
        err = buf_append_json(&b, slice_str(r->user));
    }
    if (err == CE_OK) {
        err = buf_printf(&b, "\",\"created\":\"%s\"}\n", r->created);
    }
    fwrite(buf_slice(&b).ptr, 1, b.len, stdout);
    if (b.len > 0) {
        explicit_bzero(b.data, b.capacity);
    }
    buf_finish(&b);
    return err == CE_OK && fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static const char create_help[] =
    "usage: corral key create --file FILE --tenant NAME [--user NAME] [--json]\n"
    "\n"
    "Makes an API key and prints it, this once. FILE keeps a salted hash; it is made (mode 0600)\n"
    "when it is missing, else it keeps owner, group and mode. FILE is api_keys_file of the\n"
    "configuration.\n"
    "\n"
    "  --file FILE     the API key file\n"
    "  --tenant NAME   tenant of the configuration that the key acts for\n"
    "  --user NAME     person or program that will hold it, for logs and fair shares\n"
    "  --json          print one JSON object: id, key, tenant, user, created\n";

static int create(const struct cli_command *c, const char *file, const char *tenant,
                  const char *user, bool json)
{
    struct keyfile f;
    struct auth_fault fault = {{0}};
    char key[KEY_TEXT_BYTES];
    enum corral_err err = keyfile_read(file, &f, &fault);
    bool is_new = err == CE_NOT_FOUND;
    struct stat st;

    if (err == CE_KEYS && stat(file, &st) == 0 && st.st_size == 0) {
        err = CE_NOT_FOUND; /* made beforehand, for its owner and mode */
    }
    if (err != CE_OK && err != CE_NOT_FOUND) {
        return cli_fail(c, "%s", fault.text);
    }
    if (f.count >= KEYFILE_MAX_KEYS) {
        keyfile_finish(&f);
        return cli_fail(c, "%s: full (%d keys); remove revoked lines first", file,
                        KEYFILE_MAX_KEYS);
    }
    keyfile_create_key(&f, tenant, user, key);
    err = keyfile_write(file, &f, &fault);
    int status = err == CE_OK ? print_key(key, &f.records[f.count - 1], json)
                              : cli_fail(c, "%s", fault.text);

    if (status == CLI_OK && is_new && geteuid() == 0) {
        fprintf(stderr, "%s is new and root's: chown it to the user that corral runs as.\n", file);
    }
    explicit_bzero(key, sizeof(key));
    keyfile_finish(&f);
    return status;
}

static int key_create(int argc, char **argv)
{
    const char *file = NULL;
    const char *tenant = NULL;
    const char *user = NULL;
    bool json = false;
    const struct cli_option options[] = {{"file", &file, NULL, true},
                                         {"tenant", &tenant, NULL, true},
                                         {"user", &user, NULL, false},
                                         {"json", NULL, &json, false}};
    const struct cli_command c = {"corral key create", create_help, options, ARRAY_LEN(options),
                                  NULL};
    enum cli_next next = cli_read(&c, argc, argv);

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? CLI_OK : CLI_USAGE;
    }
    if (!auth_tenant_name_ok(slice_str(tenant))) {
        cli_fail(&c, "a tenant is 1 to 64 letters, digits, '.', '_' and '-'");
        return CLI_USAGE;
    }
    if (user != NULL && !auth_user_ok(slice_str(user))) {
        cli_fail(&c, "a user is at most 256 bytes of UTF-8 without control characters");
        return CLI_USAGE;
    }
    struct auth_fault fault = {{0}};
    int lock = keyfile_lock(file, &fault);

    if (lock < 0) {
        return cli_fail(&c, "%s", fault.text);
    }
    int status = create(&c, file, tenant, user == NULL ? "" : user, json);

    close(lock);
    return status;
}

static const char list_help[] =
    "usage: corral key list --file FILE [--json]\n"
    "\n"
    "Prints id, state, time, tenant and user of every key. Keys themselves are not kept.\n"
    "\n"
    "  --file FILE   the API key file\n"
    "  --json        print one JSON array\n";

static enum corral_err put_json(struct buf *b, const struct key_record *r, bool first)
{
    enum corral_err err =
        buf_printf(b, "%s\n{\"id\":\"%s\",\"created\":\"%s\",\"revoked\":%s,\"tenant\":\"",
                   first ? "" : ",", r->id, r->created, r->revoked ? "true" : "false");

    if (err == CE_OK) {
        err = buf_append_json(b, slice_str(r->tenant));
    }
    if (err == CE_OK) {
        err = buf_append_str(b, "\",\"user\":\"");
    }
    if (err == CE_OK) {
        err = buf_append_json(b, slice_str(r->user));
    }
    return err == CE_OK ? buf_append_str(b, "\"}") : err;
}

static int print_list(const struct keyfile *f, bool json)
{
    enum corral_err err = CE_OK;

    fputs(json ? "[" : "ID            STATE    CREATED               TENANT / USER\n", stdout);
    for (size_t i = 0; i < f->count && err == CE_OK; i++) {
        const struct key_record *r = &f->records[i];
        struct buf b = buf_make(LINE_MAX_BYTES);

        if (json) {
            err = put_json(&b, r, i == 0);
        } else {
            err = buf_printf(&b, "%-12s  %-7s  %-20s  %s%s%s\n", r->id,
                             r->revoked ? "revoked" : "active", r->created, r->tenant,
                             r->user[0] == '\0' ? "" : " / ", r->user);
        }
        cli_print_visible(buf_slice(&b));
        buf_finish(&b);
    }
    fputs(json ? "\n]\n" : "", stdout);
    return err == CE_OK && fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int key_list(int argc, char **argv)
{
    const char *file = NULL;
    bool json = false;
    const struct cli_option options[] = {{"file", &file, NULL, true}, {"json", NULL, &json, false}};
    const struct cli_command c = {"corral key list", list_help, options, ARRAY_LEN(options), NULL};
    enum cli_next next = cli_read(&c, argc, argv);
    struct auth_fault fault = {{0}};
    struct keyfile f;

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? CLI_OK : CLI_USAGE;
    }
    if (keyfile_read(file, &f, &fault) != CE_OK) {
        return cli_fail(&c, "%s", fault.text);
    }
    int status = print_list(&f, json);

    keyfile_finish(&f);
    return status;
}

static const char revoke_help[] =
    "usage: corral key revoke --file FILE ID\n"
    "\n"
    "Marks the key as revoked. Its line stays, so that logs that name it can be read; ID is what\n"
    "`corral key list` prints. A running corral refuses it as soon as it reloads.\n"
    "\n"
    "  --file FILE   the API key file\n";

static int revoke_id(const struct cli_command *c, const char *file, const char *id)
{
    struct auth_fault fault = {{0}};
    struct keyfile f;

    if (keyfile_read(file, &f, &fault) != CE_OK) {
        return cli_fail(c, "%s", fault.text);
    }
    int status = CLI_OK;

    if (keyfile_revoke(&f, id) != CE_OK) {
        status = cli_fail(c, "%s: has no key \"%s\"; `corral key list --file %s` shows all", file,
                          id, file);
    } else if (keyfile_write(file, &f, &fault) != CE_OK) {
        status = cli_fail(c, "%s", fault.text);
    } else {
        fprintf(stderr, "Key %s is revoked.\n", id);
    }
    keyfile_finish(&f);
    return status;
}

static int key_revoke(int argc, char **argv)
{
    const char *file = NULL;
    const char *id = NULL;
    const struct cli_option options[] = {{"file", &file, NULL, true}};
    const struct cli_command c = {"corral key revoke", revoke_help, options, ARRAY_LEN(options),
                                  &id};
    enum cli_next next = cli_read(&c, argc, argv);

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? CLI_OK : CLI_USAGE;
    }
    if (id == NULL) {
        cli_fail(&c, "which key? give its ID as `corral key list` prints it");
        return CLI_USAGE;
    }
    struct auth_fault fault = {{0}};
    int lock = keyfile_lock(file, &fault);

    if (lock < 0) {
        return cli_fail(&c, "%s", fault.text);
    }
    int status = revoke_id(&c, file, id);

    close(lock);
    return status;
}

int cli_key(int argc, char **argv)
{
    static const char help[] = "usage: corral key create|list|revoke --file FILE ...\n"
                               "\n"
                               "  create   make a key for a tenant and print it once\n"
                               "  list     show the keys of a file\n"
                               "  revoke   end a key by its id\n"
                               "\n"
                               "Each answers to --help.\n";
    static const struct cli_choice choices[] = {
        {"create", key_create}, {"list", key_list}, {"revoke", key_revoke}, {NULL, NULL}};

    return cli_choose(help, choices, argc, argv);
}

int cli_keygen(int argc, char **argv)
{
    static const char help[] =
        "usage: corral keygen --algorithm RS256|ES256|EdDSA|HS256 --out PREFIX\n"
        "\n"
        "Makes a key for signing tokens. RS256, ES256 and EdDSA write PREFIX-private.pem (mode\n"
        "0600, for who signs) and PREFIX-public.pem (keys_file of an issuer); HS256 writes\n"
        "PREFIX.secret (mode 0600, for both). Files that exist are never overwritten.\n";
    const char *algorithm = NULL;
    const char *prefix = NULL;
    const struct cli_option options[] = {{"algorithm", &algorithm, NULL, true},
                                         {"out", &prefix, NULL, true}};
    const struct cli_command c = {"corral keygen", help, options, ARRAY_LEN(options), NULL};
    enum cli_next next = cli_read(&c, argc, argv);
    struct auth_fault fault = {{0}};
    struct keygen_files files;

    if (next != CLI_GO) {
        return next == CLI_SHOWN ? CLI_OK : CLI_USAGE;
    }
    if (keygen_write(algorithm, prefix, &files, &fault) != CE_OK) {
        return cli_fail(&c, "%s", fault.text);
    }
    printf("%s\n", files.private_path);
    if (files.public_path[0] != '\0') {
        printf("%s\n", files.public_path);
    }
    return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
