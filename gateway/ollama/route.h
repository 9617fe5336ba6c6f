/**
 * Every route that Ollama has, in one table: what it is, who may call it, how it answers.
 *
 * Model: a path is matched exactly, byte for byte, against the table; nothing is folded or
 * redirected, and nothing decoded that goes to Ollama, whose router does all three: two readers of
 * one path disagree. Called by the front (route_path_clean, route_find) before anything else looks
 * at a request. Pure, no state.
 */
#ifndef CORRAL_OLLAMA_ROUTE_H
#define CORRAL_OLLAMA_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum route_class {
    ROUTE_LOCAL,     /* corral answers by itself */
    ROUTE_MERGED,    /* corral answers from what the replicas told it (ollama/catalog.h) */
    ROUTE_INFERENCE, /* upstream, needs a slot */
    ROUTE_SHOW,      /* upstream, a replica that has the model, no slot */
    ROUTE_ADMIN,     /* changes a replica; 403 until enabled */
    ROUTE_OFF,       /* 403 always: the server's own account, egress, experiments */
};

/** What a right is about. VERB_NONE: a credential is enough. */
enum verb {
    VERB_CHAT,
    VERB_GENERATE,
    VERB_EMBED,
    VERB_LIST,
    VERB_SHOW,
    VERB_PULL,
    VERB_PUSH,
    VERB_CREATE,
    VERB_COPY,
    VERB_DELETE,
    VERB_BLOB,
    VERB_COUNT,
    VERB_NONE = VERB_COUNT,
};

/** Rights are masks of these bits; VERB_NONE has no bit, so it is in every mask. */
#define VERB_BIT(v) ((v) == VERB_NONE ? 0u : 1u << (v))

/** What a tenant may do that has no `verbs` of its own. */
#define VERBS_DEFAULT                                                                              \
    (VERB_BIT(VERB_CHAT) | VERB_BIT(VERB_GENERATE) | VERB_BIT(VERB_EMBED) | VERB_BIT(VERB_LIST) |  \
     VERB_BIT(VERB_SHOW))

/** In whose shape errors are told. */
enum dialect { DIALECT_NATIVE, DIALECT_OPENAI, DIALECT_ANTHROPIC };

enum route_body {
    ROUTE_BODY_NONE,
    ROUTE_BODY_JSON,   /* read whole, scanned (ollama/request.h) */
    ROUTE_BODY_STREAM, /* a blob: streamed through, never held */
};

/** Framing of an answer when it streams. */
enum route_stream {
    ROUTE_STREAM_NEVER,
    ROUTE_STREAM_NDJSON,
    ROUTE_STREAM_CHAT,        /* SSE of /v1/chat/completions, ends with data: [DONE] */
    ROUTE_STREAM_COMPLETIONS, /* SSE of /v1/completions, ends with data: [DONE] */
    ROUTE_STREAM_RESPONSES,   /* SSE with event lines, ends with response.completed */
    ROUTE_STREAM_MESSAGES,    /* SSE with event lines, ends with message_stop */
};

enum route_id {
    ROUTE_ID_ROOT,
    ROUTE_ID_VERSION,
    ROUTE_ID_TAGS,
    ROUTE_ID_PS,
    ROUTE_ID_V1_MODELS,
    ROUTE_ID_V1_MODEL,
    ROUTE_ID_GENERATE,
    ROUTE_ID_CHAT,
    ROUTE_ID_EMBED,
    ROUTE_ID_EMBEDDINGS,
    ROUTE_ID_V1_CHAT,
    ROUTE_ID_V1_COMPLETIONS,
    ROUTE_ID_V1_EMBEDDINGS,
    ROUTE_ID_V1_RESPONSES,
    ROUTE_ID_V1_MESSAGES,
    ROUTE_ID_SHOW,
    ROUTE_ID_PULL,
    ROUTE_ID_PUSH,
    ROUTE_ID_CREATE,
    ROUTE_ID_COPY,
    ROUTE_ID_DELETE,
    ROUTE_ID_BLOB_HEAD,
    ROUTE_ID_BLOB_PUT,
    ROUTE_ID_USAGE, /* corral's own */
    ROUTE_ID_OFF,
};

struct route {
    enum route_id id;
    const char *path;  /* as sent upstream; with a parameter: what precedes it */
    const char *label; /* for metrics and logs; fixed text, no client bytes */
    enum route_class class;
    enum verb verb;
    enum dialect dialect;
    enum route_body body;
    enum route_stream stream;
    bool streams_by_default; /* when the body has no `stream` */
    bool allowed_by_default; /* in VERBS_DEFAULT, or needs no verb */
    uint8_t methods;         /* private to route.c */
    uint8_t param;           /* private to route.c */
    uint8_t path_len;        /* private to route.c */
};

struct route_match {
    const struct route *route; /* static; NULL on CE_METHOD_NOT_ALLOWED */
    struct slice param;        /* into the path: a model id or a blob digest; else empty */
    const char *allow;         /* static; only on CE_METHOD_NOT_ALLOWED: value of Allow */
};

/**
 * Whether a path (no query) is one we look at: starts with '/', holds only unreserved characters of
 * RFC 3986, ':' and '/', has no "//" and no segment "." or "..". Else the front answers 400.
 */
bool route_path_clean(struct slice path);

/** The path, with %XX decoded (once) behind "/v1/models/": a model's name may have slashes, and
 * that path goes nowhere. To be asked for before it is looked at. Into `path` or the arena. */
struct slice route_path_decoded(struct slice path, struct arena *arena);

/**
 * Find the route of a clean path. Methods are matched in exact case (RFC 9110 section 9.1).
 *
 * @return CE_OK; CE_ROUTE_UNKNOWN (404); CE_METHOD_NOT_ALLOWED (405, out->allow is written too);
 *         CE_HTTP_TARGET for a blob digest, CE_MODEL_NAME for a model id that cannot be one (400).
 */
MUST_USE enum corral_err route_find(struct slice method, struct slice path,
                                    struct route_match *out);

/** The label of the first route with that id; NULL when there is none. Static text. */
const char *route_label_of(enum route_id id);

/** "chat", "generate", ...; "none" for VERB_NONE. Static text. */
const char *verb_name(enum verb v);

/** Exact lower case. @return CE_OK or CE_NOT_FOUND. */
MUST_USE enum corral_err verb_parse(struct slice name, enum verb *out);

#endif
