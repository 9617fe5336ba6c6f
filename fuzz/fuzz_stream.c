#include "base/buf.h"
#include "fuzz.h"
#include "ollama/stream.h"

static void collect(void *arg, struct slice bytes)
{
    MUST_HOLD(bytes.len > 0 && buf_append(arg, bytes) == CE_OK);
}

static struct arena kept; /* of the streams of one input */

static void feed(const struct route *route, bool strip, struct slice bytes, size_t step,
                 struct stream *s, struct buf *out)
{
    struct stream_sink sink = {collect, out};

    stream_init(s, route, true, strip, &kept);
    for (size_t at = 0; at < bytes.len; at += step) {
        stream_feed(s, slice_of(bytes.ptr + at, bytes.len - at < step ? bytes.len - at : step),
                    sink);
    }
    stream_end(s, sink);
}

/* An answer split anywhere is passed on and counted as the whole one; unstripped, byte for byte. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"/api/chat", "/v1/chat/completions", "/v1/completions",
                                        "/v1/responses", "/v1/messages"};
    struct route_match match;
    struct stream a;
    struct stream b;
    struct buf whole = buf_make(4 << 20);
    struct buf stepped = buf_make(4 << 20);

    if (size < 2) {
        return 0;
    }
    struct slice bytes = slice_of((const char *)data + 2, size - 2);
    bool strip = (data[0] & 0x80) != 0;

    MUST_HOLD(route_find(SLICE_LITERAL("POST"), slice_str(paths[data[0] % ARRAY_LEN(paths)]),
                         &match) == CE_OK);
    feed(match.route, strip, bytes, bytes.len + 1, &a, &whole);
    feed(match.route, strip, bytes, (size_t)data[1] % 7 + 1, &b, &stepped);
    MUST_HOLD(slice_eq(buf_slice(&whole), buf_slice(&stepped)));
    MUST_HOLD(a.complete == b.complete && a.chunks == b.chunks &&
              a.output_tokens == b.output_tokens && a.prompt_tokens == b.prompt_tokens &&
              a.saw_error_event == b.saw_error_event);
    MUST_HOLD(strip || slice_eq(buf_slice(&whole), bytes));
    stream_finish(&a);
    stream_finish(&b);
    buf_finish(&whole);
    buf_finish(&stepped);
    arena_finish(&kept);
    return 0;
}
