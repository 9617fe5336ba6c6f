#include "base/buf.h"
#include "fuzz.h"
#include "ollama/request.h"

/* In pieces or at once: the same verdict, the same request. */
static void check_pieces(const struct route *route, struct slice body,
                         const struct request_rules *rules, enum corral_err expected, size_t step)
{
    struct arena arena = {0};
    struct request_info info;
    const char *field = NULL;
    struct request_reader *r = request_reader_create(route, rules, &arena);
    enum corral_err err = CE_MORE;

    for (size_t n = 0; n < body.len && err == CE_MORE; n += step) {
        err = request_reader_feed(r, slice_of(body.ptr, n), false, &field);
        MUST_HOLD(err != CE_OK);
    }
    err = err == CE_MORE ? request_reader_feed(r, body, true, &field) : err;
    err = err == CE_OK ? request_reader_finish(r, body, &arena, &info) : err;
    MUST_HOLD(err == expected);
    arena_finish(&arena);
}

/* The first byte chooses the route. What is accepted must still be strict JSON after its splices.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {
        "/api/chat",       "/api/generate",        "/api/embed",
        "/api/embeddings", "/v1/chat/completions", "/v1/completions",
        "/v1/embeddings",  "/v1/responses",        "/v1/messages",
        "/api/show"};
    struct route_match match;
    struct request_rules rules = request_rules_default();
    struct request_info info;
    struct arena arena = {0};

    if (size < 1) {
        return 0;
    }
    struct slice path = slice_str(paths[data[0] % ARRAY_LEN(paths)]);
    struct slice body = slice_of((const char *)data + 1, size - 1);

    rules.output_bound = (data[0] & 0x40) != 0 ? 100 : -1;
    rules.num_ctx_max = (data[0] & 0x80) != 0 ? 4096 : 0;
    MUST_HOLD(route_find(SLICE_LITERAL("POST"), path, &match) == CE_OK);
    enum corral_err err = request_read(match.route, body, &rules, &arena, &arena, &info);

    check_pieces(match.route, body, &rules, err, 1 + size % 97);
    if (err == CE_OK) {
        struct buf out = buf_make(4 << 20);
        struct splice_pos pos = {0};
        struct slice piece;
        struct request_info again;

        request_rewrite(&info, &rules, &arena);
        while (splice_next(body, &info, &pos, SIZE_MAX, &piece)) {
            MUST_HOLD(piece.len > 0 && buf_append(&out, piece) == CE_OK);
        }
        MUST_HOLD(out.len == splice_total(body.len, &info));
        MUST_HOLD(request_read(match.route, buf_slice(&out), &rules, &arena, &arena, &again) ==
                  CE_OK);
        MUST_HOLD(model_eq(info.model, again.model));
        buf_finish(&out);
    }
    arena_finish(&arena);
    return 0;
}
