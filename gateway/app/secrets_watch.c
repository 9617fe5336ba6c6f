#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "app/app.h"
#include "base/mem.h"
#include "base/rand.h"

/*
 * A look every two seconds instead of inotify: it sees a renamed `..data` link, a replaced folder
 * and a network file system alike, needs no descriptors and cannot miss an event
 * (docs/decisions/0006-secrets-by-stat.md).
 */
struct secrets_watch {
    struct app *app; /* borrowed */
    struct deadline look;
    uint64_t known; /* digest of all files' states */
};

static uint64_t mix_file(uint64_t digest, const char *path)
{
    struct stat st = {0};

    if (stat(path, &st) != 0) {
        st = (struct stat){0};
    }
    const uint64_t facts[] = {digest,
                              st.st_dev,
                              st.st_ino,
                              (uint64_t)st.st_size,
                              (uint64_t)st.st_mtim.tv_sec,
                              (uint64_t)st.st_mtim.tv_nsec,
                              (uint64_t)st.st_ctim.tv_sec,
                              (uint64_t)st.st_ctim.tv_nsec};

    return hash_bytes(slice_of((const char *)facts, sizeof(facts)));
}

/* Its files in any order: readdir promises none. */
static uint64_t mix_folder(uint64_t digest, const char *path)
{
    uint64_t sum = 0;
    DIR *d = opendir(path);
    const struct dirent *entry;
    char file[4096 + 256];

    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
            sum += mix_file(hash_bytes(slice_str(entry->d_name)), file);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return mix_file(digest, path) + sum;
}

static void mix_path(void *arg, enum settings_path kind, const char *path)
{
    uint64_t *digest = arg;

    *digest = kind == SETTINGS_FOLDER ? mix_folder(*digest, path) : mix_file(*digest, path);
}

static uint64_t look_at_all(struct app *a)
{
    struct snapshot *s = house_snapshot(&a->house);
    uint64_t digest = 0;

    settings_each_path(&s->settings, mix_path, &digest);
    snapshot_unref(s);
    return digest;
}

static void on_look(struct deadline *d)
{
    struct secrets_watch *w = CONTAINER_OF(d, struct secrets_watch, look);
    struct worker *main_worker = w->app->main_worker;
    uint64_t now = look_at_all(w->app);

    if (now != w->known) {
        w->known = now; /* a half-written pair fails and is tried again at the next change */
        reload_secrets(w->app);
    }
    deadline_set(&main_worker->wheel, &w->look, main_worker->now_ms, SECRETS_WATCH_MS);
}

struct secrets_watch *secrets_watch_create(struct app *a)
{
    struct secrets_watch *w = xcalloc(1, sizeof(*w));

    w->app = a;
    w->known = look_at_all(a);
    deadline_init(&w->look, on_look);
    deadline_set(&a->main_worker->wheel, &w->look, a->main_worker->now_ms, SECRETS_WATCH_MS);
    return w;
}

void secrets_watch_note(struct secrets_watch *w)
{
    w->known = look_at_all(w->app);
}

void secrets_watch_destroy(struct secrets_watch *w)
{
    if (w != NULL) {
        deadline_cancel(&w->look);
        free(w);
    }
}
