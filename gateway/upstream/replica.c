#include "upstream/replica.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

struct replica_catalog *replica_catalog_create(struct catalog *catalog)
{
    struct replica_catalog *c = xcalloc(1, sizeof(*c));

    atomic_init(&c->refs, 1);
    c->catalog = catalog;
    return c;
}

struct replica_catalog *replica_catalog_ref(struct replica_catalog *c)
{
    if (c != NULL) {
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    }
    return c;
}

void replica_catalog_unref(struct replica_catalog *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        catalog_destroy(c->catalog);
        free(c);
    }
}

struct replica_view *replica_view_create(size_t count)
{
    struct replica_view *v = xcalloc(1, sizeof(*v) + count * sizeof(struct replica));

    atomic_init(&v->refs, 1);
    v->count = count;
    return v;
}

void replica_view_unref(struct replica_view *v)
{
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < v->count; i++) {
        replica_catalog_unref(v->replicas[i].tags);
        replica_catalog_unref(v->replicas[i].ps);
        tls_client_unref(v->replicas[i].tls);
    }
    free(v->tags);
    free(v->ps);
    free(v);
}

const struct replica *replica_view_find(const struct replica_view *v, uint32_t id)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->replicas[i].id == id) {
            return &v->replicas[i];
        }
    }
    return NULL;
}

void replica_board_init(struct replica_board *b)
{
    pthread_mutex_init(&b->lock, NULL);
    atomic_init(&b->version, 1);
    b->view = replica_view_create(0);
    b->view->tags = catalog_merge(CATALOG_TAGS, NULL, 0);
    b->view->ps = catalog_merge(CATALOG_PS, NULL, 0);
    b->view->empty_since_ms = clock_mono_ms();
}

void replica_board_finish(struct replica_board *b)
{
    replica_view_unref(b->view);
    b->view = NULL;
    pthread_mutex_destroy(&b->lock);
}

static struct catalog_merged *merge(const struct replica_view *v, enum catalog_kind kind,
                                    bool *out_any)
{
    const struct catalog **lists = xcalloc(v->count + 1, sizeof(struct catalog *));
    size_t count = 0;

    for (size_t i = 0; i < v->count; i++) {
        const struct replica *r = &v->replicas[i];
        const struct replica_catalog *c = kind == CATALOG_PS ? r->ps : r->tags;

        if (r->usable && c != NULL && c->catalog != NULL) {
            lists[count++] = c->catalog;
        }
    }
    struct catalog_merged *merged = catalog_merge(kind, lists, count);

    *out_any = count > 0;
    free(lists);
    return merged;
}

static void find_least_version(struct replica_view *v)
{
    v->version.text[0] = '\0';
    for (size_t i = 0; i < v->count; i++) {
        const struct replica *r = &v->replicas[i];

        if (r->usable && r->version.text[0] != '\0' &&
            (v->version.text[0] == '\0' || version_compare(&r->version, &v->version) < 0)) {
            v->version = r->version;
        }
    }
}

void replica_board_publish(struct replica_board *b, struct replica_view *view)
{
    view->tags = merge(view, CATALOG_TAGS, &view->any_tags);
    view->ps = merge(view, CATALOG_PS, &view->any_ps);
    find_least_version(view);
    pthread_mutex_lock(&b->lock);
    struct replica_view *old = b->view;

    b->view = view;
    pthread_mutex_unlock(&b->lock);
    atomic_fetch_add_explicit(&b->version, 1, memory_order_release);
    replica_view_unref(old);
}

struct replica_view *replica_board_get(struct replica_board *b)
{
    pthread_mutex_lock(&b->lock);
    struct replica_view *v = b->view;

    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&b->lock);
    return v;
}
