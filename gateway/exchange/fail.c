#include <stdio.h>

#include "exchange/fail.h"
#include "exchange/impl.h"
#include "exchange/limits.h"
#include "ollama/dialect.h"

/*
 * The one table from error to what a client sees. Sentences are for a person: Open WebUI prints
 * them in the chat. Nothing internal stands in them.
 */
static const char credential_sentence[] =
    "The credential is missing, wrong or expired. Send a valid API key or token as "
    "\"Authorization: Bearer ...\".";

static const struct failure generic_auth = {401, NULL, credential_sentence, false};
static const struct failure internal = {500, NULL, "Something went wrong in the gateway.", true};

static const struct failure table[CE_COUNT] = {
    [CE_NO_MEMORY] = {503, NULL, "The gateway is short of memory. Please try again soon.", true},
    [CE_HTTP_LINE] = {400, NULL, "The request line is malformed.", true},
    [CE_HTTP_LINE_END] = {400, NULL, "Lines of a request must end in CR LF.", true},
    [CE_HTTP_METHOD] = {400, NULL, "The request method is malformed.", true},
    [CE_HTTP_TARGET] = {400, NULL, "The request target is not allowed in this form.", true},
    [CE_HTTP_TARGET_TOO_LONG] = {414, NULL, "The request target is too long.", true},
    [CE_HTTP_VERSION] = {400, NULL, "The HTTP version is malformed.", true},
    [CE_HTTP_VERSION_UNKNOWN] = {505, NULL, "Only HTTP/1.0 and HTTP/1.1 are spoken here.", true},
    [CE_HTTP_FIELD] = {400, NULL, "A header line has no colon.", true},
    [CE_HTTP_FIELD_NAME] = {400, NULL, "A header name has characters that are not allowed.", true},
    [CE_HTTP_FIELD_ALIAS] = {400, NULL,
                             "The header @ would be taken for the one that has '-' in place of "
                             "'_'. Please leave it out.",
                             true},
    [CE_HTTP_FIELD_VALUE] = {400, NULL, "A header value has control characters.", true},
    [CE_HTTP_FOLD] = {400, NULL, "Folded header lines are not allowed.", true},
    [CE_HTTP_HEAD_TOO_LARGE] = {431, NULL, "The request's headers are too large.", true},
    [CE_HTTP_TOO_MANY_FIELDS] = {431, NULL, "The request has too many headers.", true},
    [CE_HTTP_HOST] = {400, NULL, "The request needs exactly one valid Host header.", true},
    [CE_HTTP_HOST_FOREIGN] = {421, NULL,
                              "This gateway does not serve that host name. The operator adds "
                              "names under server_names.",
                              true},
    [CE_HTTP_LENGTH] = {400, NULL, "The Content-Length is malformed.", true},
    [CE_HTTP_LENGTH_AND_CODING] = {400, NULL,
                                   "Content-Length and Transfer-Encoding exclude each other.",
                                   true},
    [CE_HTTP_CODING] = {400, NULL, "The Transfer-Encoding is malformed.", true},
    [CE_HTTP_CODING_UNKNOWN] = {501, NULL, "Only the chunked Transfer-Encoding is understood.",
                                true},
    [CE_HTTP_LENGTH_REQUIRED] = {411, NULL,
                                 "This request needs a body with Content-Length or chunked "
                                 "encoding.",
                                 false},
    [CE_HTTP_BODY_UNEXPECTED] = {400, NULL, "This request must not have a body.", true},
    [CE_HTTP_CHUNK] = {400, NULL, "The chunked body is malformed.", true},
    [CE_HTTP_TRAILER] = {400, NULL, "The trailer of the body is malformed.", true},
    [CE_HTTP_SCHEME] = {400, NULL, "The :scheme does not fit this connection.", true},
    [CE_HTTP_EXPECT] = {417, NULL, "Only \"Expect: 100-continue\" is understood.", true},
    [CE_ROUTE_UNKNOWN] = {404, "unknown_url", "There is no such path here.", false},
    [CE_METHOD_NOT_ALLOWED] = {405, NULL, "This path does not allow that method. It allows @.",
                               false},
    [CE_MEDIA_TYPE] = {415, NULL, "The body must be JSON in UTF-8.", false},
    [CE_CONTENT_ENCODING] = {415, NULL,
                             "A Content-Encoding is not accepted on requests. Send the body as it "
                             "is.",
                             false},
    [CE_BODY_TOO_LARGE] = {413, NULL, "The request body is too large.", true},
    [CE_BODY_MEMORY] = {503, NULL,
                        "The gateway is busy with other large requests. Please try again soon.",
                        true},
    [CE_BODY_MEMORY_TENANT] = {429, NULL,
                               "Too many of your large requests are waiting already. Please try "
                               "again in a few seconds.",
                               true},
    [CE_BODY_TIMEOUT] = {408, NULL, "The request body did not arrive in time.", true},
    [CE_HEAD_TIMEOUT] = {408, NULL, "The request did not arrive in time.", true},
    [CE_JSON_SYNTAX] = {400, NULL, "The body is not valid JSON.", false},
    [CE_JSON_UTF8] = {400, NULL, "The body is not valid UTF-8.", false},
    [CE_JSON_BOM] = {400, NULL,
                     "The body begins with a byte order mark. Please send it as UTF-8 without one.",
                     false},
    [CE_JSON_DUPLICATE] = {400, NULL, "A key occurs twice in one object of the body.", false},
    [CE_JSON_DEPTH] = {400, NULL, "The body is nested too deeply.", false},
    [CE_JSON_NUL] = {400, NULL, "The body has a NUL character in a string.", false},
    [CE_JSON_KEYS] = {400, NULL, "The body has too many keys.", false},
    [CE_JSON_TYPE] = {400, NULL, "A field of the body has the wrong type: @.", false},
    [CE_FIELD_REFUSED] = {400, NULL, "A field of the body is not allowed here: @.", false},
    [CE_IMAGE_TOO_LARGE] = {413, NULL, "An image is too large, or there are too many.", false},
    [CE_MODEL_MISSING] = {400, NULL, "The request names no model.", false},
    [CE_MODEL_NAME] = {400, NULL, "That is not a valid model name.", false},
    [CE_MODEL_REMOTE] = {403, NULL, "Cloud models are not allowed through this gateway.", false},
    [CE_MODEL_FORBIDDEN] = {403, NULL, "Your credential does not allow the model '@'.", false},
    [CE_MODEL_UNKNOWN] = {404, "model_not_found", "model '@' not found", false},
    [CE_VERB_FORBIDDEN] = {403, NULL, "Your credential does not allow this operation (@).", false},
    [CE_ADMIN_FORBIDDEN] = {403, NULL,
                            "This operation (@) is reserved to the operator of the gateway.",
                            false},
    [CE_AUTH_FLOOD] = {429, NULL,
                       "Too many wrong credentials came from your address. Please try again in a "
                       "few seconds.",
                       true},
    [CE_CONNECTIONS] = {503, NULL,
                        "Nearly all connections of the gateway are in use. Please try again in a "
                        "few seconds.",
                        true},
    [CE_CONNECTIONS_ADDRESS] = {429, NULL,
                                "Too many connections are open from your address. Please close "
                                "some, or send more requests over each.",
                                true},
    [CE_CONNECTIONS_TENANT] = {429, NULL,
                               "Too many connections are open with your credentials. Please close "
                               "some, or send more requests over each.",
                               true},
    [CE_LIMIT_REQUESTS] = {429, "rate_limit_exceeded", "Too many requests: the limit is @.", false},
    [CE_LIMIT_TOKENS] = {429, "rate_limit_exceeded", "Too many tokens: the limit is @.", false,
                         .type = "tokens"},
    [CE_LIMIT_BUDGET] = {429, "insufficient_quota", "The token budget is used up: it is @.", false,
                         .type = "insufficient_quota"},
    [CE_LIMIT_PROMPT] = {413, "context_length_exceeded",
                         "The prompt alone is larger than a limit allows: @. Please shorten it.",
                         false},
    [CE_LIMIT_STORE] = {503, NULL,
                        "The gateway has no room to count another user. Please try again later.",
                        false},
    [CE_QUEUE_TENANT_FULL] = {429, NULL,
                              "Too many of your requests are waiting already. Please try again in "
                              "a few seconds.",
                              false},
    [CE_QUEUE_FULL] = {503, NULL,
                       "All servers are busy and the queue is full. Please try again in a few "
                       "seconds.",
                       false},
    [CE_QUEUE_TIMEOUT] = {503, NULL,
                          "All servers stayed busy for too long. Please try again later.", false},
    [CE_NO_REPLICA] = {503, NULL,
                       "No model server is reachable at the moment. Please try again soon.", false},
    [CE_UPSTREAM_CONNECT] = {502, NULL, "The model server could not be reached.", false},
    [CE_UPSTREAM_CONNECT_TIMEOUT] = {502, NULL, "The model server could not be reached.", false},
    [CE_UPSTREAM_TLS] = {502, NULL, "The model server could not be reached.", false},
    [CE_UPSTREAM_CLOSED] = {502, NULL, "The model server broke off before it answered.", false},
    [CE_UPSTREAM_NONSENSE] = {502, NULL, "The model server gave an answer that makes no sense.",
                              false},
    [CE_UPSTREAM_FIRST_BYTE] = {504, NULL, "The model server took too long to begin its answer.",
                                false},
    [CE_UPSTREAM_LOAD] = {504, NULL, "The model took too long to load.", false},
    [CE_UPSTREAM_SILENCE] = {504, NULL, "The model server fell silent in the middle of its answer.",
                             false},
    [CE_UPSTREAM_CUT] = {502, NULL, "The model server broke off in the middle of its answer.",
                         false},
    [CE_UPSTREAM_INCOMPLETE] = {502, NULL,
                                "The model server stopped before its answer was complete.", false},
    [CE_UPSTREAM_ERROR_EVENT] = {502, NULL, "The model server failed in the middle of its answer.",
                                 false},
    [CE_SHUTDOWN] = {503, NULL, "The gateway is shutting down. Please try again.", true},
};

bool corral_err_is_auth(enum corral_err err)
{
    return err >= CE_AUTH_MISSING && err <= CE_AUTH_FLOOD;
}

const struct failure *exchange_failure(enum corral_err err)
{
    if (table[err].status != 0) {
        return &table[err];
    }
    return corral_err_is_auth(err) ? &generic_auth : &internal;
}

/* The sentence with the detail in place of '@'; as much as fits. */
static struct slice compose(const char *sentence, struct slice detail, char *out, size_t capacity)
{
    struct slice text = slice_str(sentence);
    size_t at = slice_find(text, '@');
    int n = at == text.len ? snprintf(out, capacity, "%s", sentence)
                           : snprintf(out, capacity, "%.*s%.*s%s", (int)at, text.ptr,
                                      (int)(detail.len < 300 ? detail.len : 300), detail.ptr,
                                      text.ptr + at + 1);

    return slice_of(out, (size_t)n < capacity ? (size_t)n : capacity - 1);
}

static const char *retry_after(enum corral_err err)
{
    switch (err) {
    case CE_AUTH_FLOOD:
        return "10";
    case CE_CONNECTIONS:
    case CE_CONNECTIONS_ADDRESS:
    case CE_CONNECTIONS_TENANT:
    case CE_QUEUE_TENANT_FULL:
    case CE_QUEUE_FULL:
    case CE_NO_REPLICA:
    case CE_BODY_MEMORY:
    case CE_BODY_MEMORY_TENANT:
    case CE_LIMIT_STORE:
    case CE_NO_MEMORY:
    case CE_SHUTDOWN:
        return "5";
    case CE_QUEUE_TIMEOUT:
        return "30";
    default:
        return NULL;
    }
}

static size_t error_fields(enum corral_err err, unsigned status, struct slice detail,
                           struct answer_field *out)
{
    const char *after = retry_after(err);
    size_t n = 0;

    if (status == 401) {
        out[n++] =
            (struct answer_field){SLICE_LITERAL("WWW-Authenticate"), SLICE_LITERAL("Bearer"), true};
    }
    if (status == 405) {
        out[n++] = (struct answer_field){SLICE_LITERAL("Allow"), detail, false};
    }
    if (after != NULL) {
        out[n++] = (struct answer_field){SLICE_LITERAL("Retry-After"), slice_str(after), false};
    }
    return n;
}

static bool is_limit(enum corral_err err)
{
    return err >= CE_LIMIT_REQUESTS && err <= CE_LIMIT_PROMPT;
}

void exchange_fail_detail(struct exchange *ex, enum corral_err err, struct slice detail)
{
    const struct failure *f = exchange_failure(err);
    enum dialect dialect = ex->route == NULL ? dialect_of_path(ex->path) : ex->route->dialect;
    struct answer_field fields[ANSWER_MAX_FIELDS];
    struct buf body = buf_make(8192);
    char sentence[512];
    char room[LIMIT_FIELDS_BYTES];

    ex->reason = err;
    struct slice message = compose(f->sentence, detail, sentence, sizeof(sentence));
    size_t field_count = error_fields(err, f->status, detail, fields);

    field_count += exchange_limit_fields(ex, is_limit(err), room, fields + field_count);

    if (dialect_error_body(dialect, &(struct dialect_error){f->status, f->code, f->type}, message,
                           slice_of(ex->request_id, REQUEST_ID_BYTES), &body) != CE_OK) {
        buf_clear(&body);
    }
    bool unread = ex->state == EX_BODY || ex->state == EX_START;

    exchange_answer_json(ex, f->status, buf_slice(&body), fields, field_count,
                         f->close || (unread && ex->expects_body));
    buf_finish(&body);
}

void exchange_fail(struct exchange *ex, enum corral_err err)
{
    exchange_fail_detail(ex, err, slice_of(NULL, 0));
}

void exchange_error_event(struct exchange *ex, enum corral_err err)
{
    const struct failure *f = exchange_failure(err);
    struct buf event = buf_make(8192);

    if (dialect_error_event(ex->route, &(struct dialect_error){f->status, f->code, f->type},
                            slice_str(f->sentence), slice_of(ex->request_id, REQUEST_ID_BYTES),
                            &event) == CE_OK &&
        ex->client.ops->write(ex->client.client, buf_slice(&event)) == CE_OK) {
        ex->bytes_out += event.len;
    }
    buf_finish(&event);
}
