#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "exchange/limits.h"

enum {
    USAGE_MAX_BYTES = 1024 * 1024,
    USAGE_MAX_MODELS = 256,
    BYTES_PER_TOKEN = 4,
    COUNT_MAX =
        16 * 1024 * 1024, /* no context is so long: a replica that tells more is not believed */
};

/* Who it is within the tenant: a credential that names no user is a user of its own. */
static struct slice user_of(const struct exchange *ex)
{
    return ex->principal.user.len > 0 ? ex->principal.user : ex->principal.credential;
}

static bool rule_covers(const struct limit_rule *r, const struct model_name *model)
{
    for (size_t i = 0; i < r->model_count; i++) {
        if (model_pattern_matches(slice_str(r->models[i]), model)) {
            return true;
        }
    }
    return r->model_count == 0;
}

static bool makes_output(const struct exchange *ex)
{
    return ex->route->class == ROUTE_INFERENCE && ex->route->verb != VERB_EMBED &&
           !ex->info.is_load_or_unload;
}

uint64_t exchange_prompt_estimate(const struct exchange *ex)
{
    return (ex->info.prompt_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
}

/* Also the name of the metric's label. */
static void count_limited(struct exchange *ex, enum metric family, const struct limit_rule *rule)
{
    metrics_add(ex->engine->metrics, family, ex->principal.tenant->id, rule->id, 0, 1);
}

static void count_shadowed(struct exchange *ex, unsigned mask)
{
    const struct tenant_settings *t = ex->principal.tenant;

    for (size_t i = 0; i < t->limit_count && mask != 0; i++, mask >>= 1) {
        if ((mask & 1u) != 0) {
            count_limited(ex, M_SHADOW_LIMITED, &t->limits[i]);
        }
    }
}

/* "17 requests in 60 seconds ("rpm"). Please try again in 3 seconds" */
static void fail_limited(struct exchange *ex, enum corral_err err)
{
    const struct limit_verdict *v = ex->verdict;
    char rule[LIMIT_SENTENCE_BYTES];
    char wait[LIMIT_SENTENCE_BYTES];
    char text[2 * LIMIT_SENTENCE_BYTES];

    if (v->refused_by == NULL) {
        exchange_fail(ex, err);
        return;
    }
    count_limited(ex, M_LIMITED, v->refused_by);
    limit_rule_describe(v->refused_by, rule);
    limit_wait_describe(v->wait_ms, wait);
    int n = err == CE_LIMIT_PROMPT
                ? snprintf(text, sizeof(text), "%s", rule)
                : snprintf(text, sizeof(text), "%s. Please try again in %s", rule, wait);

    exchange_fail_detail(ex, err, slice_of(text, (size_t)n));
}

static enum corral_err reserve(struct exchange *ex)
{
    const struct tenant_settings *t = ex->principal.tenant;
    bool applies[LIMIT_RULES_MAX];
    bool inference = ex->route->class == ROUTE_INFERENCE;
    const struct limit_request request = {
        .tenant = t->id,
        .rules = t->limits,
        .applies = applies,
        .rule_count = t->limit_count,
        .user = user_of(ex),
        .model = model_text(ex->info.model),
        .prompt_tokens = inference ? exchange_prompt_estimate(ex) : 0,
        .output_asked = ex->info.output_asked,
        .output_default = ex->snapshot->settings.limits.default_output_tokens,
        .has_output = makes_output(ex),
        .now_ms = clock_wall_ms(),
    };

    for (size_t i = 0; i < t->limit_count; i++) {
        applies[i] = rule_covers(&t->limits[i], ex->info.model);
    }
    ex->verdict = arena_alloc(&ex->arena, sizeof(*ex->verdict));
    return limit_reserve(ex->engine->house->limiter, &request, &ex->arena, ex->verdict, &ex->grant);
}

bool exchange_limit(struct exchange *ex)
{
    if (ex->principal.tenant->limit_count == 0) {
        return true;
    }
    enum corral_err err = reserve(ex);

    count_shadowed(ex, ex->verdict->shadowed);
    if (err != CE_OK) {
        fail_limited(ex, err);
        return false;
    }
    return true;
}

void exchange_meter(struct exchange *ex, bool prompt, uint64_t output)
{
    if (ex->grant != NULL && (prompt || output > 0)) {
        limit_meter(ex->grant, prompt, output, clock_wall_ms());
    }
}

static int64_t believed(uint64_t count)
{
    return (int64_t)(count < COUNT_MAX ? count : COUNT_MAX);
}

/* What is charged: Ollama's own counts where it told them, else the chunks that came. */
void exchange_settle(struct exchange *ex)
{
    const struct stream *s = &ex->stream;
    struct limit_counts counts = {-1, -1};

    if (ex->grant == NULL) {
        return;
    }
    if (ex->passing_error) {
        counts = (struct limit_counts){0, 0};
    } else if (ex->stream_ready) {
        exchange_meter(ex, !stream_told_prompt(s), 0); /* the estimate, if it is all there is */
        counts.prompt = stream_told_prompt(s) ? believed(s->prompt_tokens) : -1;
        counts.output = believed(stream_told_output(s) ? s->output_tokens : s->chunks);
    }
    limit_settle(ex->grant, counts, clock_wall_ms());
    ex->grant = NULL;
}

size_t exchange_limit_fields(const struct exchange *ex, bool refused,
                             char room[static LIMIT_FIELDS_BYTES], struct answer_field *out)
{
    NOT_ZEROED struct limit_field fields[LIMIT_FIELDS_MAX];

    if (ex->verdict == NULL) {
        return 0;
    }
    enum limit_telling telling = refused                                ? LIMIT_TELL_REFUSED
                                 : ex->route->dialect == DIALECT_OPENAI ? LIMIT_TELL_FULL
                                                                        : LIMIT_TELL_SHORT;
    const char *policy = ex->principal.tenant->rate_limit_policy;
    size_t count = limit_fields(ex->verdict, policy, telling, room, fields);

    for (size_t i = 0; i < count; i++) {
        out[i] = (struct answer_field){fields[i].name, fields[i].value,
                                       .comes_again = fields[i].value.ptr == policy};
    }
    return count;
}

static const char *const calendar_names[] = {"none", "day", "month"};

static enum corral_err write_row(struct exchange *ex, const struct limit_rule *r,
                                 struct slice model, struct buf *out)
{
    struct limit_usage u = limit_look(ex->engine->house->limiter, ex->principal.tenant->id, r,
                                      user_of(ex), model, clock_wall_ms());
    bool first = out->data[out->start + out->len - 1] == '[';
    enum corral_err err = buf_printf(out, "%s{\"name\":\"%s\",", first ? "" : ",", r->name);

    if (err == CE_OK && model.len > 0) {
        err = buf_append_str(out, "\"model\":\"");
        err = err == CE_OK ? buf_append_json(out, model) : err;
        err = err == CE_OK ? buf_append_str(out, "\",") : err;
    }
    if (err == CE_OK && r->calendar != LIMIT_NO_CALENDAR) {
        err = buf_printf(out, "\"calendar\":\"%s\",", calendar_names[r->calendar]);
    } else if (err == CE_OK) {
        err = buf_printf(out, "\"window_s\":%" PRIu64 ",", r->window_s);
    }
    if (err != CE_OK) {
        return err;
    }
    return buf_printf(out,
                      "\"kind\":\"%s\",\"per_user\":%s,\"shadow\":%s,\"limit\":%" PRIu64
                      ",\"used\":%" PRIu64 ",\"reserved\":%" PRIu64 ",\"debt\":%" PRIu64
                      ",\"remaining\":%" PRIu64 ",\"reset_s\":%" PRIu64 "}",
                      r->requests > 0 ? "requests" : "tokens",
                      (r->per & LIMIT_PER_USER) != 0 ? "true" : "false",
                      r->shadow ? "true" : "false", r->requests > 0 ? r->requests : r->tokens,
                      u.used, u.reserved, u.debt, u.remaining, (u.reset_ms + 999) / 1000);
}

/* A rule for each model: the models that the caller may use and the herd has. */
static enum corral_err write_models(struct exchange *ex, const struct limit_rule *r,
                                    struct buf *out)
{
    struct intern *models = ex->engine->house->models;
    uint32_t count = intern_count(models);
    enum corral_err err = CE_OK;
    size_t rows = 0;

    for (uint32_t i = INTERN_OTHER + 1; i < count && rows < USAGE_MAX_MODELS && err == CE_OK; i++) {
        struct slice text = intern_name(models, i);
        struct model_name name;

        if (model_parse(text, &name) == CE_OK && principal_may_use(&ex->principal, &name) &&
            rule_covers(r, &name)) {
            err = write_row(ex, r, text, out);
            rows++;
        }
    }
    return err;
}

static enum corral_err write_usage(struct exchange *ex, struct buf *out)
{
    const struct tenant_settings *t = ex->principal.tenant;
    enum corral_err err = buf_printf(out, "{\"tenant\":\"%s\",\"user\":\"", t->name);

    err = err == CE_OK ? buf_append_json(out, user_of(ex)) : err;
    err = err == CE_OK ? buf_append_str(out, "\",\"limits\":[") : err;
    for (size_t i = 0; i < t->limit_count && err == CE_OK; i++) {
        const struct limit_rule *r = &t->limits[i];

        err = (r->per & LIMIT_PER_MODEL) != 0 ? write_models(ex, r, out)
                                              : write_row(ex, r, slice_of(NULL, 0), out);
    }
    return err == CE_OK ? buf_append_str(out, "]}\n") : err;
}

void exchange_answer_usage(struct exchange *ex)
{
    static const struct answer_field fresh = {SLICE_LITERAL("Cache-Control"),
                                              SLICE_LITERAL("no-store")};
    struct buf body = buf_make(USAGE_MAX_BYTES);

    if (write_usage(ex, &body) == CE_OK) {
        exchange_answer_private(ex, &body, &fresh, 1);
    } else {
        exchange_fail(ex, CE_NO_MEMORY);
    }
    buf_finish(&body);
}
