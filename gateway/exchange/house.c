#include "exchange/house.h"

struct snapshot *house_snapshot(struct house *h)
{
    pthread_mutex_lock(&h->snapshot_lock);
    struct snapshot *s = snapshot_ref(h->snapshot);

    pthread_mutex_unlock(&h->snapshot_lock);
    return s;
}

void house_set_snapshot(struct house *h, struct snapshot *s)
{
    pthread_mutex_lock(&h->snapshot_lock);
    struct snapshot *old = h->snapshot;

    h->snapshot = s;
    pthread_mutex_unlock(&h->snapshot_lock);
    if (old == NULL) {
        return; /* the first one: the workers are made with it */
    }
    for (size_t i = 0; i < h->worker_count; i++) {
        worker_mail(h->workers[i], &(struct mail){.kind = MAIL_SNAPSHOT});
    }
    snapshot_unref(old);
}
