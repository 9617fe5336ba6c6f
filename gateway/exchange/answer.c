#include "exchange/impl.h"
#include "exchange/limits.h"
#include "ollama/catalog.h"

enum { MERGED_MAX_BYTES = 16 * 1024 * 1024, MERGED_MAX_REPLICAS = 256 };

/* The API that corral speaks is that of Ollama 0.24.0: clients decide on features by it. */
static const char version_body[] = "{\"version\":\"0.24.0\"}";
static const char banner[] = "corral is running";

static void answer_body(struct exchange *ex, unsigned status, const char *type, struct slice body,
                        const struct answer_field *fields, size_t field_count, bool close)
{
    struct answer a = {
        .status = status,
        .content_type = slice_str(type),
        .framing = HTTP_LENGTH,
        .length = body.len,
        .close = close,
    };

    for (size_t i = 0; i < field_count; i++) {
        a.fields[a.field_count++] = fields[i];
    }
    a.fields[a.field_count++] = (struct answer_field){
        SLICE_LITERAL("X-Request-Id"), slice_of(ex->request_id, REQUEST_ID_BYTES), false};
    ex->status = status;
    ex->responded = true;
    exchange_set_state(ex, EX_ANSWERED, 0);
    if (!ex->has_client) {
        exchange_end(ex);
        return;
    }
    ex->client.ops->respond(ex->client.client, &a);
    if (!slice_eq_str(ex->method, "HEAD")) {
        if (ex->client.ops->write(ex->client.client, body) != CE_OK) {
            exchange_cut(ex, CE_NO_MEMORY);
            return;
        }
        ex->bytes_out += body.len;
    }
    exchange_finish(ex);
}

void exchange_answer_json(struct exchange *ex, unsigned status, struct slice body,
                          const struct answer_field *fields, size_t field_count, bool close)
{
    answer_body(ex, status, "application/json; charset=utf-8", body, fields, field_count, close);
}

void exchange_answer_local(struct exchange *ex)
{
    if (ex->route->id == ROUTE_ID_USAGE) {
        exchange_answer_usage(ex);
    } else if (ex->route->id == ROUTE_ID_VERSION) {
        exchange_answer_json(ex, 200, slice_str(version_body), NULL, 0, false);
    } else {
        answer_body(ex, 200, "text/plain; charset=utf-8", slice_str(banner), NULL, 0, false);
    }
}

static bool may_see(const struct model_name *model, void *arg)
{
    return principal_may_use(&((struct exchange *)arg)->principal, model);
}

static const struct catalog *list_of(const struct replica *r, enum route_id id)
{
    const struct replica_catalog *c = id == ROUTE_ID_PS ? r->ps : r->tags;

    return r->usable && c != NULL ? c->catalog : NULL;
}

static enum corral_err write_merged(struct exchange *ex, const struct catalog *const *lists,
                                    size_t count, struct buf *out)
{
    struct catalog_filter filter = {may_see, ex};

    switch (ex->route->id) {
    case ROUTE_ID_TAGS:
        return catalog_write_tags(lists, count, filter, out);
    case ROUTE_ID_PS:
        return catalog_write_ps(lists, count, filter, out);
    case ROUTE_ID_V1_MODELS:
        return catalog_write_v1_models(lists, count, filter, out);
    default:
        return catalog_write_v1_model(lists, count, ex->route_param, filter, out);
    }
}

void exchange_answer_merged(struct exchange *ex)
{
    const struct replica_view *v = engine_view(ex->engine);
    const struct catalog *lists[MERGED_MAX_REPLICAS];
    struct buf body = buf_make(MERGED_MAX_BYTES);
    size_t count = 0;

    for (size_t i = 0; i < v->count && count < MERGED_MAX_REPLICAS; i++) {
        const struct catalog *list = list_of(&v->replicas[i], ex->route->id);

        if (list != NULL) {
            lists[count++] = list;
        }
    }
    enum corral_err err =
        count == 0 && v->count > 0 ? CE_NO_REPLICA : write_merged(ex, lists, count, &body);
    if (err == CE_OK) {
        exchange_answer_json(ex, 200, buf_slice(&body), NULL, 0, false);
    } else {
        exchange_fail_detail(ex, err, ex->route_param);
    }
    buf_finish(&body);
}
