/*
 * Merging lists of models and writing them for a caller. Merging is called when a replica's list
 * has changed, on the main thread; writing by exchange/answer.c, on workers.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ollama/catalog.h"

struct pick {
    const struct catalog_model *model;
    size_t rank; /* of the replica, then of the entry: earlier wins */
};

struct picks {
    struct pick *items; /* owned */
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    const struct pick *x = a;
    const struct pick *y = b;
    size_t shorter =
        x->model->name.len < y->model->name.len ? x->model->name.len : y->model->name.len;
    int order = memcmp(x->model->name.text, y->model->name.text, shorter);

    if (order != 0) {
        return order;
    }
    if (x->model->name.len != y->model->name.len) {
        return x->model->name.len < y->model->name.len ? -1 : 1;
    }
    return x->rank < y->rank ? -1 : 1;
}

static int by_time(const void *a, const void *b)
{
    const struct pick *x = a;
    const struct pick *y = b;

    if (x->model->time_ns != y->model->time_ns) {
        return x->model->time_ns > y->model->time_ns ? -1 : 1;
    }
    return x->rank < y->rank ? -1 : 1;
}

/* Of two entries of one model: whether the second takes the first one's place. */
static bool is_better(const struct catalog_model *next, const struct catalog_model *kept,
                      enum catalog_kind kind)
{
    return kind == CATALOG_PS ? next->time_ns > kept->time_ns : kept->remote && !next->remote;
}

/* Sorted by name, and of equal ones by rank. */
static void drop_doubles(struct picks *p, enum catalog_kind kind)
{
    size_t kept = 0;

    for (size_t i = 0; i < p->count; i++) {
        bool same = kept > 0 && model_eq(&p->items[kept - 1].model->name, &p->items[i].model->name);

        if (!same) {
            p->items[kept++] = p->items[i];
        } else if (is_better(p->items[i].model, p->items[kept - 1].model, kind)) {
            p->items[kept - 1] = p->items[i];
        }
    }
    p->count = kept;
}

static size_t total_models(const struct catalog *const *lists, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += lists[i] == NULL ? 0 : lists[i]->count;
    }
    return total;
}

struct catalog_merged *catalog_merge(enum catalog_kind kind, const struct catalog *const *lists,
                                     size_t count)
{
    size_t total = total_models(lists, count);
    struct picks p = {.items = xcalloc(total + 1, sizeof(*p.items))};

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; lists[i] != NULL && j < lists[i]->count; j++) {
            p.items[p.count] = (struct pick){.model = &lists[i]->models[j], .rank = p.count};
            p.count++;
        }
    }
    qsort(p.items, p.count, sizeof(*p.items), by_name);
    drop_doubles(&p, kind);
    qsort(p.items, p.count, sizeof(*p.items), by_time);
    struct catalog_merged *merged =
        xcalloc(1, sizeof(*merged) + p.count * sizeof(struct catalog_model *));

    merged->count = p.count;
    for (size_t i = 0; i < p.count; i++) {
        merged->models[i] = p.items[i].model;
        merged->remote += p.items[i].model->remote ? 1 : 0;
    }
    free(p.items);
    return merged;
}

static enum corral_err write_raw(const struct catalog_model *m, struct buf *out)
{
    return buf_append(out, m->json);
}

/* `id` is as the replica or the client spelled it. */
static enum corral_err write_openai(struct slice id, const struct catalog_model *m, struct buf *out)
{
    struct slice owner = model_namespace(&m->name);
    enum corral_err err = buf_append_str(out, "{\"id\":\"");

    if (err == CE_OK) {
        err = buf_append_json(out, id);
    }
    if (err != CE_OK) {
        return err;
    }
    return buf_printf(out, "\",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"%.*s\"}",
                      m->time_ns / 1000000000, SLICE_ARG(owner));
}

static enum corral_err write_listed(const struct catalog_model *m, struct buf *out)
{
    return write_openai(m->spelled, m, out);
}

static bool may_leave(struct catalog_filter filter, const struct model_name *name)
{
    return filter.remote_allowed != NULL && filter.remote_allowed(name, filter.arg);
}

static bool may_see(struct catalog_filter filter, const struct catalog_model *m)
{
    return (!m->remote || may_leave(filter, &m->name)) &&
           (filter.allowed == NULL || filter.allowed(&m->name, filter.arg));
}

static enum corral_err
write_list(const char *before, const struct catalog_merged *list, struct catalog_filter filter,
           enum corral_err (*entry)(const struct catalog_model *, struct buf *), struct buf *out)
{
    enum corral_err err = buf_append_str(out, before);
    bool first = true;

    for (size_t i = 0; err == CE_OK && i < list->count; i++) {
        const struct catalog_model *m = list->models[i];

        if (!may_see(filter, m)) {
            continue;
        }
        err = first ? CE_OK : buf_append_str(out, ",");
        err = err == CE_OK ? entry(m, out) : err;
        first = false;
    }
    return err;
}

enum corral_err catalog_write_native(const struct catalog_merged *list,
                                     struct catalog_filter filter, struct buf *out)
{
    enum corral_err err = write_list("{\"models\":[", list, filter, write_raw, out);

    return err == CE_OK ? buf_append_str(out, "]}") : err;
}

enum corral_err catalog_write_v1_models(const struct catalog_merged *list,
                                        struct catalog_filter filter, struct buf *out)
{
    enum corral_err err =
        write_list("{\"object\":\"list\",\"data\":[", list, filter, write_listed, out);

    return err == CE_OK ? buf_append_str(out, "]}\n") : err;
}

const struct catalog_model *catalog_merged_find(const struct catalog_merged *list,
                                                const struct model_name *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (model_eq(&list->models[i]->name, name)) {
            return list->models[i];
        }
    }
    return NULL;
}

enum corral_err catalog_write_v1_model(const struct catalog_merged *list, struct slice id,
                                       struct catalog_filter filter, struct buf *out)
{
    struct model_name name;
    enum corral_err err = model_parse(id, &name);

    if (err != CE_OK && err != CE_MODEL_REMOTE) {
        return err;
    }
    if (filter.allowed != NULL && !filter.allowed(&name, filter.arg)) {
        return CE_MODEL_FORBIDDEN;
    }
    const struct catalog_model *found = catalog_merged_find(list, &name);

    bool remote = err == CE_MODEL_REMOTE || (found != NULL && found->remote);

    if (remote && !may_leave(filter, &name)) {
        return CE_MODEL_REMOTE;
    }
    if (found == NULL) {
        return CE_MODEL_UNKNOWN;
    }
    err = write_openai(id, found, out);
    return err == CE_OK ? buf_append_str(out, "\n") : err;
}
