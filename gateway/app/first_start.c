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

/* A host as it must be asked: all addresses of a server are this machine. A server that was told
 * "localhost" listens on 127.0.0.1 only; the name would be a second replica, [::1]. */
static struct slice connectable(struct slice host)
{
    if (host.len == 0 || slice_eq_str(host, "0.0.0.0") || slice_eq_str(host, "localhost")) {
        return SLICE_LITERAL("127.0.0.1");
    }
    return slice_eq_str(host, "::") ? SLICE_LITERAL("::1") : host;
}

static struct slice trim_any(struct slice s, const char *bytes)
{
    while (s.ptr != NULL && s.len > 0 && strchr(bytes, s.ptr[0]) != NULL) {
        s = slice_from(s, 1);
    }
    while (s.ptr != NULL && s.len > 0 && strchr(bytes, s.ptr[s.len - 1]) != NULL) {
        s.len--;
    }
    return s;
}

static bool is_ipv6(struct slice host)
{
    struct net_prefix address;

    return net_prefix_parse(host, &address) == CE_OK && slice_find(host, ':') < host.len;
}

/* "host", "host:port", "[::1]", "[::1]:port", "::1". */
static void split_port(struct slice place, struct slice *out_host, struct slice *out_port)
{
    size_t colon = place.len;

    *out_host = trim_any(place, "[]");
    *out_port = slice_of("", 0);
    if (is_ipv6(*out_host)) {
        return;
    }
    while (place.ptr != NULL && colon > 0 && place.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon > 0) {
        *out_host = trim_any(slice_of(place.ptr, colon - 1), "[]");
        *out_port = slice_from(place, colon);
    }
}

/* OLLAMA_HOST as the `ollama` command reads it (envconfig.Host, ConnectableHost of Ollama 0.24). */
static void replica_url(char *out, size_t capacity)
{
    const char *env = getenv("OLLAMA_HOST");
    struct slice text = slice_trim(trim_any(slice_trim(slice_str(env == NULL ? "" : env)), "\"'"));
    const char *mark = text.ptr == NULL ? NULL : memmem(text.ptr, text.len, "://", 3);
    struct slice scheme =
        mark == NULL ? SLICE_LITERAL("http") : slice_of(text.ptr, (size_t)(mark - text.ptr));
    uint64_t usual = mark == NULL ? 11434 : slice_eq_str(scheme, "https") ? 443 : 80;
    struct slice place = mark == NULL ? text : slice_from(text, scheme.len + 3);
    struct slice host;
    struct slice port_text;
    uint64_t port;

    place.len = slice_find(place, '/');
    split_port(place, &host, &port_text);
    if (slice_parse_u64(port_text, &port) != CE_OK || port > 65535) {
        port = usual;
    }
    host = connectable(host);
    bool v6 = slice_find(host, ':') < host.len;

    snprintf(out, capacity, "%.*s://%s%.*s%s:%llu", SLICE_ARG(scheme), v6 ? "[" : "",
             SLICE_ARG(host), v6 ? "]" : "", (unsigned long long)port);
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
