/* See refusal_log.h. Called by account.c and front/front.c, on the worker it belongs to. */
#include "exchange/refusal_log.h"

#include "base/rand.h"

static void write_summary(struct refusal_log *r, struct refusal_window *w)
{
    char text[NET_ADDRESS_TEXT_BYTES];
    struct log_line line;

    if (w->count > r->per_window) {
        net_peer_format(&w->peer, text);
        log_begin(&line, r->log, LOG_INFO, "access.sampled");
        log_str(&line, "client", text);
        log_u64(&line, "left_out", w->count - r->per_window);
        log_seconds(&line, "within_s", (r->worker->now_ms - w->since_ms) * 1000);
        log_end(&line);
    }
    w->count = 0;
}

static bool is_over(const struct refusal_log *r, const struct refusal_window *w)
{
    return w->count > 0 && r->worker->now_ms - w->since_ms >= REFUSAL_WINDOW_MS;
}

static void on_deadline(struct deadline *d)
{
    struct refusal_log *r = CONTAINER_OF(d, struct refusal_log, deadline);
    bool any = false;

    for (size_t i = 0; i < REFUSAL_PLACES; i++) {
        if (is_over(r, &r->windows[i])) {
            write_summary(r, &r->windows[i]);
        }
        any = any || r->windows[i].count > 0;
    }
    if (any) {
        deadline_set(&r->worker->wheel, d, r->worker->now_ms, REFUSAL_WINDOW_MS);
    }
}

void refusal_log_init(struct refusal_log *r, struct worker *w, struct log_source *log,
                      struct metrics_table *metrics)
{
    r->worker = w;
    r->log = log;
    r->metrics = metrics;
    deadline_init(&r->deadline, on_deadline);
}

void refusal_log_finish(struct refusal_log *r)
{
    deadline_cancel(&r->deadline);
    for (size_t i = 0; i < REFUSAL_PLACES; i++) {
        if (r->windows[i].count > 0) {
            write_summary(r, &r->windows[i]);
        }
    }
}

bool refusal_log_takes(struct refusal_log *r, const struct net_peer *peer)
{
    uint64_t source = net_peer_source(peer);
    uint64_t hash = hash_bytes(slice_of((const char *)&source, sizeof(source)));
    struct refusal_window *w = &r->windows[hash % REFUSAL_PLACES];

    if (w->count > 0 && (w->source != source || is_over(r, w))) {
        write_summary(r, w);
    }
    if (w->count == 0) {
        *w = (struct refusal_window){*peer, source, r->worker->now_ms, 0};
    }
    if (w->count < UINT32_MAX) {
        w->count++;
    }
    if (w->count <= r->per_window) {
        return true;
    }
    metrics_add(r->metrics, M_LOG_SAMPLED, 0, 0, 0, 1);
    if (list_empty(&r->deadline.link)) {
        deadline_set(&r->worker->wheel, &r->deadline, r->worker->now_ms, REFUSAL_WINDOW_MS);
    }
    return false;
}
