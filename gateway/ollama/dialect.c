#include "ollama/dialect.h"

struct kind {
    unsigned status;
    const char *openai_type;
    const char *openai_code; /* NULL: null */
    const char *anthropic_type;
};

/* What the SDKs' own servers say; the first row of a status or, by the hundred, the last two. */
static const struct kind kinds[] = {
    {400, "invalid_request_error", NULL, "invalid_request_error"},
    {401, "invalid_request_error", "invalid_api_key", "authentication_error"},
    {403, "permission_error", "permission_denied", "permission_error"},
    {404, "not_found_error", "model_not_found", "not_found_error"},
    {413, "invalid_request_error", "request_too_large", "request_too_large"},
    {429, "requests", "rate_limit_exceeded", "rate_limit_error"},
    {503, "server_error", "overloaded", "overloaded_error"},
    {529, "server_error", "overloaded", "overloaded_error"},
    {499, "invalid_request_error", NULL, "invalid_request_error"},
    {500, "api_error", NULL, "api_error"},
};

/* Whether the path is `prefix`, or `prefix` and then a slash. */
static bool is_below(struct slice path, struct slice prefix)
{
    return slice_starts_with(path, prefix) &&
           (path.len == prefix.len || path.ptr[prefix.len] == '/' || path.ptr[prefix.len] == '?');
}

enum dialect dialect_of_path(struct slice path)
{
    if (is_below(path, SLICE_LITERAL("/v1/messages"))) {
        return DIALECT_ANTHROPIC;
    }
    return is_below(path, SLICE_LITERAL("/v1")) ? DIALECT_OPENAI : DIALECT_NATIVE;
}

/* What the dialects say of an error: of its status, or what it says itself. */
static struct kind kind_of(const struct dialect_error *e)
{
    struct kind kind = kinds[ARRAY_LEN(kinds) - (e->status < 500 ? 2 : 1)];

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].status == e->status) {
            kind = kinds[i];
            break;
        }
    }
    kind.openai_code = e->code != NULL ? e->code : kind.openai_code;
    kind.openai_type = e->type != NULL ? e->type : kind.openai_type;
    return kind;
}

/* Strings of which every second one is escaped: text, value, text, value, text. */
static enum corral_err put(struct buf *out, const char *const *texts, const struct slice *values,
                           size_t count)
{
    enum corral_err err = buf_append_str(out, texts[0]);

    for (size_t i = 0; err == CE_OK && i < count; i++) {
        err = buf_append_json(out, values[i]);
        if (err == CE_OK) {
            err = buf_append_str(out, texts[i + 1]);
        }
    }
    return err;
}

static enum corral_err put_native(struct slice message, struct buf *out)
{
    static const char *const texts[] = {"{\"error\":\"", "\"}"};

    return put(out, texts, &message, 1);
}

/* `"message":"...","type":"...","param":null,"code":"..."` */
static enum corral_err put_openai_members(const struct kind *kind, struct slice message,
                                          struct buf *out)
{
    static const char *const with_code[] = {"\"message\":\"", "\",\"type\":\"",
                                            "\",\"param\":null,\"code\":\"", "\""};
    static const char *const without[] = {"\"message\":\"", "\",\"type\":\"",
                                          "\",\"param\":null,\"code\":null"};
    const char *shown = kind->openai_code;
    const struct slice values[] = {message, slice_str(kind->openai_type), slice_str(shown)};

    return shown == NULL ? put(out, without, values, 2) : put(out, with_code, values, 3);
}

static enum corral_err put_openai(const struct kind *kind, struct slice message, struct buf *out)
{
    enum corral_err err = buf_append_str(out, "{\"error\":{");

    if (err == CE_OK) {
        err = put_openai_members(kind, message, out);
    }
    return err == CE_OK ? buf_append_str(out, "}}") : err;
}

static enum corral_err put_anthropic(const struct kind *kind, struct slice message,
                                     struct slice request_id, struct buf *out)
{
    static const char *const texts[] = {"{\"type\":\"error\",\"error\":{\"type\":\"",
                                        "\",\"message\":\"", "\"},\"request_id\":\"", "\"}"};
    const struct slice values[] = {slice_str(kind->anthropic_type), message, request_id};

    return put(out, texts, values, ARRAY_LEN(values));
}

enum corral_err dialect_error_body(enum dialect dialect, const struct dialect_error *error,
                                   struct slice message, struct slice request_id, struct buf *out)
{
    const struct kind kind = kind_of(error);

    switch (dialect) {
    case DIALECT_OPENAI:
        return put_openai(&kind, message, out);
    case DIALECT_ANTHROPIC:
        return put_anthropic(&kind, message, request_id, out);
    case DIALECT_NATIVE:
        break;
    }
    return put_native(message, out);
}

/* The SDK raises on an event named "error"; its data has the members at the top level. */
static enum corral_err put_responses_event(const struct kind *kind, struct slice message,
                                           struct buf *out)
{
    static const char *const texts[] = {"event: error\ndata: {\"type\":\"error\",\"code\":\"",
                                        "\",\"message\":\"",
                                        "\",\"param\":null,\"sequence_number\":0,\"error\":{"};
    const char *shown = kind->openai_code != NULL ? kind->openai_code : kind->openai_type;
    const struct slice values[] = {slice_str(shown), message};
    enum corral_err err = put(out, texts, values, ARRAY_LEN(values));

    if (err == CE_OK) {
        err = put_openai_members(kind, message, out);
    }
    return err == CE_OK ? buf_append_str(out, "}}\n\n") : err;
}

enum corral_err dialect_error_event(const struct route *route, const struct dialect_error *error,
                                    struct slice message, struct slice request_id, struct buf *out)
{
    const struct kind kind = kind_of(error);
    const char *before = "";
    const char *after = "\n\n";

    switch (route->stream) {
    case ROUTE_STREAM_RESPONSES:
        return put_responses_event(&kind, message, out);
    case ROUTE_STREAM_MESSAGES:
        before = "event: error\ndata: ";
        break;
    case ROUTE_STREAM_CHAT:
    case ROUTE_STREAM_COMPLETIONS:
        before = "data: ";
        break;
    case ROUTE_STREAM_NDJSON:
    case ROUTE_STREAM_NEVER:
        after = "\n";
        break;
    }
    enum corral_err err = buf_append_str(out, before);
    if (err == CE_OK) {
        err = dialect_error_body(route->dialect, error, message, request_id, out);
    }
    return err == CE_OK ? buf_append_str(out, after) : err;
}

const char *dialect_content_type(const struct route *route, bool streaming)
{
    if (!streaming || route->stream == ROUTE_STREAM_NEVER) {
        return "application/json";
    }
    return route->stream == ROUTE_STREAM_NDJSON ? "application/x-ndjson" : "text/event-stream";
}
