/*
 * A look every two seconds instead of inotify: it sees a renamed `..data` link, a replaced folder
 * and a network file system alike, needs no descriptors and cannot miss an event
 * (docs/decisions/0006-secrets-by-stat.md). reload.c looks, on its helper thread: a file system
 * may take its time.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "app/app.h"
#include "base/rand.h"

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

uint64_t secrets_digest(const struct settings *s)
{
    uint64_t digest = 0;

    settings_each_path(s, mix_path, &digest);
    return digest;
}
