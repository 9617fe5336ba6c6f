#include "../tests/unit/http/h2_peer.h"
#include "fuzz.h"

struct outcome {
    enum corral_err fault;
    uint64_t digest;
};

static struct outcome play(struct slice wire, size_t step, bool flush_between)
{
    struct h2_peer p;
    struct outcome o;

    h2_peer_begin(&p, &h2_peer_settings);
    if (flush_between) {
        size_t half = wire.len / 2;

        o.fault = h2_peer_receive(&p, slice_of(wire.ptr, half), step);
        (void)h2_peer_send(&p);
        if (o.fault == CE_OK) {
            (void)h2_peer_receive(&p, slice_from(wire, half), step);
        }
    } else {
        o.fault = h2_peer_receive(&p, wire, step);
    }
    o.digest = p.digest;
    enum corral_err sent = h2_peer_send(&p);
    MUST_HOLD(o.fault == CE_OK || sent == o.fault || flush_between);
    MUST_HOLD(o.fault == CE_OK || h2_session_is_over(p.session));
    h2_peer_end(&p);
    return o;
}

/* The first byte chooses: bytes as they are, or frames by a grammar. Whole or split: the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf wire = buf_make(16 << 20);

    if (size == 0 || size > 65536) {
        return 0;
    }
    struct slice rest = slice_of((const char *)data + 1, size - 1);

    h2_peer_hello(&wire);
    if ((data[0] & 1) != 0) {
        h2_peer_grammar(&wire, rest);
    } else {
        MUST_HOLD(buf_append(&wire, rest) == CE_OK);
    }
    struct outcome whole = play(buf_slice(&wire), wire.len, false);
    struct outcome bytes = play(buf_slice(&wire), 1, false);

    MUST_HOLD(whole.fault == bytes.fault && whole.digest == bytes.digest);
    (void)play(buf_slice(&wire), 7, true);
    buf_finish(&wire);
    return 0;
}
