/**
 * The one vocabulary of errors. CE_OK is 0; every other value names one thing that can be wrong.
 *
 * The second column is the stable reason: log key `reason` and metric label. What a client sees
 * (status and sentence) is exchange/fail.c's table, and only that one.
 */
#ifndef CORRAL_BASE_ERR_H
#define CORRAL_BASE_ERR_H

/* long: the one flat table of errors */
/* clang-format off */
#define CORRAL_ERRORS(X)                                                                           \
    X(CE_OK, "ok")                                                                                 \
    /* not failures: the caller waits or goes on */                                                \
    X(CE_MORE, "need_more_bytes")                                                                  \
    X(CE_PENDING, "pending")                                                                       \
    /* plain values and files */                                                                   \
    X(CE_NOT_A_NUMBER, "not_a_number")                                                             \
    X(CE_OVERFLOW, "overflow")                                                                     \
    X(CE_TOO_LARGE, "too_large")                                                                   \
    X(CE_NO_MEMORY, "no_memory")                                                                   \
    X(CE_NOT_FOUND, "not_found")                                                                   \
    X(CE_IO, "io")                                                                                 \
    X(CE_CONFIG, "config")                                                                         \
    X(CE_TLS_FILES, "tls_files")                                                                   \
    X(CE_KEYS, "keys")                                                                             \
    X(CE_ADDRESS, "address")                                                                       \
    /* HTTP syntax: RFC 9110, RFC 9112 */                                                          \
    X(CE_HTTP_LINE, "bad_request_line")                                                            \
    X(CE_HTTP_LINE_END, "bad_line_end")                                                            \
    X(CE_HTTP_METHOD, "bad_method")                                                                \
    X(CE_HTTP_TARGET, "bad_target")                                                                \
    X(CE_HTTP_TARGET_TOO_LONG, "target_too_long")                                                  \
    X(CE_HTTP_VERSION, "bad_version")                                                              \
    X(CE_HTTP_VERSION_UNKNOWN, "version_unsupported")                                              \
    X(CE_HTTP_FIELD, "bad_field")                                                                  \
    X(CE_HTTP_FIELD_NAME, "bad_field_name")                                                        \
    X(CE_HTTP_FIELD_ALIAS, "field_alias")                                                          \
    X(CE_HTTP_FIELD_VALUE, "bad_field_value")                                                      \
    X(CE_HTTP_FOLD, "obs_fold")                                                                    \
    X(CE_HTTP_HEAD_TOO_LARGE, "head_too_large")                                                    \
    X(CE_HTTP_TOO_MANY_FIELDS, "too_many_fields")                                                  \
    X(CE_HTTP_HOST, "bad_host")                                                                    \
    X(CE_HTTP_HOST_FOREIGN, "foreign_host")                                                        \
    X(CE_HTTP_LENGTH, "bad_content_length")                                                        \
    X(CE_HTTP_LENGTH_AND_CODING, "length_and_coding")                                              \
    X(CE_HTTP_CODING, "bad_transfer_encoding")                                                     \
    X(CE_HTTP_CODING_UNKNOWN, "unknown_transfer_encoding")                                         \
    X(CE_HTTP_LENGTH_REQUIRED, "length_required")                                                  \
    X(CE_HTTP_BODY_UNEXPECTED, "body_unexpected")                                                  \
    X(CE_HTTP_CHUNK, "bad_chunk")                                                                  \
    X(CE_HTTP_TRAILER, "bad_trailer")                                                              \
    X(CE_HTTP_EXPECT, "bad_expect")                                                                \
    X(CE_HTTP_STATUS_LINE, "bad_status_line")                                                      \
    X(CE_HTTP_INTERIM_FLOOD, "interim_flood")                                                      \
    X(CE_HTTP_UPGRADE, "unwanted_upgrade")                                                         \
    X(CE_HTTP_CONTENT_CODING, "content_coding")                                                    \
    X(CE_HTTP_SCHEME, "bad_scheme_field")                                                          \
    /* HTTP/2 connections: RFC 9113, and budgets of ours (http/h2_guard.h) */                      \
    X(CE_H2_PROTOCOL, "h2_protocol_error")                                                         \
    X(CE_H2_PREFACE, "h2_bad_preface")                                                             \
    X(CE_H2_PREFACE_TIMEOUT, "h2_preface_timeout")                                                 \
    X(CE_H2_SETTINGS_TIMEOUT, "h2_settings_timeout")                                               \
    X(CE_H2_STREAM_CLOSED, "h2_stream_closed")                                                     \
    X(CE_H2_STREAM_ID, "h2_stream_id")                                                             \
    X(CE_H2_HEAD, "h2_header_bomb")                                                                \
    X(CE_H2_CONTINUATIONS, "h2_continuations")                                                     \
    X(CE_H2_RESETS_RECEIVED, "h2_resets_received")                                                 \
    X(CE_H2_RESETS_EARLY, "h2_resets_before_response")                                             \
    X(CE_H2_RESETS_SENT, "h2_resets_sent")                                                         \
    X(CE_H2_EMPTY_DATA, "h2_empty_data")                                                           \
    X(CE_H2_PINGS, "h2_pings")                                                                     \
    X(CE_H2_SETTINGS, "h2_settings")                                                               \
    X(CE_H2_PRIORITIES, "h2_priorities")                                                           \
    X(CE_H2_WINDOW_UPDATES, "h2_window_updates")                                                   \
    X(CE_H2_UNKNOWN_FRAMES, "h2_unknown_frames")                                                   \
    X(CE_H2_STALE_FRAMES, "h2_stale_frames")                                                       \
    /* routing and request rules */                                                                \
    X(CE_ROUTE_UNKNOWN, "unknown_route")                                                           \
    X(CE_METHOD_NOT_ALLOWED, "method_not_allowed")                                                 \
    X(CE_MEDIA_TYPE, "media_type")                                                                 \
    X(CE_CONTENT_ENCODING, "content_encoding")                                                     \
    X(CE_BODY_TOO_LARGE, "body_too_large")                                                         \
    X(CE_BODY_MEMORY, "body_memory")                                                               \
    X(CE_BODY_MEMORY_TENANT, "tenant_body_memory")                                                 \
    X(CE_BODY_TIMEOUT, "body_timeout")                                                             \
    X(CE_HEAD_TIMEOUT, "head_timeout")                                                             \
    X(CE_JSON_SYNTAX, "json_syntax")                                                               \
    X(CE_JSON_UTF8, "json_utf8")                                                                   \
    X(CE_JSON_BOM, "json_byte_order_mark")                                                         \
    X(CE_JSON_DUPLICATE, "json_duplicate_key")                                                     \
    X(CE_JSON_DEPTH, "json_depth")                                                                 \
    X(CE_JSON_NUL, "json_nul")                                                                     \
    X(CE_JSON_KEYS, "json_too_many_keys")                                                          \
    X(CE_JSON_TYPE, "json_type")                                                                   \
    X(CE_FIELD_REFUSED, "field_refused")                                                           \
    X(CE_IMAGE_TOO_LARGE, "image_too_large")                                                       \
    X(CE_MODEL_MISSING, "model_missing")                                                           \
    X(CE_MODEL_NAME, "model_name")                                                                 \
    X(CE_MODEL_REMOTE, "model_remote")                                                             \
    X(CE_MODEL_FORBIDDEN, "model_forbidden")                                                       \
    X(CE_MODEL_UNKNOWN, "model_unknown")                                                           \
    X(CE_VERB_FORBIDDEN, "verb_forbidden")                                                         \
    X(CE_ADMIN_FORBIDDEN, "admin_forbidden")                                                       \
    /* credentials: all look the same outside */                                                   \
    X(CE_AUTH_MISSING, "no_credential")                                                            \
    X(CE_AUTH_SCHEME, "bad_scheme")                                                                \
    X(CE_AUTH_REPEATED, "repeated_credential")                                                     \
    X(CE_AUTH_KEY_UNKNOWN, "unknown_api_key")                                                      \
    X(CE_AUTH_TOKEN_SHAPE, "token_shape")                                                          \
    X(CE_AUTH_TOKEN_HEADER, "token_header")                                                        \
    X(CE_AUTH_TOKEN_CRIT, "token_crit")                                                            \
    X(CE_AUTH_TOKEN_TYPE, "token_type")                                                            \
    X(CE_AUTH_TOKEN_CLAIMS, "token_claims")                                                        \
    X(CE_AUTH_ISSUER, "unknown_issuer")                                                            \
    X(CE_AUTH_AUDIENCE, "wrong_audience")                                                          \
    X(CE_AUTH_KID, "unknown_kid")                                                                  \
    X(CE_AUTH_ALG, "wrong_alg")                                                                    \
    X(CE_AUTH_SIGNATURE, "bad_signature")                                                          \
    X(CE_AUTH_EXPIRED, "expired")                                                                  \
    X(CE_AUTH_NOT_YET, "not_yet_valid")                                                            \
    X(CE_AUTH_LIFETIME, "lifetime_too_long")                                                       \
    X(CE_AUTH_TENANT, "unknown_tenant")                                                            \
    X(CE_AUTH_CERTIFICATE, "unknown_certificate")                                                  \
    X(CE_AUTH_CERTIFICATE_AMBIGUOUS, "ambiguous_certificate")                                      \
    X(CE_AUTH_FLOOD, "too_many_failures")                                                          \
    /* limits and the queue */                                                                     \
    X(CE_LIMIT_REQUESTS, "request_limit")                                                          \
    X(CE_LIMIT_TOKENS, "token_limit")                                                              \
    X(CE_LIMIT_BUDGET, "token_budget")                                                             \
    X(CE_LIMIT_PROMPT, "prompt_over_limit")                                                        \
    X(CE_LIMIT_STORE, "limit_store_full")                                                          \
    X(CE_OUTPUT_BOUND, "output_bound")                                                             \
    X(CE_QUEUE_TENANT_FULL, "tenant_queue_full")                                                   \
    X(CE_QUEUE_FULL, "queue_full")                                                                 \
    X(CE_QUEUE_TIMEOUT, "queue_timeout")                                                           \
    X(CE_NO_REPLICA, "no_replica")                                                                 \
    X(CE_TLS_HANDSHAKE, "tls_handshake")                                                           \
    X(CE_TLS_TIMEOUT, "tls_handshake_timeout")                                                     \
    X(CE_PROXY_SOURCE, "proxy_source_untrusted")                                                   \
    X(CE_PROXY_HEADER, "bad_proxy_header")                                                         \
    X(CE_PROXY_TIMEOUT, "proxy_header_timeout")                                                    \
    X(CE_CONNECTIONS, "too_many_connections")                                                      \
    X(CE_CONNECTIONS_ADDRESS, "too_many_from_address")                                             \
    X(CE_CONNECTIONS_TENANT, "too_many_of_tenant")                                                 \
    X(CE_ANSWER_MEMORY, "answer_memory")                                                           \
    /* upstream */                                                                                 \
    X(CE_UPSTREAM_CONNECT, "connect_failed")                                                       \
    X(CE_UPSTREAM_CONNECT_TIMEOUT, "connect_timeout")                                              \
    X(CE_UPSTREAM_TLS, "tls_failed")                                                               \
    X(CE_UPSTREAM_CLOSED, "closed_early")                                                          \
    X(CE_UPSTREAM_NONSENSE, "protocol_error")                                                      \
    X(CE_UPSTREAM_FIRST_BYTE, "first_byte_timeout")                                                \
    X(CE_UPSTREAM_LOAD, "load_timeout")                                                            \
    X(CE_UPSTREAM_SILENCE, "stream_silence")                                                       \
    X(CE_UPSTREAM_CUT, "cut_in_stream")                                                            \
    X(CE_UPSTREAM_INCOMPLETE, "ended_without_last_event")                                          \
    X(CE_UPSTREAM_ERROR_EVENT, "error_in_stream")                                                  \
    X(CE_UPSTREAM_REDIRECT, "redirect")                                                            \
    /* the client's own doing, and ours */                                                         \
    X(CE_CLIENT_GONE, "client_gone")                                                               \
    X(CE_CLIENT_STALLED, "client_stalled")                                                         \
    X(CE_SHUTDOWN, "shutdown")                                                                     \
    X(CE_INTERNAL, "internal")
/* clang-format on */

enum corral_err {
#define X(name, reason) name,
    CORRAL_ERRORS(X)
#undef X
        CE_COUNT
};

/** The stable reason label of an error: static text, never NULL. */
const char *err_reason(enum corral_err err);

#endif
