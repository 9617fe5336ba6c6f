#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "app/app.h"
#include "auth/keyfile.h"
#include "base/mem.h"
#include "config/load.h"

static const char default_address[] = "127.0.0.1:8080";
static const char default_tenant[] = "local";

/* mkdir -p, private. */
static bool make_folder(char *path)
{
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            if (mkdir(path, 0700) != 0 && errno != EEXIST) {
                return false;
            }
            *p = '/';
        }
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* $STATE_DIRECTORY (systemd), else $XDG_STATE_HOME/corral, else ~/.local/state/corral. */
static void state_folder(char *out, size_t capacity)
{
    const char *state = getenv("STATE_DIRECTORY");
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (state != NULL && state[0] == '/') {
        snprintf(out, capacity, "%s", state);
    } else if (xdg != NULL && xdg[0] == '/') {
        snprintf(out, capacity, "%s/corral", xdg);
    } else {
        snprintf(out, capacity, "%s/.local/state/corral", home == NULL ? "/root" : home);
    }
}

/* OLLAMA_HOST as Ollama's own clients read it: host, host:port or URL; 0.0.0.0 means this machine.
 */
static void replica_url(char *out, size_t capacity)
{
    const char *env = getenv("OLLAMA_HOST");
    struct slice host = slice_trim(slice_str(env == NULL ? "" : env));

    if (slice_starts_with(host, SLICE_LITERAL("http://"))) {
        host = slice_from(host, 7);
    }
    if (host.len == 0) {
        host = SLICE_LITERAL("127.0.0.1:11434");
    }
    if (host.len >= 7 && memcmp(host.ptr, "0.0.0.0", 7) == 0) {
        snprintf(out, capacity, "http://127.0.0.1%.*s", SLICE_ARG(slice_from(host, 7)));
        return;
    }
    snprintf(out, capacity, "http://%.*s", SLICE_ARG(host));
}

static bool ensure_key(const char *path)
{
    struct keyfile f = {0};
    struct auth_fault fault = {{0}};
    char key[KEY_TEXT_BYTES];

    enum corral_err err = keyfile_read(path, &f, &fault);
    if (err == CE_OK) {
        keyfile_finish(&f);
        fprintf(stderr,
                "corral: the API key was made by an earlier start and printed then; its "
                "hash is in %s.\n        Lost it? corral key create --file %s --tenant %s\n",
                path, path, default_tenant);
        return true;
    }
    if (err == CE_NOT_FOUND) {
        keyfile_create_key(&f, default_tenant, "", key);
        err = keyfile_write(path, &f, &fault);
    }
    keyfile_finish(&f);
    if (err != CE_OK) {
        fprintf(stderr, "corral: %s\n", fault.text);
        return false;
    }
    fprintf(stderr, "corral: made an API key. It is shown this once:\n\n    %s\n\n", key);
    explicit_bzero(key, sizeof(key));
    return true;
}

bool first_start_text(char **out_text)
{
    char folder[1024];
    char keys[1200];
    char url[512];
    char text[4096];

    state_folder(folder, sizeof(folder));
    snprintf(keys, sizeof(keys), "%s/api-keys", folder);
    replica_url(url, sizeof(url));
    if (!make_folder(folder)) {
        fprintf(stderr,
                "corral: cannot make %s: %m\n        Set STATE_DIRECTORY to a folder that "
                "can be written.\n",
                folder);
        return false;
    }
    fprintf(
        stderr,
        "corral: no configuration file given, so: plain HTTP on %s (this machine only), one "
        "API key,\n        Ollama at %s. To go on: corral serve FILE (see config/corral.yaml)\n",
        default_address, url);
    if (!ensure_key(keys)) {
        return false;
    }
    snprintf(text, sizeof(text),
             "listeners: [{address: \"%s\"}]\n"
             "health: {address: \"127.0.0.1:8081\"}\n"
             "api_keys_file: \"%s\"\n"
             "tenants: [{name: %s}]\n"
             "replicas: [{url: \"%s\"}]\n",
             default_address, keys, default_tenant, url);
    *out_text = xstrdup(text);
    return true;
}
