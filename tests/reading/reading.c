/*
 * reading: what corral makes of bodies, for a comparison with other readers.
 *
 * In:  records of one byte (index into `paths`), four bytes of length (little endian), a body.
 * Out: a line of JSON for each: {"ok":false,"reason":..} or what was read, and the body as it would
 *      be sent with an output bound of BOUND.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "ollama/request.h"

enum { BOUND = 64, BODY_MAX = 1 << 20 };

static const char *const paths[] = {
    "/api/chat",       "/api/generate",  "/api/embed",    "/api/embeddings", "/v1/chat/completions",
    "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages",    "/api/show",
};

static void must(bool holds)
{
    if (!holds) {
        fprintf(stderr, "reading: out of room, or records that are none\n");
        exit(2);
    }
}

static void put_text(struct buf *out, const char *before, struct slice text)
{
    must(buf_append_str(out, before) == CE_OK && buf_append_json(out, text) == CE_OK);
}

static void put_sent(struct buf *out, struct slice body, const struct request_info *info)
{
    struct splice_pos pos = {0};
    struct slice piece;

    must(buf_append_str(out, "\",\"sent\":\"") == CE_OK);
    while (splice_next(body, info, &pos, SIZE_MAX, &piece)) {
        must(buf_append_json(out, piece) == CE_OK);
    }
    must(buf_append_str(out, "\"}\n") == CE_OK);
}

static void read_one(const struct route *route, struct slice body, struct buf *out)
{
    struct request_rules rules = request_rules_default();
    struct request_info info;
    struct arena arena = {0};

    rules.output_bound = BOUND;
    enum corral_err err = request_read(route, body, &rules, &arena, &arena, &info);
    if (err != CE_OK) {
        must(buf_printf(out, "{\"ok\":false,\"reason\":\"%s\"}\n", err_reason(err)) == CE_OK);
    } else {
        request_rewrite(&info, &rules, &arena);
        must(buf_printf(out,
                        "{\"ok\":true,\"stream\":%s,\"asked\":%" PRId64 ",\"bound\":%" PRId64
                        ",\"messages\":%zu",
                        info.stream ? "true" : "false", info.output_asked, info.output_bound,
                        info.messages) == CE_OK);
        put_text(out, ",\"model\":\"", info.spelled);
        put_sent(out, body, &info);
    }
    arena_finish(&arena);
}

int main(void)
{
    static char body[BODY_MAX];
    unsigned char head[5];
    struct buf out = buf_make(8 * (size_t)BODY_MAX);

    while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
        size_t len = head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 | (size_t)head[4] << 24;
        struct route_match match;

        must(head[0] < ARRAY_LEN(paths) && len <= BODY_MAX && fread(body, 1, len, stdin) == len);
        must(route_find(SLICE_LITERAL("POST"), slice_str(paths[head[0]]), &match) == CE_OK);
        buf_clear(&out);
        read_one(match.route, slice_of(body, len), &out);
        fwrite(out.data, 1, out.len, stdout);
        fflush(stdout);
    }
    buf_finish(&out);
    return 0;
}
