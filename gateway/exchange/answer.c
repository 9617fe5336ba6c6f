/*
 * Answers that corral gives itself: errors, its version, lists merged over all replicas, usage.
 *
 * Called by steps.c and fail.c. What is large is handed to the codec by reference and goes out as
 * the client takes it.
 */
#include "exchange/answer_cache.h"
#include "exchange/impl.h"
#include "exchange/limits.h"
#include "ollama/catalog.h"

enum { MERGED_MAX_BYTES = 16 * 1024 * 1024 };

static const char banner[] = "Ollama is running"; /* clients look for it */
static const char json_type[] = "application/json; charset=utf-8";

/* Fields of an answer beside those that every answer has. */
struct own_fields {
    const struct answer_field *fields;
    size_t count;
    bool close;
};

static const struct own_fields none;

/* The head of an answer of `len` bytes. False: nobody gets it any more, the exchange has ended. */
static bool begin_answer(struct exchange *ex, unsigned status, const char *type, size_t len,
                         const struct own_fields *own)
{
    struct answer a = {
        .status = status,
        .content_type = slice_str(type),
        .framing = HTTP_LENGTH,
        .length = len,
        .close = own->close,
    };

    for (size_t i = 0; i < own->count; i++) {
        a.fields[a.field_count++] = own->fields[i];
    }
    a.fields[a.field_count++] = (struct answer_field){
        SLICE_LITERAL("X-Request-Id"), slice_of(ex->request_id, REQUEST_ID_BYTES), false};
    ex->status = status;
    ex->responded = true;
    exchange_set_state(ex, EX_ANSWERED, 0);
    if (!ex->has_client) {
        exchange_end(ex);
        return false;
    }
    ex->client.ops->respond(ex->client.client, &a);
    return true;
}

static void answer_body(struct exchange *ex, unsigned status, const char *type, struct slice body,
                        const struct own_fields *own)
{
    if (!begin_answer(ex, status, type, body.len, own)) {
        return;
    }
    if (!slice_eq_str(ex->method, "HEAD")) {
        if (ex->client.ops->write(ex->client.client, body) != CE_OK) {
            exchange_cut(ex, CE_NO_MEMORY);
            return;
        }
        ex->bytes_out += body.len;
    }
    exchange_finish(ex);
}

/* The codec holds the body by reference, for as long as the client takes. */
static void answer_shared(struct exchange *ex, struct shared_bytes *body,
                          const struct own_fields *own)
{
    size_t len = shared_bytes_slice(body).len;

    if (!begin_answer(ex, 200, json_type, len, own)) {
        return;
    }
    if (!slice_eq_str(ex->method, "HEAD")) {
        if (ex->client.ops->write_shared(ex->client.client, body) != CE_OK) {
            exchange_cut(ex, CE_NO_MEMORY);
            return;
        }
        ex->bytes_out += len;
    }
    exchange_finish(ex);
}

void exchange_answer_json(struct exchange *ex, unsigned status, struct slice body,
                          const struct answer_field *fields, size_t field_count, bool close)
{
    const struct own_fields own = {fields, field_count, close};

    answer_body(ex, status, json_type, body, &own);
}

/* Clients decide on features by it, so it is the least of all replicas that may be asked. */
static void answer_version(struct exchange *ex)
{
    const struct version *v = &engine_view(ex->engine)->version;
    struct buf body = buf_make(128);

    if (v->text[0] == '\0') { /* or something before the replicas keeps it from us */
        exchange_fail(ex, engine_view(ex->engine)->any_tags ? CE_UPSTREAM_NONSENSE : CE_NO_REPLICA);
    } else if (buf_printf(&body, "{\"version\":\"%s\"}", v->text) != CE_OK) {
        exchange_fail(ex, CE_NO_MEMORY);
    } else {
        exchange_answer_json(ex, 200, buf_slice(&body), NULL, 0, false);
    }
    buf_finish(&body);
}

void exchange_answer_local(struct exchange *ex)
{
    if (ex->route->id == ROUTE_ID_USAGE) {
        exchange_answer_usage(ex);
    } else if (ex->route->id == ROUTE_ID_VERSION) {
        answer_version(ex);
    } else {
        answer_body(ex, 200, "text/plain; charset=utf-8", slice_str(banner), &none);
    }
}

static bool may_see(const struct model_name *model, void *arg)
{
    return principal_may_use(&((struct exchange *)arg)->principal, model);
}

static bool may_leave(const struct model_name *model, void *arg)
{
    const struct model_settings *m = snapshot_model(((struct exchange *)arg)->snapshot, model);

    return m != NULL && m->allow_remote;
}

static enum corral_err write_merged(struct exchange *ex, const struct replica_view *v,
                                    struct buf *out)
{
    struct catalog_filter filter = {may_see, may_leave, ex};

    switch (ex->route->id) {
    case ROUTE_ID_TAGS:
        return catalog_write_native(v->tags, filter, out);
    case ROUTE_ID_PS:
        return catalog_write_native(v->ps, filter, out);
    case ROUTE_ID_V1_MODELS:
        return catalog_write_v1_models(v->tags, filter, out);
    default:
        return catalog_write_v1_model(v->tags, ex->route_param, filter, out);
    }
}

/* What the credential limits by itself, as text that only the same limits have. */
static enum corral_err write_rights(const struct principal *p, struct buf *out)
{
    enum corral_err err = p->has_models ? buf_append_str(out, "m") : CE_OK;

    for (size_t i = 0; i < p->model_count && err == CE_OK; i++) {
        err = buf_printf(out, "%zu:", p->models[i].len);
        err = err == CE_OK ? buf_append(out, p->models[i]) : err;
    }
    return err;
}

static enum corral_err write_list(struct exchange *ex, const struct replica_view *v,
                                  struct shared_bytes **out)
{
    bool any = ex->route->id == ROUTE_ID_PS ? v->any_ps : v->any_tags;
    struct buf body = buf_make(MERGED_MAX_BYTES);
    enum corral_err err = !any && v->count > 0 ? CE_NO_REPLICA : write_merged(ex, v, &body);

    if (err == CE_OK) {
        *out = shared_bytes_take(&body);
    }
    buf_finish(&body);
    return err;
}

/* From the cache, or written and kept there. The caller holds a reference of *out. */
static enum corral_err find_list(struct exchange *ex, struct shared_bytes **out)
{
    struct engine *e = ex->engine;
    const struct replica_view *v = engine_view(e);
    struct buf rights = buf_make(ANSWER_RIGHTS_BYTES);
    bool may_be_kept =
        ex->route->id != ROUTE_ID_V1_MODEL && write_rights(&ex->principal, &rights) == CE_OK;
    const struct answer_key key = {
        .route = ex->route->id,
        .tenant = ex->principal.tenant->id,
        .rights = buf_slice(&rights),
        .view_version = e->view_version,
        .generation = ex->snapshot->generation,
    };
    struct shared_bytes *found = may_be_kept ? answer_cache_find(e->answers, &key) : NULL;
    enum corral_err err = CE_OK;

    if (found != NULL) {
        *out = shared_bytes_ref(found);
    } else {
        err = write_list(ex, v, out);
        if (err == CE_OK && may_be_kept) {
            answer_cache_put(e->answers, &key, *out);
        }
    }
    buf_finish(&rights);
    return err;
}

void exchange_answer_merged(struct exchange *ex)
{
    struct shared_bytes *body = NULL;
    enum corral_err err = find_list(ex, &body);

    if (err == CE_OK) {
        answer_shared(ex, body, &none);
        shared_bytes_unref(body);
    } else {
        exchange_fail_detail(ex, err, ex->route_param);
    }
}

static void give_back_budget(struct shared_bytes *s)
{
    body_budget_give(s->arg, s->number, shared_bytes_slice(s).len);
}

void exchange_answer_private(struct exchange *ex, struct buf *body,
                             const struct answer_field *fields, size_t field_count)
{
    const struct own_fields own = {fields, field_count, false};
    struct body_budget *budget = &ex->engine->house->bodies;
    uint32_t tenant = ex->principal.tenant->id;
    enum corral_err err =
        body_budget_take(budget, tenant, body->len, &ex->snapshot->settings.limits);

    if (err != CE_OK) {
        exchange_fail(ex, err);
        return;
    }
    struct shared_bytes *s = shared_bytes_take(body);

    s->on_free = give_back_budget;
    s->arg = budget;
    s->number = tenant;
    answer_shared(ex, s, &own);
    shared_bytes_unref(s);
}
