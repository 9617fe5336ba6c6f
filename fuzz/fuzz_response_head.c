#include "fuzz.h"
#include "http/h1_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct http_response_head head;
    struct h1_scan scan = {0};
    size_t len = 0;

    if (h1_scan_head(&scan, bytes, &len) != CE_OK ||
        h1_read_response(slice_of(bytes.ptr, len), &head) != CE_OK) {
        return 0;
    }
    MUST_HOLD(head.status >= 100 && head.status <= 599);
    bool bodyless = head.status < 200 || head.status == 204 || head.status == 304;

    MUST_HOLD(bodyless == (head.framing == HTTP_NO_BODY));
    return 0;
}
