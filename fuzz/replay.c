#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

/* replay FOLDER: every file of a seed folder through the target; for builds without libFuzzer. */
static void replay(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");

    MUST_HOLD(f != NULL);
    size_t n = fread(bytes, 1, sizeof(bytes), f);

    fclose(f);
    /* A copy of exact size, so that ASan sees a read behind the end. */
    uint8_t *copy = malloc(n == 0 ? 1 : n);

    MUST_HOLD(copy != NULL);
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

int main(int argc, char **argv)
{
    size_t count = 0;

    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        struct dirent *entry;

        MUST_HOLD(folder != NULL);
        while ((entry = readdir(folder)) != NULL) {
            char path[4096];

            snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.') {
                replay(path);
                count++;
            }
        }
        closedir(folder);
    }
    printf("1..1\nok 1 - %zu seeds replayed\n", count);
    return count > 0 ? 0 : 1;
}
