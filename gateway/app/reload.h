/**
 * Reading the configuration, at the start and again (SIGHUP, changed certificates and key files).
 *
 * A reload never stands in the way of main's loop: the helper thread reads and checks the file and
 * everything it names, and builds a snapshot; main looks at the result and puts it into force. One
 * reload at a time; those that are asked for meanwhile become one more.
 */
#ifndef CORRAL_APP_RELOAD_H
#define CORRAL_APP_RELOAD_H

#include <stdbool.h>

struct app;
struct auth_fault;
struct reloader;
struct settings;

/** Read `path` into *out_text. Prints errors. */
bool reload_read(const char *path, char **out_text);
/** At the start: build a snapshot and put it into force. Takes over the settings. */
bool reload_first(struct app *a, struct settings *settings, struct auth_fault *out_fault);

/** After reload_first; starts the helper. */
struct reloader *reloader_create(struct app *a);
/** False: the helper is stuck, nothing that it may use can be freed (helper_destroy). */
bool reloader_destroy(struct reloader *r);

/** SIGHUP: the file again. */
void reload_file(struct reloader *r);
/**
 * Look at certificates and key files every SECRETS_WATCH_MS; when one has changed: the same text,
 * fresh files.
 */
enum { SECRETS_WATCH_MS = 2000 };
void reload_watch_secrets(struct reloader *r);
/** Mail of MAIL_HELPED: the helper has ended a job. */
void reload_go_on(struct reloader *r);

#endif
