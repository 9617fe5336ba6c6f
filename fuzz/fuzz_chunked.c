#include "base/buf.h"
#include "fuzz.h"
#include "http/h1_chunked.h"

static enum corral_err decode(struct slice bytes, size_t step, struct buf *out, size_t *used)
{
    struct h1_chunked c = {0};
    size_t at = 0;

    while (at < bytes.len && !c.done) {
        size_t take = bytes.len - at < step ? bytes.len - at : step;
        struct slice rest = slice_of(bytes.ptr + at, take);

        while (rest.len > 0 && !c.done) {
            struct slice data;
            enum corral_err err = h1_chunked_next(&c, &rest, &data);

            if (err != CE_OK) {
                return err;
            }
            MUST_HOLD(buf_append(out, data) == CE_OK);
        }
        at += take - rest.len;
    }
    *used = at;
    return c.done ? CE_OK : CE_MORE;
}

/* The same body whole and byte by byte: same verdict, same data, same end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct buf whole = buf_make(1 << 20);
    struct buf stepped = buf_make(1 << 20);
    size_t used_whole = 0;
    size_t used_stepped = 0;
    enum corral_err a = decode(bytes, size + 1, &whole, &used_whole);
    enum corral_err b = decode(bytes, 1, &stepped, &used_stepped);

    MUST_HOLD(a == b && used_whole == used_stepped);
    MUST_HOLD(slice_eq(buf_slice(&whole), buf_slice(&stepped)));
    buf_finish(&whole);
    buf_finish(&stepped);
    return 0;
}
