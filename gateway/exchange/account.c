#include "base/clock.h"
#include "exchange/impl.h"
#include "exchange/limits.h"

/* What a client left in the middle of; a metric label. */
enum ex_phase { PHASE_BODY, PHASE_QUEUED, PHASE_LOADING, PHASE_FIRST_BYTE, PHASE_STREAM };

enum { STATUS_CLIENT_CLOSED = 499, DIRECTION_INPUT = 0, DIRECTION_OUTPUT = 1 };

static const char *const dialect_names[] = {"native", "openai", "anthropic"};

static enum ex_phase phase_of(const struct exchange *ex, enum ex_state state)
{
    switch (state) {
    case EX_QUEUED:
        return PHASE_QUEUED;
    case EX_SENT:
    case EX_DRAINING:
        return ex->cold ? PHASE_LOADING : PHASE_FIRST_BYTE;
    case EX_RELAY:
        return PHASE_STREAM;
    default:
        return PHASE_BODY;
    }
}

void exchange_count_cancel(struct exchange *ex, enum ex_state state)
{
    metrics_add(ex->engine->metrics, M_CANCELS, (uint32_t)phase_of(ex, state), 0, 0, 1);
}

static void log_times(struct log_line *line, const struct exchange *ex, uint64_t now_us)
{
    log_seconds(line, "duration_s", now_us - ex->began_us);
    if (ex->granted_us > 0) {
        log_seconds(line, "queue_s", ex->granted_us - ex->queued_us);
    }
    if (ex->first_byte_us > 0) {
        log_seconds(line, "ttft_s", ex->first_byte_us - ex->began_us);
    }
}

static void log_tokens(struct log_line *line, const struct exchange *ex)
{
    if (!ex->stream_ready) {
        return;
    }
    if (stream_told_prompt(&ex->stream)) {
        log_u64(line, "prompt_tokens", ex->stream.prompt_tokens);
    }
    if (stream_told_output(&ex->stream)) {
        log_u64(line, "output_tokens", ex->stream.output_tokens);
    }
    log_u64(line, "chunks", ex->stream.chunks);
    log_u64(line, "prompt_estimate", exchange_prompt_estimate(ex));
    if (ex->info.output_bound >= 0) {
        log_u64(line, "output_bound", (uint64_t)ex->info.output_bound);
    }
}

static void log_caller(struct log_line *line, const struct exchange *ex)
{
    char peer[NET_ADDRESS_TEXT_BYTES];

    net_peer_format(&ex->client.peer, peer);
    log_str(line, "client", peer);
    if (ex->principal.tenant != NULL) {
        log_str(line, "tenant", ex->principal.tenant->name);
        log_text(line, "credential", ex->principal.credential);
        if (ex->principal.user.len > 0) {
            log_text(line, "user", ex->principal.user);
        }
    }
    if (ex->client_id.len > 0) {
        log_text(line, "client_request_id", ex->client_id);
    }
    if (ex->user_agent.len > 0) {
        log_text(line, "user_agent", ex->user_agent);
    }
    if (ex->traceparent.len > 0) {
        log_text(line, "traceparent", ex->traceparent);
    }
}

/* An error answer that a replica gave is no failure of ours, and not "ok" either. */
static const char *reason_of(const struct exchange *ex)
{
    return ex->reason == CE_OK && ex->passing_error ? "replica_error" : err_reason(ex->reason);
}

static void log_access(const struct exchange *ex, unsigned status, uint64_t now_us)
{
    NOT_ZEROED struct log_line line;
    bool is_stranger = ex->principal.tenant == NULL;

    if (is_stranger && !refusal_log_takes(&ex->engine->refusals, &ex->client.peer)) {
        return;
    }
    log_begin(&line, ex->engine->log, LOG_INFO, "access");
    if (line.source == NULL) {
        return;
    }
    line.minor = is_stranger;
    log_text(&line, "request_id", slice_of(ex->request_id, REQUEST_ID_BYTES));
    log_str(&line, "protocol", ex->client.ops->protocol);
    log_text(&line, "method", ex->method);
    log_text(&line, "path", ex->path);
    log_u64(&line, "status", status);
    log_str(&line, "reason", reason_of(ex));
    if (ex->field.len > 0) {
        log_text(&line, "field", ex->field);
    }
    log_caller(&line, ex);
    if (ex->route != NULL) {
        log_str(&line, "route", ex->route->label);
        log_str(&line, "dialect", dialect_names[ex->route->dialect]);
    }
    if (ex->info.spelled.len > 0) {
        log_text(&line, "model", ex->info.spelled);
        log_bool(&line, "stream", ex->info.stream);
    }
    if (ex->changed.len > 0) {
        log_text(&line, "changed", ex->changed);
    }
    if (ex->replica != INTERN_NONE) {
        log_text(&line, "replica", intern_name(ex->engine->house->replicas, ex->replica));
    }
    log_times(&line, ex, now_us);
    log_tokens(&line, ex);
    log_u64(&line, "bytes_out", ex->bytes_out);
    log_end(&line);
}

static void count_tokens(const struct exchange *ex, uint32_t tenant)
{
    struct metrics_table *m = ex->engine->metrics;
    uint64_t output =
        stream_told_output(&ex->stream) ? ex->stream.output_tokens : ex->stream.chunks;

    if (!ex->stream_ready || ex->model == INTERN_NONE || ex->passing_error) {
        return;
    }
    metrics_add(m, M_TOKENS, tenant, ex->model, DIRECTION_INPUT,
                stream_told_prompt(&ex->stream) ? ex->stream.prompt_tokens
                                                : exchange_prompt_estimate(ex));
    metrics_add(m, M_TOKENS, tenant, ex->model, DIRECTION_OUTPUT, output);
}

/* Limits that have no rule of their own: the reason is the metric's label. */
static bool is_own_limit(enum corral_err reason)
{
    return reason == CE_QUEUE_TENANT_FULL || reason == CE_QUEUE_FULL || reason == CE_OUTPUT_BOUND ||
           reason == CE_LIMIT_STORE || reason == CE_BODY_MEMORY ||
           reason == CE_BODY_MEMORY_TENANT || reason == CE_CONNECTIONS ||
           reason == CE_CONNECTIONS_ADDRESS || reason == CE_CONNECTIONS_TENANT ||
           reason == CE_ANSWER_MEMORY;
}

/* Called once, before the exchange gives anything back. */
void exchange_account(struct exchange *ex)
{
    uint32_t tenant =
        ex->principal.tenant == NULL ? (uint32_t)INTERN_OTHER : ex->principal.tenant->id;
    uint32_t route = ex->route == NULL ? 0 : (uint32_t)ex->route->id + 1;
    unsigned status = ex->responded ? ex->status : STATUS_CLIENT_CLOSED;

    metrics_add(ex->engine->metrics, M_REQUESTS, tenant, route, status, 1);
    if (is_own_limit(ex->reason)) {
        uint32_t name = intern_add(ex->engine->house->limits, slice_str(err_reason(ex->reason)));

        metrics_add(ex->engine->metrics, M_LIMITED, tenant, name, 0, 1);
    }
    count_tokens(ex, tenant);
    log_access(ex, status, clock_mono_us());
}
