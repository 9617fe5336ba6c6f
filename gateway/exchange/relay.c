#include "base/clock.h"
#include "exchange/body.h"
#include "exchange/impl.h"
#include "exchange/limits.h"
#include "ollama/dialect.h"
#include "ollama/ending.h"

enum {
    CHARGE_BATCH_CHUNKS = 16,
    ENDING_MAX_BYTES = 16 * 1024,
    FIELD_MAX_BYTES = 256, /* of each value of a replica's that goes on to the client */
};

static bool type_is(struct slice type, const char *media)
{
    struct slice bare = slice_trim(slice_of(type.ptr, slice_find(type, ';')));

    return slice_eq_nocase(bare, slice_str(media));
}

static void add_field(struct answer *a, struct slice name, struct slice value)
{
    a->fields[a->field_count++] = (struct answer_field){name, value, false};
}

/* JSON, or what the route's dialect streams: a page of HTML is from something before Ollama. */
static bool fits_route(const struct route *route, struct slice type)
{
    return type_is(type, dialect_content_type(route, false)) ||
           type_is(type, dialect_content_type(route, true));
}

/*
 * Ollama's own errors pass when they are JSON; anything else would confuse every client. A value
 * that an answer's head has no room for would leave a body without a head.
 */
static bool worth_passing(const struct route *route, const struct http_response_head *head,
                          struct slice type)
{
    if (type.len > FIELD_MAX_BYTES ||
        http_field_value(&head->fields, HF_CACHE_CONTROL).len > FIELD_MAX_BYTES) {
        return false;
    }
    return (head->status == 200 && fits_route(route, type)) ||
           (head->status >= 400 && type_is(type, "application/json"));
}

static void respond(struct exchange *ex, const struct http_response_head *head, struct slice type,
                    bool streaming)
{
    struct answer a = {.status = head->status, .content_type = type};
    NOT_ZEROED char room[LIMIT_FIELDS_BYTES];

    a.cache_control = http_field_value(&head->fields, HF_CACHE_CONTROL);
    a.framing = streaming ? HTTP_CHUNKED : head->framing;
    a.length = head->content_length;
    add_field(&a, SLICE_LITERAL("X-Request-Id"), slice_of(ex->request_id, REQUEST_ID_BYTES));
    if (streaming) {
        add_field(&a, SLICE_LITERAL("X-Accel-Buffering"), SLICE_LITERAL("no"));
    }
    if (ex->changed.len > 0) {
        add_field(&a, SLICE_LITERAL("X-Corral-Changed"), ex->changed);
    }
    if (head->status == 503) {
        add_field(&a, SLICE_LITERAL("Retry-After"), SLICE_LITERAL("5"));
    }
    a.field_count += exchange_limit_fields(ex, false, room, a.fields + a.field_count);
    ex->responded = true;
    ex->status = head->status;
    ex->client.ops->respond(ex->client.client, &a);
}

static void note_first_byte(struct exchange *ex)
{
    struct engine *e = ex->engine;

    ex->first_byte_us = e->worker->now_us;
    ex->last_chunk_us = ex->first_byte_us;
    metrics_observe(e->metrics, M_TTFT, ex->first_byte_us - ex->began_us);
    if (ex->cold) {
        metrics_observe(e->metrics, M_LOAD_WAIT, ex->first_byte_us - ex->granted_us);
        ledger_first_byte(e->house->ledger, ex->ticket);
        ex->cold = false;
    }
}

void exchange_on_head(struct call *c, const struct http_response_head *head)
{
    struct exchange *ex = call_owner(c);
    struct slice type = http_field_value(&head->fields, HF_CONTENT_TYPE);

    if (ex->state == EX_DRAINING) {
        exchange_end(ex); /* the first byte: Ollama has asked its runner, closing is safe */
        return;
    }
    ex->cold = ex->cold && head->status == 200; /* an error has loaded nothing */
    note_first_byte(ex);
    if (ex->body_sent) {
        exchange_drop_body(ex);
    }
    if (!worth_passing(ex->route, head, type)) {
        call_drop(c);
        ex->call = NULL;
        metrics_add(ex->engine->metrics, M_UPSTREAM_FAILURES, ex->replica, CE_UPSTREAM_NONSENSE, 0,
                    1);
        exchange_fail(ex, CE_UPSTREAM_NONSENSE);
        return;
    }
    bool streaming = head->status == 200 &&
                     (type_is(type, "application/x-ndjson") || type_is(type, "text/event-stream"));

    ex->passing_error = head->status != 200;
    stream_init(&ex->stream, ex->route, streaming, ex->info.usage_injected, &ex->arena);
    ex->stream_ready = true;
    if (ex->info.output_bound >= 0) {
        stream_bound(&ex->stream, (uint64_t)ex->info.output_bound);
    }
    if (streaming) {
        exchange_meter(ex, true, 0); /* an answer in one piece is charged at its end */
    }
    exchange_set_state(ex, EX_RELAY, ex->snapshot->settings.timeouts.stream_silence_s * 1000);
    respond(ex, head, type, streaming);
}

static void write_to_client(void *arg, struct slice bytes)
{
    struct exchange *ex = arg;

    if (!ex->has_client || ex->write_failed) {
        return;
    }
    ex->write_failed = ex->client.ops->write(ex->client.client, bytes) != CE_OK;
    ex->bytes_out += ex->write_failed ? 0 : bytes.len;
}

void exchange_charge(struct exchange *ex, bool all)
{
    uint64_t fresh = ex->stream.chunks - ex->charged_chunks;

    if (ex->has_slot && (fresh >= CHARGE_BATCH_CHUNKS || (all && fresh > 0))) {
        ledger_charge(ex->engine->house->ledger, ex->ticket, (uint32_t)fresh);
        if (!all) { /* else settling counts them, with what Ollama told */
            exchange_meter(ex, false, fresh);
        }
        ex->charged_chunks = ex->stream.chunks;
    }
}

static void note_gap(struct exchange *ex, uint64_t chunks_before)
{
    if (ex->stream.chunks > chunks_before) {
        uint64_t now_us = ex->engine->worker->now_us;

        metrics_observe(ex->engine->metrics, M_INTER_TOKEN, now_us - ex->last_chunk_us);
        ex->last_chunk_us = now_us;
    }
}

/*
 * The replica goes on where it should have stopped: its answer ends here, as one that ran into its
 * length (CONTRACTS "Answers").
 */
static void end_at_bound(struct exchange *ex)
{
    const struct ending ending = {
        .prompt_tokens = exchange_prompt_estimate(ex),
        .output_tokens = ex->stream.chunks,
        .wall_ms = clock_wall_ms(),
        .usage_asked = ex->info.client_asked_usage,
    };
    struct buf last = buf_make(ENDING_MAX_BYTES);
    enum corral_err err = ending_write(&ex->stream, &ending, &last);

    if (err == CE_OK) {
        write_to_client(ex, buf_slice(&last));
    }
    buf_finish(&last);
    call_drop(ex->call);
    ex->call = NULL;
    ex->reason = CE_OUTPUT_BOUND;
    if (err != CE_OK || ex->write_failed) {
        exchange_cut(ex, CE_NO_MEMORY);
    } else {
        exchange_finish(ex);
    }
}

void exchange_on_body(struct call *c, struct slice bytes)
{
    struct exchange *ex = call_owner(c);
    struct worker *w = ex->engine->worker;
    uint64_t chunks_before = ex->stream.chunks;

    if (ex->state != EX_RELAY) {
        return;
    }
    stream_feed(&ex->stream, bytes, (struct stream_sink){write_to_client, ex});
    if (ex->write_failed) {
        exchange_cut(ex, CE_NO_MEMORY); /* the framing is broken: nothing may follow */
        return;
    }
    note_gap(ex, chunks_before);
    exchange_charge(ex, false);
    if (ex->stream.over) {
        end_at_bound(ex);
        return;
    }
    deadline_set(&w->wheel, &ex->deadline, w->now_ms,
                 ex->snapshot->settings.timeouts.stream_silence_s * 1000);
}

/* A chunk does not wait for the other streams that are ready in this turn. */
void exchange_on_read_done(struct call *c)
{
    struct exchange *ex = call_owner(c);

    if (ex->state == EX_RELAY && ex->has_client) {
        ex->client.ops->flush(ex->client.client);
    }
}

/* An upstream failure after the head: the dialect's error, then a cut that looks cut. */
void exchange_upstream_cut(struct exchange *ex, enum corral_err why)
{
    stream_cut(&ex->stream, (struct stream_sink){write_to_client, ex});
    if (ex->has_client && !ex->stream.saw_error_event && ex->stream.framed) {
        exchange_error_event(ex, why);
    }
    metrics_add(ex->engine->metrics, M_TRUNCATED, ex->route->dialect, 0, 0, 1);
    exchange_cut(ex, why);
}

void exchange_on_end(struct call *c)
{
    struct exchange *ex = call_owner(c);

    ex->call = NULL;
    if (ex->state != EX_RELAY) {
        exchange_end(ex);
        return;
    }
    stream_end(&ex->stream, (struct stream_sink){write_to_client, ex});
    if (ex->write_failed) {
        exchange_cut(ex, CE_NO_MEMORY);
        return;
    }
    if (ex->passing_error || ex->stream.complete) {
        exchange_finish(ex);
        return;
    }
    enum corral_err why =
        ex->stream.saw_error_event ? CE_UPSTREAM_ERROR_EVENT : CE_UPSTREAM_INCOMPLETE;

    metrics_add(ex->engine->metrics, M_UPSTREAM_FAILURES, ex->replica, why, 0, 1);
    exchange_upstream_cut(ex, why);
}
