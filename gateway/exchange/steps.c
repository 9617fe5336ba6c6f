#include "base/clock.h"
#include "exchange/admit.h"
#include "exchange/body.h"
#include "exchange/impl.h"
#include "exchange/limits.h"

/* traceparent of W3C Trace Context, version 00: two digits, 32, 16 and 2 hex digits. */
static bool traceparent_ok(struct slice s)
{
    if (s.len != 55 || s.ptr[2] != '-' || s.ptr[35] != '-' || s.ptr[52] != '-') {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        bool hex = (s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f');

        if (!hex && i != 2 && i != 35 && i != 52) {
            return false;
        }
    }
    return true;
}

/* Only printable ASCII goes on to a replica. */
static bool printable(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static void keep_fields(struct exchange *ex, const struct http_fields *f)
{
    enum { MAX_STATE_BYTES = 512, MAX_LOGGED_BYTES = 128 };
    struct slice parent = http_field_value(f, HF_TRACEPARENT);
    struct slice state = http_field_value(f, HF_TRACESTATE);
    struct slice id = http_field_value(f, HF_X_REQUEST_ID);
    struct slice agent = http_field_value(f, HF_USER_AGENT);

    if (f->times[HF_TRACEPARENT] == 1 && traceparent_ok(parent)) {
        ex->traceparent = arena_copy(&ex->arena, parent);
        if (f->times[HF_TRACESTATE] == 1 && state.len <= MAX_STATE_BYTES && printable(state)) {
            ex->tracestate = arena_copy(&ex->arena, state);
        }
    }
    id.len = id.len < MAX_LOGGED_BYTES ? id.len : MAX_LOGGED_BYTES;
    agent.len = agent.len < MAX_LOGGED_BYTES ? agent.len : MAX_LOGGED_BYTES;
    ex->client_id = arena_copy(&ex->arena, id);
    ex->user_agent = arena_copy(&ex->arena, agent);
}

static struct slice parameter(struct slice type, const char *name)
{
    size_t semicolon = slice_find(type, ';');
    struct slice rest = slice_from(type, semicolon + 1);

    while (rest.len > 0) {
        size_t end = slice_find(rest, ';');
        struct slice one = slice_trim(slice_of(rest.ptr, end));
        size_t equals = slice_find(one, '=');

        if (slice_eq_nocase(slice_of(one.ptr, equals), slice_str(name))) {
            struct slice value = slice_from(one, equals + 1);

            if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
                value = slice_of(value.ptr + 1, value.len - 2);
            }
            return value;
        }
        rest = slice_from(rest, end + 1);
    }
    return slice_of(NULL, 0);
}

/* Whether a body has any coding; identity is none (RFC 9110 section 8.4.1). */
static bool is_coded(const struct http_fields *f)
{
    for (size_t i = 0; f->times[HF_CONTENT_ENCODING] > 0 && i < f->count; i++) {
        struct slice value = f->at[i].value;
        struct slice coding;

        if (http_field_lookup(f->at[i].name) != HF_CONTENT_ENCODING) {
            continue;
        }
        while (http_list_next(&value, &coding)) {
            if (coding.len > 0 && !slice_eq_nocase(coding, SLICE_LITERAL("identity"))) {
                return true;
            }
        }
    }
    return false;
}

/* UTF-8, by its name or by the one that many write; ASCII is a part of it. */
static bool is_utf8(struct slice charset)
{
    return slice_eq_nocase(charset, SLICE_LITERAL("utf-8")) ||
           slice_eq_nocase(charset, SLICE_LITERAL("utf8")) ||
           slice_eq_nocase(charset, SLICE_LITERAL("us-ascii"));
}

/* CONTRACTS "Answers": multipart, another charset, any coding: 415; `curl -d` must work. */
static enum corral_err check_media(const struct http_fields *f)
{
    struct slice type = http_field_value(f, HF_CONTENT_TYPE);

    if (is_coded(f)) {
        return CE_CONTENT_ENCODING;
    }
    if (f->times[HF_CONTENT_TYPE] > 1) {
        return CE_MEDIA_TYPE;
    }
    if (type.len >= 10 && slice_eq_nocase(slice_of(type.ptr, 10), SLICE_LITERAL("multipart/"))) {
        return CE_MEDIA_TYPE;
    }
    struct slice charset = parameter(type, "charset");

    return charset.ptr == NULL || is_utf8(charset) ? CE_OK : CE_MEDIA_TYPE;
}

/*
 * Browsers send forms across origins with a client certificate, but no JSON: who is known by
 * nothing else must say that it is JSON (CONTRACTS "Answers").
 */
static enum corral_err check_json(const struct http_fields *f)
{
    struct slice type = http_field_value(f, HF_CONTENT_TYPE);

    return slice_eq_nocase(slice_trim(slice_of(type.ptr, slice_find(type, ';'))),
                           SLICE_LITERAL("application/json"))
               ? CE_OK
               : CE_MEDIA_TYPE;
}

static enum corral_err judge_credential(struct exchange *ex, const struct http_fields *fields,
                                        uint64_t source)
{
    struct engine *e = ex->engine;
    const struct tls_names *certificate = ex->client.certificate;

    if (certificate != NULL && fields->times[HF_AUTHORIZATION] == 0) {
        ex->by_certificate = true;
        return auth_identify_certificate(ex->snapshot->auth, certificate->names, certificate->count,
                                         &ex->principal);
    }
    return auth_identify(
        ex->snapshot->auth, e->tokens, ex->snapshot->generation, fields, clock_wall_ms() / 1000,
        engine_failed_too_often(e, source, ex->client.trusted), &ex->arena, &ex->principal);
}

/* Nothing is guessed by a request without a credential, or with one that was good once. */
static bool is_guess(enum corral_err err)
{
    return err != CE_AUTH_MISSING && err != CE_AUTH_EXPIRED && err != CE_AUTH_FLOOD;
}

static enum corral_err identify(struct exchange *ex, const struct http_fields *fields)
{
    struct engine *e = ex->engine;
    uint64_t source = net_peer_source(&ex->client.peer);
    enum corral_err err = judge_credential(ex, fields, source);
    if (err == CE_OK) {
        return ex->client.ops->known(ex->client.client, ex->principal.tenant->id);
    }
    if (is_guess(err)) {
        engine_count_failure(e, source);
    }
    metrics_add(e->metrics, M_AUTH_FAILURES, err, 0, 0, 1);
    return err;
}

static enum corral_err check_rights(struct exchange *ex)
{
    if (ex->route->class == ROUTE_ADMIN || ex->route->class == ROUTE_OFF) {
        return CE_ADMIN_FORBIDDEN;
    }
    return principal_may(&ex->principal, ex->route->verb) ? CE_OK : CE_VERB_FORBIDDEN;
}

/* What is larger than all the memory that bodies of its tenant may have will never fit. */
static uint64_t body_size_max(const struct limit_settings *limits)
{
    uint64_t share = body_budget_share(limits);

    return limits->body_bytes < share ? limits->body_bytes : share;
}

static void begin_body(struct exchange *ex, const struct http_request *request)
{
    const struct settings *s = &ex->snapshot->settings;

    enum corral_err err = check_media(&request->fields);
    if (err == CE_OK && ex->by_certificate) {
        err = check_json(&request->fields);
    }
    if (err == CE_OK && request->framing == HTTP_NO_BODY) {
        err = CE_HTTP_LENGTH_REQUIRED;
    }
    if (err == CE_OK && request->content_length > body_size_max(&s->limits)) {
        err = CE_BODY_TOO_LARGE;
    }
    if (err != CE_OK) {
        exchange_fail(ex, err);
        return;
    }
    exchange_set_state(ex, EX_BODY, s->timeouts.body_s * 1000);
    ex->client.ops->want_body(ex->client.client);
}

/* What a refusal calls the operation: its verb, or the path of one that has none. */
static struct slice operation_of(const struct route *route)
{
    return slice_str(route == NULL              ? ""
                     : route->verb == VERB_NONE ? route->label
                                                : verb_name(route->verb));
}

/* Steps 5 and 6 of DESIGN: which route, who calls, and whether that verb is theirs. */
void exchange_route(struct exchange *ex, const struct http_request *request)
{
    static const char all_methods[] = "GET, HEAD, POST, DELETE";
    struct route_match match = {0};

    keep_fields(ex, &request->fields);
    ex->expects_body = request->framing == HTTP_CHUNKED || request->content_length > 0;
    if (!snapshot_owns_host(ex->snapshot, request->authority)) {
        exchange_fail(ex, CE_HTTP_HOST_FOREIGN);
        return;
    }
    if (slice_eq_str(request->path, "*")) {
        exchange_fail_detail(ex, CE_METHOD_NOT_ALLOWED, slice_str(all_methods));
        return;
    }
    struct slice path = route_path_decoded(ex->path, &ex->arena);
    enum corral_err err =
        route_path_clean(path) ? route_find(ex->method, path, &match) : CE_HTTP_TARGET;
    ex->route = match.route;
    ex->route_param = match.param;
    if (err == CE_METHOD_NOT_ALLOWED) {
        exchange_fail_detail(ex, err, slice_str(match.allow));
        return;
    }
    if (err == CE_OK && match.route->id != ROUTE_ID_ROOT) {
        err = identify(ex, &request->fields);
        err = err == CE_OK ? check_rights(ex) : err;
    }
    if (err != CE_OK) {
        exchange_fail_detail(ex, err, operation_of(ex->route));
    } else if (ex->route->class == ROUTE_LOCAL) {
        exchange_answer_local(ex);
    } else if (ex->route->class == ROUTE_MERGED) {
        exchange_answer_merged(ex);
    } else {
        begin_body(ex, request);
    }
}

static struct request_rules rules_of(const struct exchange *ex, const struct model_settings *m)
{
    const struct limit_settings *l = &ex->snapshot->settings.limits;
    struct request_rules rules = request_rules_default();

    rules.image_bytes_max = l->image_bytes;
    rules.images_bytes_max = l->images_bytes;
    rules.images_max = l->images;
    rules.messages_max = l->messages;
    rules.inputs_max = l->inputs;
    if (m != NULL) {
        rules.allowed_options = m->options;
        rules.num_ctx_max = m->num_ctx_max;
        rules.allow_remote = m->allow_remote;
    }
    return rules;
}

/* Whether the model runs on another server (remote_host), although its name does not say so. */
static bool is_elsewhere(struct exchange *ex)
{
    const struct catalog_merged *tags = engine_view(ex->engine)->tags;
    const struct catalog_model *m =
        tags == NULL || tags->remote == 0 ? NULL : catalog_merged_find(tags, ex->info.model);

    return m != NULL && m->remote;
}

static void fail_with_model(struct exchange *ex, enum corral_err err)
{
    exchange_fail_detail(ex, err, ex->info.spelled);
}

struct request_rules exchange_reading_rules(const struct exchange *ex)
{
    struct request_rules rules = rules_of(ex, NULL);

    rules.allow_remote = true; /* looked at when the model's own settings are known */
    return rules;
}

bool exchange_body_passes(struct exchange *ex, enum corral_err err)
{
    struct request_rules rules;

    if (err == CE_OK) {
        rules = rules_of(ex, snapshot_model(ex->snapshot, ex->info.model));
        err = ex->info.remote && !rules.allow_remote ? CE_MODEL_REMOTE : CE_OK;
    }
    if (err != CE_OK) {
        exchange_fail_detail(ex, err, slice_str(ex->info.field == NULL ? "" : ex->info.field));
        return false;
    }
    ex->info.spelled = arena_copy(&ex->arena, ex->info.spelled); /* the body goes before the log */
    if (!principal_may_use(&ex->principal, ex->info.model)) {
        fail_with_model(ex, CE_MODEL_FORBIDDEN);
        return false;
    }
    ex->may_leave = rules.allow_remote;
    if (!ex->may_leave && is_elsewhere(ex)) {
        exchange_fail(ex, CE_MODEL_REMOTE);
        return false;
    }
    if (ex->info.is_unload) {
        exchange_fail_detail(ex, CE_ADMIN_FORBIDDEN, SLICE_LITERAL("unload"));
        return false;
    }
    if (!exchange_limit(ex)) {
        return false;
    }
    rules.output_bound = ex->verdict == NULL ? LIMIT_NO_BOUND : ex->verdict->output_bound;
    request_rewrite(&ex->info, &rules, &ex->parsing);
    ex->changed = arena_copy(&ex->arena, ex->info.changed);
    return true;
}

/* Step 7 to 9. What is needed only here lies in the engine's own memory: many requests wait. */
void exchange_body_ready(struct exchange *ex)
{
    const struct request_rules rules = exchange_reading_rules(ex);
    struct arena scratch;

    arena_begin(&scratch, ex->engine->scratch, ENGINE_SCRATCH_BYTES);
    enum corral_err err =
        request_read(ex->route, buf_slice(&ex->body), &rules, &scratch, &ex->parsing, &ex->info);
    bool passes = exchange_body_passes(ex, err);

    ex->info.parts = NULL;
    arena_finish(&scratch);
    if (passes) {
        exchange_admit(ex, INTERN_NONE);
    }
}
