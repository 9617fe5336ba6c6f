#include "base/buf.h"
#include "ollama/ending.h"
#include "ollama/stream.h"
#include "unit.h"

static struct arena kept; /* what streams keep of their events */

/* Answers of a real Ollama 0.24.0. */
#define CHAT_LINE                                                                                  \
    "{\"model\":\"tiny\",\"created_at\":\"2026-11-21T13:22:27.349757397Z\",\"message\":{\"role\":" \
    "\"assistant\",\"content\":\"Say\"},\"done\":false}\n"
#define CHAT_LAST                                                                                  \
    "{\"model\":\"tiny\",\"created_at\":\"2026-11-21T13:22:27.563399494Z\",\"message\":{\"role\":" \
    "\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"length\",\"total_duration\":" \
    "739157667,\"load_duration\":210209003,\"prompt_eval_count\":12,\"prompt_eval_duration\":"     \
    "155504415,\"eval_count\":4,\"eval_duration\":198196910}\n"
#define GENERATE_LINE                                                                              \
    "{\"model\":\"tiny\",\"created_at\":\"2026-11-21T13:22:27.3Z\",\"response\":\" the\","         \
    "\"done\":false}\n"
#define LOADED                                                                                     \
    "{\"model\":\"tiny\",\"created_at\":\"2026-11-21T13:22:27.3Z\",\"response\":\"\",\"done\":"    \
    "true,\"done_reason\":\"load\"}"
#define RUNNER_DIED                                                                                \
    "{\"error\":\"an error was encountered while running the model: unexpected EOF\"}\n"
#define SSE_HEAD                                                                                   \
    "data: {\"id\":\"chatcmpl-835\",\"object\":\"chat.completion.chunk\",\"created\":1795267349,"  \
    "\"model\":\"tiny\",\"system_fingerprint\":\"fp_ollama\","
#define SSE_LINE                                                                                   \
    SSE_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"            \
             "\"Describe\"},\"finish_reason\":null}]}\n\n"
#define SSE_LAST                                                                                   \
    SSE_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"      \
             "\"finish_reason\":\"length\"}]}\n\n"
#define SSE_USAGE                                                                                  \
    SSE_HEAD "\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,"             \
             "\"total_tokens\":15}}\n\n"
#define SSE_DONE "data: [DONE]\n\n"
#define SSE_DIED                                                                                   \
    "data: {\"id\":\"chatcmpl-835\",\"object\":\"chat.completion.chunk\",\"created\":1795267349,"  \
    "\"model\":\"\",\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\":0,\"delta\":{"    \
    "\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n"
#define CMPL(usage)                                                                                \
    "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1,\"choices\":[{"         \
    "\"text\":\"hi\",\"index\":0,\"finish_reason\":null}],\"model\":\"tiny\"" usage "}\n\n"
#define CMPL_ZERO ",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}"
#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define RESPONSES_BODY                                                                             \
    EVENT("response.created", ",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"error\":"  \
                              "null,\"created_at\":7,\"model\":\"tiny\"}")                         \
    EVENT("response.output_text.delta", ",\"sequence_number\":1,\"delta\":\"hel\"")
#define RESPONSES_LAST                                                                             \
    EVENT("response.completed",                                                                    \
          ",\"response\":{\"usage\":{\"input_tokens\":12,\"input_tokens_details\":{"               \
          "\"cached_tokens\":0},\"output_tokens\":2,\"output_tokens_details\":{"                   \
          "\"reasoning_tokens\":0},\"total_tokens\":14}}")
#define MESSAGES_BODY                                                                              \
    EVENT("message_start", ",\"message\":{\"id\":\"msg_1\",\"model\":\"tiny\",\"usage\":{"         \
                           "\"input_tokens\":3,\"output_tokens\":0}}")                             \
    EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\"}")             \
    EVENT("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"       \
                                 "\"hi\"}")
#define MESSAGES_LAST                                                                              \
    EVENT("content_block_stop", ",\"index\":0")                                                    \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{"               \
                           "\"input_tokens\":12,\"output_tokens\":2}")                             \
    EVENT("message_stop", "")

static const struct route *route_of(const char *path)
{
    struct route_match m;

    ck_assert_int_eq(route_find(SLICE_LITERAL("POST"), slice_str(path), &m), CE_OK);
    return m.route;
}

static void collect(void *arg, struct slice bytes)
{
    if (bytes.len == 0 || buf_append(arg, bytes) != CE_OK) {
        ck_abort_msg("an empty or too long piece"); /* an assertion per byte is slow */
    }
}

struct expected {
    const char *name;
    const char *path;
    bool plain; /* one JSON value although the route could stream */
    bool strip;
    const char *in;
    const char *out; /* NULL: the same */
    bool complete;
    bool error;
    bool broken;
    int64_t prompt; /* -1: not given */
    int64_t output;
    uint64_t chunks;
    uint64_t bytes;
};

static void feed(struct stream *s, struct slice text, struct stream_sink sink)
{
    char *exact = malloc(text.len + 1); /* a sanitizer sees one byte too far */

    if (text.len > 0) {
        memcpy(exact, text.ptr, text.len);
    }
    stream_feed(s, slice_of(exact, text.len), sink);
    free(exact);
}

/* Pieces of `step` bytes, the first one of `first`. */
static void run(const struct expected *e, size_t first, size_t step)
{
    struct stream s;
    struct buf out = buf_make(1 << 20);
    struct stream_sink sink = {collect, &out};
    struct slice in = slice_str(e->in);

    stream_init(&s, route_of(e->path), !e->plain, e->strip, &kept);
    for (size_t at = 0; at < in.len;) {
        size_t want = at == 0 && first > 0 ? first : step;
        size_t len = in.len - at < want ? in.len - at : want;

        feed(&s, slice_of(in.ptr + at, len), sink);
        at += len;
    }
    stream_end(&s, sink);
    ck_assert_msg(slice_eq_str(buf_slice(&out), e->out == NULL ? e->in : e->out),
                  "%s %zu %zu\n%.*s", e->name, first, step, SLICE_ARG(buf_slice(&out)));
    ck_assert_msg(s.complete == e->complete, "%s %zu complete", e->name, first);
    ck_assert_msg(s.saw_error_event == e->error, "%s error", e->name);
    ck_assert_msg(s.broken == e->broken, "%s %zu broken", e->name, first);
    ck_assert_msg((s.has_prompt_tokens ? (int64_t)s.prompt_tokens : -1) == e->prompt, "%s prompt",
                  e->name);
    ck_assert_msg((s.has_output_tokens ? (int64_t)s.output_tokens : -1) == e->output, "%s output",
                  e->name);
    ck_assert_msg(s.chunks == e->chunks, "%s chunks %d", e->name, (int)s.chunks);
    ck_assert_msg(s.output_bytes == e->bytes, "%s bytes %d", e->name, (int)s.output_bytes);
    stream_finish(&s);
    buf_finish(&out);
}

static const struct expected streams[] = {
    {"chat", "/api/chat", false, false, CHAT_LINE CHAT_LINE CHAT_LAST, NULL, true, false, false, 12,
     4, 2, 6},
    {"generate", "/api/generate", false, false, GENERATE_LINE CHAT_LAST, NULL, true, false, false,
     12, 4, 1, 4},
    {"plain answer", "/api/chat", true, false, CHAT_LAST, NULL, true, false, false, 12, 4, 0, 0},
    {"load", "/api/generate", false, false, LOADED, NULL, true, false, false, -1, -1, 0, 0},
    {"runner died", "/api/chat", false, false, CHAT_LINE RUNNER_DIED, NULL, false, true, false, -1,
     -1, 1, 3},
    {"S-294 no last line", "/api/chat", false, false, CHAT_LINE, NULL, false, false, false, -1, -1,
     1, 3},
    {"S-294 last line twice", "/api/chat", false, false,
     CHAT_LAST "{\"done\":true,\"eval_count\":999,\"prompt_eval_count\":0}\n", NULL, true, false,
     false, 12, 4, 0, 0},
    {"S-294 cut in the last line", "/api/chat", false, false,
     CHAT_LINE "{\"done\":true,\"eval_count\":9", NULL, false, false, true, -1, -1, 1, 3},
    {"S-295 a line inside a string", "/api/chat", false, false,
     "{\"message\":{\"content\":\"\\n{\\\"done\\\":true}\"},\"done\":false}\n"
     "{\"message\":{\"content\":\"x\",\"done\":true},\"x\":{\"done\":true},\"done\":false}\n",
     NULL, false, false, false, -1, -1, 2, 15},
    {"S-295 a raw line feed inside a string", "/api/chat", false, false,
     "{\"message\":{\"content\":\"\n{\"done\":true}\n", NULL, true, false, true, -1, -1, 0, 0},
    {"two values on a line", "/api/chat", false, false, "{\"done\":false}{\"done\":true}\n", NULL,
     false, false, true, -1, -1, 0, 0},
    {"embed", "/api/embed", false, false,
     "{\"model\":\"embed\",\"embeddings\":[[0.1,-2e-5]],\"prompt_eval_count\":7}", NULL, true,
     false, false, 7, -1, 0, 0},
    {"cut embed", "/api/embed", true, false, "{\"model\":\"embed\",\"embeddings\":[[0.1", NULL,
     false, false, false, -1, -1, 0, 0},
    {"pull", "/api/pull", false, false, "{\"status\":\"pulling\"}\n{\"status\":\"success\"}\n",
     NULL, true, false, false, -1, -1, 0, 0},
    {"delete", "/api/copy", false, false, "", NULL, true, false, false, -1, -1, 0, 0},
    {"not json", "/api/chat", true, false, "<html>oh</html>", NULL, false, false, true, -1, -1, 0,
     0},
    {"sse", "/v1/chat/completions", false, false, SSE_LINE SSE_LAST SSE_USAGE SSE_DONE, NULL, true,
     false, false, 12, 3, 1, 8},
    {"sse stripped", "/v1/chat/completions", false, true, SSE_LINE SSE_LAST SSE_USAGE SSE_DONE,
     SSE_LINE SSE_LAST SSE_DONE, true, false, false, 12, 3, 1, 8},
    {"sse died", "/v1/chat/completions", false, true, SSE_LINE SSE_DIED, NULL, false, false, false,
     -1, -1, 1, 8},
    {"sse error", "/v1/chat/completions", false, true,
     SSE_LINE "data: {\"error\":{\"message\":\"x\"}}\n\n", NULL, false, true, false, -1, -1, 1, 8},
    {"S-295 [DONE] in content", "/v1/chat/completions", false, true,
     "data: {\"choices\":[{\"delta\":{\"content\":\"\\n\\ndata: [DONE]\\n\\n\"}}]}\n\n", NULL,
     false, false, false, -1, -1, 1, 16},
    {"sse without its empty line", "/v1/chat/completions", false, true, SSE_LINE "data: [DONE]\n",
     NULL, false, false, false, -1, -1, 1, 8},
    {"sse comments, other fields, CR LF", "/v1/chat/completions", false, true,
     ": hi\n\nid: 7\r\ndata:{\"choices\":[]}\r\n\r\ndata\n\nretry: 1\n\n" SSE_DONE, NULL, true,
     false, false, -1, -1, 0, 0},
    {"sse broken event", "/v1/chat/completions", false, true, "data: {\"usage\":{\n\n" SSE_DONE,
     NULL, true, false, true, -1, -1, 0, 0},
    {"completions", "/v1/completions", false, true,
     CMPL(CMPL_ZERO) CMPL("") "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6},"
                              "\"choices\":[]}\n\n" SSE_DONE,
     CMPL("") CMPL("") SSE_DONE, true, false, false, 5, 6, 2, 4},
    {"completions, usage first", "/v1/completions", false, true,
     "data: {\"usage\":null , \"choices\":[{\"text\":\"x\"}]}\n\n" SSE_DONE,
     "data: {\"choices\":[{\"text\":\"x\"}]}\n\n" SSE_DONE, true, false, false, -1, -1, 1, 1},
    {"responses", "/v1/responses", false, true, RESPONSES_BODY RESPONSES_LAST, NULL, true, false,
     false, 12, 2, 1, 3},
    {"responses cut", "/v1/responses", false, false, RESPONSES_BODY, NULL, false, false, false, -1,
     -1, 1, 3},
    {"responses failed", "/v1/responses", false, false, EVENT("response.failed", ""), NULL, true,
     true, false, -1, -1, 0, 0},
    {"messages", "/v1/messages", false, false, MESSAGES_BODY MESSAGES_LAST, NULL, true, false,
     false, 12, 2, 1, 2},
    {"messages cut", "/v1/messages", false, false, MESSAGES_BODY, NULL, false, false, false, -1, -1,
     1, 2},
    {"messages error", "/v1/messages", false, false,
     MESSAGES_BODY EVENT("error", ",\"error\":{\"type\":\"api_error\"}"), NULL, false, true, false,
     -1, -1, 1, 2},
    {"v1 plain", "/v1/chat/completions", true, true,
     "{\"choices\":[{\"message\":{\"content\":\"hello\"}}],\"usage\":{\"prompt_tokens\":1,"
     "\"completion_tokens\":2}}\n",
     NULL, true, false, false, 1, 2, 1, 5},
};

START_TEST(recordings_whole_and_byte_by_byte)
{
    run(&streams[_i], 0, 1 << 20);
    run(&streams[_i], 0, 1);
    run(&streams[_i], 0, 7);
}
END_TEST

START_TEST(recordings_split_at_every_offset)
{
    for (size_t first = 1; first < strlen(streams[_i].in); first++) {
        run(&streams[_i], first, 1 << 20);
    }
}
END_TEST

/* An event over the bound passes as it comes, and what follows is stripped again. */
START_TEST(long_events_pass)
{
    struct buf in = buf_make(1 << 20);
    struct buf want = buf_make(1 << 20);

    for (struct buf *b = &in; b != NULL; b = b == &in ? &want : NULL) {
        ck_assert_int_eq(
            buf_append_str(b, SSE_LINE "data: {\"choices\":[{\"delta\":{\"content\":\""), CE_OK);
        for (size_t i = 0; i < 3000; i++) {
            ck_assert_int_eq(buf_append_str(b, "0123456789"), CE_OK);
        }
        ck_assert_int_eq(buf_append_str(b, "\"}}]}\n\n" SSE_LAST), CE_OK);
    }
    ck_assert_int_eq(buf_append_str(&in, SSE_USAGE SSE_DONE), CE_OK);
    ck_assert_int_eq(buf_append(&want, slice_of(SSE_DONE, sizeof(SSE_DONE))), CE_OK);
    ck_assert_int_eq(buf_append(&in, slice_of("", 1)), CE_OK);
    struct expected e = {"long",
                         "/v1/chat/completions",
                         false,
                         true,
                         buf_slice(&in).ptr,
                         buf_slice(&want).ptr,
                         true,
                         false,
                         false,
                         12,
                         3,
                         2,
                         30008};

    run(&e, 0, 1 << 20);
    run(&e, 0, 1000);
    run(&e, 0, 16000);
    run(&e, 0, 1);
    buf_finish(&in);
    buf_finish(&want);
}
END_TEST

/* Made-up ends are read by our own watcher as complete, whole and without an error. */
START_TEST(endings_are_complete)
{
    static const struct {
        const char *path;
        const char *body;
        const char *has;
    } cases[] = {
        {"/api/chat", CHAT_LINE, "\"model\":\"tiny\""},
        {"/api/generate", GENERATE_LINE, "\"response\":\"\""},
        {"/v1/chat/completions", SSE_LINE, "\"id\":\"chatcmpl-835\""},
        {"/v1/completions", CMPL(""), "\"id\":\"cmpl-1\""},
        {"/v1/responses", RESPONSES_BODY, "\"sequence_number\":2"},
        {"/v1/messages", MESSAGES_BODY, "\"type\":\"content_block_stop\",\"index\":0"},
        {"/v1/messages", "", "message_start"},
    };
    const struct ending ending = {.prompt_tokens = 8, .output_tokens = 5, .usage_asked = true};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stream s;
        struct buf out = buf_make(1 << 16);
        struct stream_sink sink = {collect, &out};

        stream_init(&s, route_of(cases[i].path), true, false, &kept);
        stream_feed(&s, slice_str(cases[i].body), sink);
        ck_assert(!s.complete);
        buf_clear(&out);
        ck_assert_int_eq(ending_write(&s, &ending, &out), CE_OK);
        ck_assert_ptr_nonnull(memmem(out.data, out.len, cases[i].has, strlen(cases[i].has)));
        struct buf again = buf_make(1 << 16);

        sink.arg = &again;
        stream_feed(&s, buf_slice(&out), sink);
        ck_assert_msg(s.complete && !s.broken && !s.saw_error_event, "%s", cases[i].path);
        ck_assert_uint_eq(s.prompt_tokens, 8);
        ck_assert_uint_eq(s.output_tokens, 5);
        buf_finish(&again);
        buf_finish(&out);
        stream_finish(&s);
    }
}
END_TEST

static Suite *stream_suite(void)
{
    Suite *suite = suite_create("ollama_stream");
    TCase *tc = tcase_create("stream");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, recordings_whole_and_byte_by_byte, 0, ARRAY_LEN(streams));
    tcase_add_loop_test(tc, recordings_split_at_every_offset, 0, ARRAY_LEN(streams));
    tcase_add_test(tc, long_events_pass);
    tcase_add_test(tc, endings_are_complete);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(stream_suite)
