#include "ollama/stream_facts.h"

#include <pthread.h>

enum role {
    ROLE_DONE,
    ROLE_STATUS,
    ROLE_TYPE,
    ROLE_ERROR,
    ROLE_PROMPT_TOKENS,
    ROLE_OUTPUT_TOKENS,
    ROLE_OUTPUT,
    ROLE_CHOICES,
    ROLE_CHOICE,
    ROLE_USAGE,
    ROLE_ID,
    ROLE_MODEL,
    ROLE_CREATED,
    ROLE_SEQUENCE,
    ROLE_INDEX,
};

/* One list per framing: what a value means, and the path to it. */
#define NATIVE(X)                                                                                  \
    X(DONE, "done")                                                                                \
    X(ERROR, "error")                                                                              \
    X(STATUS, "status")                                                                            \
    X(MODEL, "model")                                                                              \
    X(PROMPT_TOKENS, "prompt_eval_count")                                                          \
    X(OUTPUT_TOKENS, "eval_count")                                                                 \
    X(OUTPUT, "response")                                                                          \
    X(OUTPUT, "thinking")                                                                          \
    X(OUTPUT, "message", "content")                                                                \
    X(OUTPUT, "message", "thinking")                                                               \
    X(OUTPUT, "message", "tool_calls", "[]", "function", "name")

#define CHAT(X)                                                                                    \
    X(ID, "id")                                                                                    \
    X(MODEL, "model")                                                                              \
    X(CREATED, "created")                                                                          \
    X(ERROR, "error")                                                                              \
    X(CHOICES, "choices")                                                                          \
    X(CHOICE, "choices", "[]")                                                                     \
    X(OUTPUT, "choices", "[]", "text")                                                             \
    X(OUTPUT, "choices", "[]", "delta", "content")                                                 \
    X(OUTPUT, "choices", "[]", "delta", "reasoning")                                               \
    X(OUTPUT, "choices", "[]", "delta", "reasoning_content")                                       \
    X(OUTPUT, "choices", "[]", "delta", "tool_calls", "[]", "function", "name")                    \
    X(OUTPUT, "choices", "[]", "delta", "tool_calls", "[]", "function", "arguments")               \
    X(USAGE, "usage")                                                                              \
    X(PROMPT_TOKENS, "usage", "prompt_tokens")                                                     \
    X(OUTPUT_TOKENS, "usage", "completion_tokens")

#define RESPONSES(X)                                                                               \
    X(TYPE, "type")                                                                                \
    X(ERROR, "error")                                                                              \
    X(OUTPUT, "delta")                                                                             \
    X(SEQUENCE, "sequence_number")                                                                 \
    X(ID, "response", "id")                                                                        \
    X(MODEL, "response", "model")                                                                  \
    X(CREATED, "response", "created_at")                                                           \
    X(PROMPT_TOKENS, "response", "usage", "input_tokens")                                          \
    X(OUTPUT_TOKENS, "response", "usage", "output_tokens")

/* message_start's usage is an estimate and not looked at. */
#define MESSAGES(X)                                                                                \
    X(TYPE, "type")                                                                                \
    X(ERROR, "error")                                                                              \
    X(INDEX, "index")                                                                              \
    X(ID, "message", "id")                                                                         \
    X(MODEL, "message", "model")                                                                   \
    X(OUTPUT, "delta", "text")                                                                     \
    X(OUTPUT, "delta", "thinking")                                                                 \
    X(OUTPUT, "delta", "partial_json")                                                             \
    X(PROMPT_TOKENS, "usage", "input_tokens")                                                      \
    X(OUTPUT_TOKENS, "usage", "output_tokens")

/* One JSON value of any /v1 route. */
#define PLAIN(X)                                                                                   \
    X(ID, "id")                                                                                    \
    X(MODEL, "model")                                                                              \
    X(ERROR, "error")                                                                              \
    X(OUTPUT, "choices", "[]", "text")                                                             \
    X(OUTPUT, "choices", "[]", "message", "content")                                               \
    X(OUTPUT, "choices", "[]", "message", "reasoning")                                             \
    X(OUTPUT, "choices", "[]", "message", "tool_calls", "[]", "function", "arguments")             \
    X(OUTPUT, "content", "[]", "text")                                                             \
    X(OUTPUT, "content", "[]", "thinking")                                                         \
    X(OUTPUT, "output", "[]", "content", "[]", "text")                                             \
    X(OUTPUT, "output", "[]", "arguments")                                                         \
    X(PROMPT_TOKENS, "usage", "prompt_tokens")                                                     \
    X(OUTPUT_TOKENS, "usage", "completion_tokens")                                                 \
    X(PROMPT_TOKENS, "usage", "input_tokens")                                                      \
    X(OUTPUT_TOKENS, "usage", "output_tokens")

#define PATH(role, ...) {{__VA_ARGS__}},
#define ROLE(role, ...) ROLE_##role,
#define TABLE(name, LIST)                                                                          \
    static const struct watch_path name##_paths[] = {LIST(PATH)};                                  \
    static const uint8_t name##_roles[] = {LIST(ROLE)};                                            \
    static struct watch_index name##_index; /* written once under indexes_once */                  \
    static const struct watch_table name##_table = {name##_paths, ARRAY_LEN(name##_paths),         \
                                                    &name##_index}

TABLE(native, NATIVE);
TABLE(chat, CHAT);
TABLE(responses, RESPONSES);
TABLE(messages, MESSAGES);
TABLE(plain, PLAIN);

static pthread_once_t indexes_once = PTHREAD_ONCE_INIT;

static void build_indexes(void)
{
    watch_index_build(&native_table, &native_index);
    watch_index_build(&chat_table, &chat_index);
    watch_index_build(&responses_table, &responses_index);
    watch_index_build(&messages_table, &messages_index);
    watch_index_build(&plain_table, &plain_index);
}

static uint64_t number_of(const struct watch_event *event)
{
    uint64_t value = 0;

    return slice_parse_u64(event->text, &value) == CE_OK ? value : 0;
}

/* Once: who puts out a new one with each event shall not fill the arena. */
static void keep(struct stream *s, struct slice *kept, size_t size, const struct watch_event *event)
{
    if (event->kind == SCAN_STRING && kept->len == 0 && event->len <= size &&
        event->len == event->text.len && event->len > 0) {
        *kept = arena_copy(s->arena, event->text);
    }
}

/* Types of both SSE dialects that have event names; the payload repeats the name. */
static void saw_type(struct stream *s, struct slice type)
{
    bool failed = slice_eq_str(type, "response.failed");

    if (failed || slice_eq_str(type, "error")) {
        s->facts |= FACT_ERROR;
    }
    if (failed || slice_eq_str(type, "response.completed") ||
        slice_eq_str(type, "response.incomplete") || slice_eq_str(type, "message_stop")) {
        s->facts |= FACT_LAST;
    }
    s->begun = s->begun || slice_eq_str(type, "message_start");
    if (slice_eq_str(type, "content_block_start")) {
        s->block_open = true;
    } else if (slice_eq_str(type, "content_block_stop")) {
        s->block_open = false;
    }
}

static void saw_tokens(const struct watch_event *event, uint64_t *tokens, bool *given)
{
    if (event->kind == SCAN_NUMBER) {
        *tokens = number_of(event);
        *given = true;
    }
}

static void saw_output(struct stream *s, const struct watch_event *event)
{
    if (event->kind == SCAN_STRING && event->len > 0) {
        s->output_bytes += event->len;
        s->facts |= FACT_OUTPUT;
    }
}

static void saw_usage(struct stream *s, const struct watch_event *event)
{
    s->facts |= FACT_MEMBER;
    s->facts |= event->kind == SCAN_OBJECT ? FACT_USAGE : 0u;
}

/*
 * What comes after the last event changes nothing any more: counts are taken once.
 * Longer than 40 lines because it is a flat switch.
 */
static void on_stream_value(void *arg, const struct watch_event *event)
{
    struct stream *s = arg;

    if (s->complete) {
        return;
    }
    switch ((enum role)s->roles[event->path]) {
    case ROLE_DONE:
        s->facts |= event->kind == SCAN_TRUE ? FACT_LAST : 0u;
        return;
    case ROLE_STATUS:
        s->facts |= slice_eq_str(event->text, "success") ? FACT_LAST : 0u;
        return;
    case ROLE_TYPE:
        saw_type(s, event->text);
        return;
    case ROLE_ERROR:
        s->facts |= event->kind == SCAN_NULL ? 0u : FACT_ERROR;
        return;
    case ROLE_PROMPT_TOKENS:
        saw_tokens(event, &s->prompt_tokens, &s->has_prompt_tokens);
        return;
    case ROLE_OUTPUT_TOKENS:
        saw_tokens(event, &s->output_tokens, &s->has_output_tokens);
        return;
    case ROLE_OUTPUT:
        saw_output(s, event);
        return;
    case ROLE_CHOICES:
        s->facts |= event->kind == SCAN_ARRAY ? FACT_CHOICES : 0u;
        return;
    case ROLE_CHOICE:
        s->facts |= FACT_CHOICE;
        return;
    case ROLE_USAGE:
        saw_usage(s, event);
        return;
    case ROLE_ID:
        keep(s, &s->id, STREAM_ID_BYTES, event);
        return;
    case ROLE_MODEL:
        keep(s, &s->model, MODEL_SPELLED_MAX, event);
        return;
    case ROLE_CREATED:
        s->created = number_of(event);
        return;
    case ROLE_SEQUENCE:
        s->sequence = (uint32_t)number_of(event) + 1;
        return;
    case ROLE_INDEX:
        s->block_index = (uint32_t)number_of(event);
        return;
    }
}

static const struct watch_table *choose(const struct route *route, bool streaming,
                                        const uint8_t **roles)
{
    if (route->dialect == DIALECT_NATIVE) {
        *roles = native_roles;
        return &native_table;
    }
    switch (streaming ? route->stream : ROUTE_STREAM_NEVER) {
    case ROUTE_STREAM_CHAT:
    case ROUTE_STREAM_COMPLETIONS:
        *roles = chat_roles;
        return &chat_table;
    case ROUTE_STREAM_RESPONSES:
        *roles = responses_roles;
        return &responses_table;
    case ROUTE_STREAM_MESSAGES:
        *roles = messages_roles;
        return &messages_table;
    case ROUTE_STREAM_NDJSON:
    case ROUTE_STREAM_NEVER:
        break;
    }
    *roles = plain_roles;
    return &plain_table;
}

void stream_facts_init(struct stream *s, bool streaming)
{
    pthread_once(&indexes_once, build_indexes);
    const struct watch_table *table = choose(s->route, streaming, &s->roles);

    watch_init(&s->watch, table, on_stream_value, s);
}

unsigned stream_facts_settle(struct stream *s)
{
    unsigned facts = s->facts;

    facts |= watch_inside(&s->watch) || s->watch.broken ? FACT_BROKEN : 0u;
    s->broken = s->broken || (facts & FACT_BROKEN) != 0;
    if ((facts & FACT_BROKEN) == 0 && !s->complete) {
        s->complete = (facts & FACT_LAST) != 0;
        s->saw_error_event = s->saw_error_event || (facts & FACT_ERROR) != 0;
        s->chunks += (facts & FACT_OUTPUT) != 0 ? 1 : 0;
    }
    s->facts = 0;
    s->data_len = 0;
    watch_reset(&s->watch);
    return facts;
}
