#include "base/buf.h"
#include "fuzz.h"
#include "ollama/request.h"

/* Notes or text: a walk sees the same. */
static void same_walk(struct slice text, const struct scan_value *noted,
                      const struct scan_value *plain)
{
    struct scan_cursor a = scan_open(text, noted);
    struct scan_cursor b = scan_open(text, plain);
    struct scan_value x;
    struct scan_value y;

    while (scan_next(&b, &y)) {
        MUST_HOLD(scan_next(&a, &x));
        MUST_HOLD(x.kind == y.kind && x.offset == y.offset && x.len == y.len);
        MUST_HOLD(x.key_offset == y.key_offset && slice_eq(x.key, y.key));
        same_walk(text, &x, &y);
    }
    MUST_HOLD(!scan_next(&a, &x));
}

static void check_notes(struct slice body, struct arena *arena)
{
    static struct scan_notes notes;
    struct scan_value plain = scan_root(body);
    struct scan_value root;

    if (scan_check_noting(body, arena, &notes, &root) == CE_OK) {
        same_walk(body, &root, &plain);
    }
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
    check_notes(body, &arena);
    MUST_HOLD(route_find(SLICE_LITERAL("POST"), path, &match) == CE_OK);
    if (request_read(match.route, body, &rules, &arena, &arena, &info) == CE_OK) {
        struct buf out = buf_make(4 << 20);
        struct splice_pos pos = {0};
        struct slice piece;
        struct request_info again;

        request_rewrite(&info, &rules, &arena);
        while (splice_next(body, &info, &pos, &piece)) {
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
