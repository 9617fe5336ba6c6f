#include "fuzz.h"
#include "http/authority.h"
#include "http/h1_head.h"

/* What is read whole and what is read byte by byte must be the same, and no field may lie outside.
 */
static enum corral_err read_in_steps(struct slice bytes, size_t step, struct http_request *out)
{
    struct h1_scan scan = {0};
    enum corral_err err = CE_MORE;
    size_t head_len = 0;

    for (size_t n = step; err == CE_MORE; n += step) {
        struct slice seen = slice_of(bytes.ptr, n < bytes.len ? n : bytes.len);

        err = h1_scan_request(&scan, seen, &head_len);
        if (n >= bytes.len) {
            break;
        }
    }
    return err == CE_OK ? h1_read_request(slice_of(bytes.ptr, head_len), false, out) : err;
}

static void check_inside(struct slice whole, struct slice part)
{
    MUST_HOLD(part.len == 0 ||
              (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct http_request whole;
    struct http_request stepped;
    struct http_authority authority;

    if (size == 0) {
        return 0;
    }
    enum corral_err err = read_in_steps(bytes, size, &whole);
    bool ok = read_in_steps(bytes, 1, &stepped) == CE_OK;

    MUST_HOLD(ok == (err == CE_OK));
    if (!ok) {
        return 0;
    }
    MUST_HOLD(whole.fields.count == stepped.fields.count);
    MUST_HOLD(slice_eq(whole.path, stepped.path) && whole.path.len > 0);
    MUST_HOLD(http_authority_parse(whole.authority, &authority) == CE_OK);
    MUST_HOLD(whole.fields.times[HF_HOST] == 1);
    MUST_HOLD(whole.fields.times[HF_CONTENT_LENGTH] + whole.fields.times[HF_TRANSFER_ENCODING] <=
              1);
    for (size_t i = 0; i < whole.fields.count; i++) {
        check_inside(bytes, whole.fields.at[i].name);
        check_inside(bytes, whole.fields.at[i].value);
        MUST_HOLD(slice_find(whole.fields.at[i].value, '\r') == whole.fields.at[i].value.len);
    }
    return 0;
}
