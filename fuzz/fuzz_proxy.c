#include "fuzz.h"
#include "net/proxy_header.h"

/* The same header whole and byte by byte: same verdict, same length, same address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct proxy_header whole = {0};
    struct proxy_header stepped = {0};
    size_t need = 0;
    size_t need_stepped = 0;
    size_t at = 0;
    enum corral_err a = proxy_header_read(bytes, &whole, &need);
    enum corral_err b = CE_MORE;

    while (b == CE_MORE && at <= size) {
        b = proxy_header_read(slice_of(bytes.ptr, at), &stepped, &need_stepped);
        MUST_HOLD(b != CE_MORE || (need_stepped > at && need_stepped <= PROXY_HEADER_MAX));
        at++;
    }
    MUST_HOLD(a == b);
    if (a == CE_OK) {
        char text[NET_ADDRESS_TEXT_BYTES];

        MUST_HOLD(need == need_stepped && need == at - 1 && need <= size);
        MUST_HOLD(whole.has_source == stepped.has_source);
        net_address_format(&whole.source, text);
        struct net_peer a_peer = net_peer_of(&whole.source);
        struct net_peer b_peer = net_peer_of(&stepped.source);

        MUST_HOLD(!whole.has_source || net_peer_source(&a_peer) == net_peer_source(&b_peer));
    }
    return 0;
}
