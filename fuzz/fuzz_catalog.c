#include <stdlib.h>

#include "fuzz.h"
#include "ollama/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalog *c;

    if (size < 1 || catalog_parse(data[0] % 2 == 0 ? CATALOG_TAGS : CATALOG_PS,
                                  slice_of((const char *)data + 1, size - 1), &c) != CE_OK) {
        return 0;
    }
    const struct catalog *lists[] = {c};
    struct catalog *again;
    struct buf out = buf_make(16 << 20);

    struct catalog_merged *merged = catalog_merge(CATALOG_TAGS, lists, 1);

    MUST_HOLD(catalog_write_native(merged, (struct catalog_filter){0}, &out) == CE_OK);
    free(merged);
    MUST_HOLD(catalog_parse(CATALOG_TAGS, buf_slice(&out), &again) == CE_OK);
    MUST_HOLD(again->count <= c->count);
    catalog_destroy(again);
    catalog_destroy(c);
    buf_finish(&out);
    return 0;
}
