/*
 * `corral check FILE`, and the report of a start that failed. config/ judges the text; here is what
 * only this machine can tell: whether files can be read and are what they should be, folders can be
 * written, addresses are this machine's. Every part is looked at alone, so that one mistake hides
 * no other; at last the whole is built as a start builds it. Runs in the main thread and may block.
 */
#include "app/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/sandbox.h"
#include "auth/keyset.h"
#include "config/load.h"
#include "config/snapshot.h"
#include "net/listener.h"

enum { KEY_BYTES = 64, SENTENCE_BYTES = 512 };

struct check {
    struct settings settings;
    struct config_places places;
    struct config_errors errors;
};

static int by_place(const void *a, const void *b)
{
    const struct config_error *x = a;
    const struct config_error *y = b;

    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    return x->column == y->column ? 0 : x->column < y->column ? -1 : 1;
}

/* A pipe whose reader has stopped must not stop the main thread: then nothing is said. */
static bool stderr_takes_a_line(void)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    return poll(&p, 1, 0) > 0;
}

void check_print(const char *name, struct config_errors *errors)
{
    qsort(errors->at, errors->count, sizeof(errors->at[0]), by_place);
    for (size_t i = 0; i < errors->count && stderr_takes_a_line(); i++) {
        const struct config_error *e = &errors->at[i];
        const char *kind = e->warning ? "warning: " : "";

        if (e->line == 0) {
            fprintf(stderr, "%s: %s%s\n", name, kind, e->text);
        } else {
            fprintf(stderr, "%s:%zu:%zu: %s%s\n", name, e->line, e->column, kind, e->text);
        }
    }
    config_errors_finish(errors);
}

static void report(struct check *c, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);

static void report(struct check *c, const char *key, const char *format, ...)
{
    char sentence[SENTENCE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    config_report(&c->errors, &c->places, CONFIG_ERROR, key, sentence);
}

/* `key` is said with its index: "tls.certificates[%zu].chain". */
struct key_text {
    char text[KEY_BYTES];
};

static struct key_text key_of(const char *before, size_t index, const char *after)
{
    struct key_text key;

    snprintf(key.text, sizeof(key.text), "%s[%zu].%s", before, index, after);
    return key;
}

/* Whether a regular file can be opened. NULL: none is named, which the text has judged. */
static bool check_file(struct check *c, const char *key, const char *path)
{
    struct stat st;

    if (path == NULL) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        report(c, key, "%s: %s", path, strerror(errno));
        return false;
    }
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

    close(fd);
    if (!regular) {
        report(c, key, "%s: is not a regular file", path);
    }
    return regular;
}

/* A sentence that begins with a path is about the key that names it. */
static bool is_about(const char *sentence, const char *path)
{
    return path != NULL && strncmp(sentence, path, strlen(path)) == 0;
}

static void check_certificates(struct check *c)
{
    const struct tls_settings *t = &c->settings.tls;
    struct tls_fault fault = {{0}};

    for (size_t i = 0; i < t->certificate_count; i++) {
        const struct tls_files *files = &t->certificates[i];
        struct key_text chain = key_of("tls.certificates", i, "chain");
        struct key_text key = key_of("tls.certificates", i, "key");
        bool chain_opens = check_file(c, chain.text, files->chain);
        bool key_opens = check_file(c, key.text, files->key);

        if (chain_opens && key_opens && tls_check_pair(files, &fault) != CE_OK) {
            report(c, is_about(fault.text, files->key) ? key.text : chain.text, "%s", fault.text);
        }
    }
    if (t->client_auth != TLS_CLIENT_OFF && t->client_ca_dir != NULL &&
        tls_check_clients(t, &fault) != CE_OK) {
        report(c,
               is_about(fault.text, t->client_crl_dir) ? "tls.client_crl_dir" : "tls.client_ca_dir",
               "%s", fault.text);
    }
}

static void check_replica(struct check *c, const struct replica_settings *r, size_t index)
{
    const struct key_text ca = key_of("replicas", index, "tls.ca_file");
    const struct key_text certificate = key_of("replicas", index, "tls.certificate");
    const struct key_text key = key_of("replicas", index, "tls.key");
    const struct tls_client_settings *t = &r->tls;
    struct tls_client *client = NULL;
    struct tls_fault fault = {{0}};
    bool opens = t->ca_file == NULL || check_file(c, ca.text, t->ca_file);

    opens = (t->certificate == NULL || check_file(c, certificate.text, t->certificate)) && opens;
    opens = (t->key == NULL || check_file(c, key.text, t->key)) && opens;
    if (!opens || (t->certificate == NULL) != (t->key == NULL) || r->host == NULL) {
        return;
    }
    if (tls_client_create(t, r->host, &client, &fault) == CE_OK) {
        tls_client_unref(client);
        return;
    }
    report(c,
           is_about(fault.text, t->ca_file)       ? ca.text
           : is_about(fault.text, t->certificate) ? certificate.text
           : is_about(fault.text, t->key)         ? key.text
                                                  : key_of("replicas", index, "tls").text,
           "%s", fault.text);
}

static bool is_public(const struct settings *s)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].parsed.len > 0 && !net_address_is_loopback(&s->listeners[i].parsed)) {
            return true;
        }
    }
    return false;
}

bool check_lets_somebody_in(const struct snapshot *s)
{
    return !is_public(&s->settings) || auth_has_credentials(s->auth);
}

static void warn_skipped(struct check *c, const struct auth *a)
{
    const struct auth_fault *texts;
    size_t count = auth_skipped_keys(a, &texts);

    for (size_t i = 0; i < count; i++) {
        config_report(&c->errors, &c->places, CONFIG_WARNING, "api_keys_file", texts[i].text);
    }
}

static void check_api_keys(struct check *c)
{
    const struct auth_settings *all = &c->settings.auth;
    struct auth_settings keys = *all;
    struct auth_fault fault = {{0}};
    struct auth *a = NULL;
    char none[SENTENCE_BYTES];

    keys.issuer_count = 0;
    if (all->api_keys_file == NULL) {
        return;
    }
    if (auth_create(&keys, &a, &fault) != CE_OK) {
        report(c, "api_keys_file", "%s", fault.text);
        return;
    }
    warn_skipped(c, a);
    if (all->issuer_count == 0 && !auth_has_credentials(a)) {
        snprintf(none, sizeof(none),
                 "%s: has no key that is good, so every request would get 401; `corral key create "
                 "--file %s --tenant NAME` makes one",
                 all->api_keys_file, all->api_keys_file);
        config_report(&c->errors, &c->places,
                      is_public(&c->settings) ? CONFIG_ERROR : CONFIG_WARNING, "api_keys_file",
                      none);
    }
    auth_destroy(a);
}

static void check_issuers(struct check *c)
{
    for (size_t i = 0; i < c->settings.auth.issuer_count; i++) {
        const struct issuer_settings *issuer = &c->settings.auth.issuers[i];
        struct auth_fault fault = {{0}};
        struct keyset keys = {0};

        if (issuer->issuer != NULL && issuer->keys_file != NULL &&
            keyset_read(issuer, &keys, &fault) != CE_OK) {
            report(c, key_of("issuers", i, "keys_file").text, "%s", fault.text);
        }
        keyset_finish(&keys);
    }
}

/* Whether a file could be made in the folder of `path`. */
static bool folder_can_be_written(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[4096];

    if (slash == NULL) {
        return access(".", W_OK | X_OK) == 0;
    }
    snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return access(folder, W_OK | X_OK) == 0;
}

static void check_written(struct check *c)
{
    const char *state = c->settings.state_dir;
    const char *log = c->settings.log_file;
    struct stat st;

    if (state != NULL && stat(state, &st) != 0) {
        report(c, "state_dir", "%s: %s; make the folder, for the user that corral runs as", state,
               strerror(errno));
    } else if (state != NULL && !S_ISDIR(st.st_mode)) {
        report(c, "state_dir", "%s: is not a folder", state);
    } else if (state != NULL && access(state, W_OK | X_OK) != 0) {
        report(c, "state_dir", "%s: cannot be written: %s", state, strerror(errno));
    }
    if (log != NULL &&
        (access(log, F_OK) == 0 ? access(log, W_OK) != 0 : !folder_can_be_written(log))) {
        report(c, "log.file", "%s: cannot be written: %s", log, strerror(errno));
    }
}

static void check_address(struct check *c, const char *key, const char *text)
{
    struct net_address address;

    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        if (!folder_can_be_written(text + 5)) {
            report(c, key, "%s: no socket can be made in its folder: %s", text, strerror(errno));
        }
    } else if (net_address_parse(slice_str(text), &address) == CE_OK &&
               listener_find_address(&address) != CE_OK) {
        report(c, key, "%s: cannot be listened on: %s", text, strerror(errno));
    }
}

static void check_addresses(struct check *c)
{
    for (size_t i = 0; i < c->settings.listener_count; i++) {
        check_address(c, key_of("listeners", i, "address").text, c->settings.listeners[i].address);
    }
    check_address(c, "health.address", c->settings.health_address);
    check_address(c, "metrics.address", c->settings.metrics_address);
}

static void check_sandbox(struct check *c)
{
    const char *missing = sandbox_missing(&c->settings);

    if (missing != NULL) {
        report(c, "sandbox.mode", "%s", missing);
    }
}

static bool has_error(const struct config_errors *e)
{
    for (size_t i = 0; i < e->count; i++) {
        if (!e->at[i].warning) {
            return true;
        }
    }
    return false;
}

/* The parts are good: so is the whole, or a rule that has no key of its own says why not. */
static void check_whole(struct check *c)
{
    struct snapshot *snapshot = NULL;
    struct auth_fault fault = {{0}};

    if (snapshot_create(&c->settings, 1, &snapshot, &fault) != CE_OK) {
        report(c, "", "%s", fault.text);
    }
    snapshot_unref(snapshot);
}

bool check_text(const char *name, const char *text, enum check_depth depth)
{
    struct check c = {.errors = {.count = 0}};
    enum corral_err err = config_parse_all(slice_str(text), &c.settings, &c.places, &c.errors);

    if (depth == CHECK_MACHINE) {
        check_certificates(&c);
        for (size_t i = 0; i < c.settings.replica_count; i++) {
            if (c.settings.replicas[i].https) {
                check_replica(&c, &c.settings.replicas[i], i);
            }
        }
        check_issuers(&c);
        check_api_keys(&c);
        check_written(&c);
        check_addresses(&c);
        check_sandbox(&c);
    }
    if (depth == CHECK_MACHINE && err == CE_OK && !has_error(&c.errors)) {
        check_whole(&c);
    }
    bool good = !has_error(&c.errors);

    settings_finish(&c.settings);
    config_places_finish(&c.places);
    check_print(name, &c.errors);
    return good;
}
