#include "ollama/route.h"

enum {
    M_GET = 1u << 0,
    M_HEAD = 1u << 1,
    M_POST = 1u << 2,
    M_DELETE = 1u << 3,
    M_ANY = 1u << 7, /* whatever the method, the answer is the same refusal */
    M_READ = M_GET | M_HEAD,
};

enum param { PARAM_NONE, PARAM_MODEL, PARAM_DIGEST, PARAM_ANY };

/* clang-format off */
#define AT(path_) .path = path_, .path_len = sizeof(path_) - 1
#define READ(id_, path_, class_, verb_, dialect_, param_)                                          \
    {.id = ROUTE_ID_##id_, AT(path_), .label = path_, .class = ROUTE_##class_,                     \
     .verb = VERB_##verb_, .dialect = DIALECT_##dialect_, .body = ROUTE_BODY_NONE,                 \
     .stream = ROUTE_STREAM_NEVER, .allowed_by_default = true, .methods = M_READ,                  \
     .param = PARAM_##param_}
#define POST(id_, path_, class_, verb_, dialect_, stream_, by_default_)                            \
    {.id = ROUTE_ID_##id_, AT(path_), .label = path_, .class = ROUTE_##class_,                     \
     .verb = VERB_##verb_, .dialect = DIALECT_##dialect_, .body = ROUTE_BODY_JSON,                 \
     .stream = ROUTE_STREAM_##stream_, .streams_by_default = by_default_,                          \
     .allowed_by_default = ROUTE_##class_ != ROUTE_ADMIN, .methods = M_POST}
#define BLOB(id_, method_, body_)                                                                  \
    {.id = ROUTE_ID_##id_, AT("/api/blobs/"), .label = "/api/blobs", .class = ROUTE_ADMIN,         \
     .verb = VERB_BLOB, .dialect = DIALECT_NATIVE, .body = ROUTE_BODY_##body_,                     \
     .methods = M_##method_, .param = PARAM_DIGEST}
#define OFF(path_, label_, dialect_, param_)                                                       \
    {.id = ROUTE_ID_OFF, AT(path_), .label = label_, .class = ROUTE_OFF, .verb = VERB_NONE,        \
     .dialect = DIALECT_##dialect_, .body = ROUTE_BODY_NONE, .methods = M_ANY,                     \
     .param = PARAM_##param_}

static const struct route routes[] = {
    /*   id              path                     class      verb      dialect    parameter */
    READ(ROOT,           "/",                     LOCAL,     NONE,     NATIVE,    NONE),
    READ(VERSION,        "/api/version",          LOCAL,     NONE,     NATIVE,    NONE),
    READ(USAGE,          "/corral/v1/usage",      LOCAL,     NONE,     NATIVE,    NONE),
    READ(TAGS,           "/api/tags",             MERGED,    LIST,     NATIVE,    NONE),
    READ(PS,             "/api/ps",               MERGED,    LIST,     NATIVE,    NONE),
    READ(V1_MODELS,      "/v1/models",            MERGED,    LIST,     OPENAI,    NONE),
    READ(V1_MODEL,       "/v1/models/",           MERGED,    LIST,     OPENAI,    MODEL),
    /* and last: how an answer streams, whether by default */
    POST(GENERATE,       "/api/generate",         INFERENCE, GENERATE, NATIVE,    NDJSON, true),
    POST(CHAT,           "/api/chat",             INFERENCE, CHAT,     NATIVE,    NDJSON, true),
    POST(EMBED,          "/api/embed",            INFERENCE, EMBED,    NATIVE,    NEVER, false),
    POST(EMBEDDINGS,     "/api/embeddings",       INFERENCE, EMBED,    NATIVE,    NEVER, false),
    POST(V1_CHAT,        "/v1/chat/completions",  INFERENCE, CHAT,     OPENAI,    CHAT, false),
    POST(V1_COMPLETIONS, "/v1/completions",       INFERENCE, GENERATE, OPENAI,    COMPLETIONS,
         false),
    POST(V1_EMBEDDINGS,  "/v1/embeddings",        INFERENCE, EMBED,    OPENAI,    NEVER, false),
    POST(V1_RESPONSES,   "/v1/responses",         INFERENCE, CHAT,     OPENAI,    RESPONSES, false),
    POST(V1_MESSAGES,    "/v1/messages",          INFERENCE, CHAT,     ANTHROPIC, MESSAGES, false),
    POST(SHOW,           "/api/show",             SHOW,      SHOW,     NATIVE,    NEVER, false),
    POST(PULL,           "/api/pull",             ADMIN,     PULL,     NATIVE,    NDJSON, true),
    POST(PUSH,           "/api/push",             ADMIN,     PUSH,     NATIVE,    NDJSON, true),
    POST(CREATE,         "/api/create",           ADMIN,     CREATE,   NATIVE,    NDJSON, true),
    POST(COPY,           "/api/copy",             ADMIN,     COPY,     NATIVE,    NEVER, false),
    {.id = ROUTE_ID_DELETE, AT("/api/delete"), .label = "/api/delete", .class = ROUTE_ADMIN,
     .verb = VERB_DELETE, .dialect = DIALECT_NATIVE, .body = ROUTE_BODY_JSON, .methods = M_DELETE},
    BLOB(BLOB_PUT, POST, STREAM),
    BLOB(BLOB_HEAD, HEAD, NONE),
    /*  path                        label                        dialect parameter */
    OFF("/api/me",                  "/api/me",                   NATIVE, NONE),
    OFF("/api/signout",             "/api/signout",              NATIVE, NONE),
    OFF("/api/user/keys/",          "/api/user/keys",            NATIVE, ANY),
    OFF("/api/experimental/",       "/api/experimental",         NATIVE, ANY),
    OFF("/api/status",              "/api/status",               NATIVE, NONE),
    OFF("/v1/audio/transcriptions", "/v1/audio/transcriptions",  OPENAI, NONE),
};

static const char *const verb_names[] = {
    [VERB_CHAT] = "chat", [VERB_GENERATE] = "generate", [VERB_EMBED] = "embed",
    [VERB_LIST] = "list", [VERB_SHOW] = "show",         [VERB_PULL] = "pull",
    [VERB_PUSH] = "push", [VERB_CREATE] = "create",     [VERB_COPY] = "copy",
    [VERB_DELETE] = "delete", [VERB_BLOB] = "blob",
};
/* clang-format on */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* A segment's text: not empty (that is "//") unless it is the last, and no dot segment. */
static bool segment_clean(struct slice segment, bool last)
{
    if (segment.len == 0) {
        return last;
    }
    return !slice_eq_str(segment, ".") && !slice_eq_str(segment, "..");
}

bool route_path_clean(struct slice path)
{
    if (path.len == 0 || path.ptr[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < path.len; i++) {
        if (!is_unreserved(path.ptr[i]) && path.ptr[i] != '/' && path.ptr[i] != ':') {
            return false;
        }
    }
    for (size_t from = 1; from <= path.len;) {
        struct slice rest = slice_of(path.ptr + from, path.len - from);
        size_t len = slice_find(rest, '/');

        if (!segment_clean(slice_of(rest.ptr, len), len == rest.len)) {
            return false;
        }
        from += len + 1;
    }
    return true;
}

/* What is no encoding stays: '%' is in no clean path. */
struct slice route_path_decoded(struct slice path, struct arena *arena)
{
    static const struct slice models = SLICE_LITERAL("/v1/models/");
    size_t n = 0;

    if (!slice_starts_with(path, models) || slice_find(path, '%') == path.len) {
        return path;
    }
    char *out = arena_alloc_raw(arena, path.len);

    for (size_t i = 0; i < path.len; i++) {
        bool encoded = path.ptr[i] == '%' && path.len - i > 2;
        int high = encoded ? ascii_hex(path.ptr[i + 1]) : -1;
        int low = encoded ? ascii_hex(path.ptr[i + 2]) : -1;

        out[n++] = high < 0 || low < 0 ? path.ptr[i] : (char)(high * 16 + low);
        i += high < 0 || low < 0 ? 0 : 2;
    }
    return slice_of(out, n);
}

static uint8_t method_bit(struct slice method)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } known[] = {{"GET", M_GET}, {"HEAD", M_HEAD}, {"POST", M_POST}, {"DELETE", M_DELETE}};

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_eq_str(method, known[i].name)) {
            return known[i].bit;
        }
    }
    return 0;
}

static const char *allow_text(unsigned methods)
{
    switch (methods) {
    case M_READ:
        return "GET, HEAD";
    case M_POST | M_HEAD:
        return "POST, HEAD";
    case M_DELETE:
        return "DELETE";
    default:
        return "POST";
    }
}

/* "sha256:" or "sha256-" and 64 lower-case hex digits, as Ollama writes them itself. */
static bool is_digest(struct slice s)
{
    struct slice hex = slice_from(s, 7);

    if (hex.len != 64 || memcmp(s.ptr, "sha256", 6) != 0 || (s.ptr[6] != ':' && s.ptr[6] != '-')) {
        return false;
    }
    for (size_t i = 0; i < hex.len; i++) {
        char c = hex.ptr[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
    }
    return true;
}

static bool is_model_id(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '~') {
            return false;
        }
    }
    return s.len > 0 && s.ptr[0] != '/' && s.ptr[s.len - 1] != '/';
}

static bool path_matches(const struct route *route, struct slice path)
{
    struct slice own = slice_of(route->path, route->path_len);

    if (route->param == PARAM_NONE) {
        return slice_eq(path, own);
    }
    return path.len > own.len && slice_starts_with(path, own);
}

static enum corral_err param_check(const struct route *route, struct slice param)
{
    switch ((enum param)route->param) {
    case PARAM_MODEL:
        return is_model_id(param) ? CE_OK : CE_MODEL_NAME;
    case PARAM_DIGEST:
        return is_digest(param) ? CE_OK : CE_HTTP_TARGET;
    case PARAM_NONE:
    case PARAM_ANY:
        break;
    }
    return CE_OK;
}

enum corral_err route_find(struct slice method, struct slice path, struct route_match *out)
{
    unsigned methods = 0;
    uint8_t bit = method_bit(method);

    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *route = &routes[i];

        if (!path_matches(route, path)) {
            continue;
        }
        methods |= route->methods;
        if ((route->methods & (bit | M_ANY)) == 0) {
            continue;
        }
        struct slice param =
            route->param == PARAM_NONE ? slice_of(NULL, 0) : slice_from(path, route->path_len);
        enum corral_err err = param_check(route, param);
        if (err == CE_OK) {
            *out = (struct route_match){.route = route, .param = param};
        }
        return err;
    }
    if (methods == 0) {
        return CE_ROUTE_UNKNOWN;
    }
    *out = (struct route_match){.allow = allow_text(methods)};
    return CE_METHOD_NOT_ALLOWED;
}

const char *verb_name(enum verb v)
{
    return v == VERB_NONE ? "none" : verb_names[v];
}

enum corral_err verb_parse(struct slice name, enum verb *out)
{
    for (unsigned v = 0; v < VERB_COUNT; v++) {
        if (slice_eq_str(name, verb_names[v])) {
            *out = (enum verb)v;
            return CE_OK;
        }
    }
    return CE_NOT_FOUND;
}

const char *route_label_of(enum route_id id)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (routes[i].id == id) {
            return routes[i].label;
        }
    }
    return NULL;
}
