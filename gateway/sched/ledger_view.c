/*
 * What a scrape and tests look at. A copy is made under the mutex; what is made of it, text for
 * one, keeps no worker waiting.
 */
#include "sched/ledger_view.h"

#include <stdlib.h>

#include "base/mem.h"
#include "sched/ledger_impl.h"

static size_t count_rows(const struct ledger *l)
{
    size_t count = 0;

    for (size_t i = 0; i < l->model_count; i++) {
        count += l->models[i].row_count;
    }
    return count;
}

static void copy_rows(struct ledger *l, struct ledger_row_view *out)
{
    for (uint32_t i = 0; i < l->model_count; i++) {
        for (size_t n = 0; n < l->models[i].row_count; n++) {
            const struct row *r = &l->models[i].rows[n];

            *out++ = (struct ledger_row_view){
                .replica = r->replica,
                .model = i,
                .slots = r->present ? r->slots : 0,
                .in_flight = r->in_flight,
                .draining = r->draining,
                .loaded = r->loaded,
                .usable = r->present && ledger_replica(l, r->replica)->usable,
            };
        }
    }
}

void ledger_each_row(struct ledger *l, void (*each)(void *arg, const struct ledger_row_view *row),
                     void *arg)
{
    struct ledger_row_view *rows = NULL;
    size_t room = 0;
    size_t count;

    pthread_mutex_lock(&l->lock);
    while ((count = count_rows(l)) > room) { /* memory is asked for without the mutex */
        pthread_mutex_unlock(&l->lock);
        free(rows);
        room = count + count / 4;
        rows = xcalloc(room, sizeof(*rows));
        pthread_mutex_lock(&l->lock);
    }
    if (rows != NULL) {
        copy_rows(l, rows);
    }
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++) {
        each(arg, &rows[i]);
    }
    free(rows);
}

void ledger_each_tenant(struct ledger *l,
                        void (*each)(void *arg, const struct ledger_tenant_view *tenant), void *arg)
{
    struct ledger_tenant_view *tenants = NULL;
    size_t room = 0;
    size_t count = 0;

    pthread_mutex_lock(&l->lock);
    while (l->tenant_count > room) {
        size_t wanted = l->tenant_count;

        pthread_mutex_unlock(&l->lock);
        free(tenants);
        room = wanted;
        tenants = xcalloc(room, sizeof(*tenants));
        pthread_mutex_lock(&l->lock);
    }
    for (uint32_t i = 0; i < l->tenant_count; i++) {
        const struct tenant *t = l->tenants[i];

        if (t != NULL) {
            tenants[count++] = (struct ledger_tenant_view){i, t->running, t->waiting, t->service};
        }
    }
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < count; i++) {
        each(arg, &tenants[i]);
    }
    free(tenants);
}

bool ledger_knows_replica(struct ledger *l, uint32_t replica)
{
    bool known = false;

    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->model_count && !known; i++) {
        known = ledger_find_row(&l->models[i], replica) != NULL;
    }
    pthread_mutex_unlock(&l->lock);
    return known;
}

bool ledger_knows_model(struct ledger *l, uint32_t model)
{
    pthread_mutex_lock(&l->lock);
    bool known =
        model < l->model_count && (l->models[model].row_count > 0 || l->models[model].waiting > 0);
    pthread_mutex_unlock(&l->lock);
    return known;
}
