#include "exchange/engine.h"

#include "base/word.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rand.h"
#include "exchange/admit.h"
#include "exchange/answer_cache.h"
#include "exchange/body.h"
#include "exchange/impl.h"

enum { FAILURE_WINDOW_MS = 10 * 1000 };

static struct pool_times pool_times_of(const struct snapshot *s)
{
    const struct timeout_settings *t = &s->settings.timeouts;

    return (struct pool_times){.connect_ms = t->connect_ms, .idle_ms = t->replica_idle_s * 1000};
}

struct engine *engine_create(struct house *h, struct worker *w, struct log_source *log)
{
    struct engine *e = xcalloc(1, sizeof(*e));

    e->house = h;
    e->worker = w;
    e->log = log;
    e->snapshot = house_snapshot(h);
    e->pool = pool_create(w, pool_times_of(e->snapshot));
    e->tokens = auth_cache_create();
    e->metrics = metrics_table_create();
    e->answers = answer_cache_create();
    refusal_log_init(&e->refusals, w, log, e->metrics);
    e->refusals.per_window = e->snapshot->settings.log_refusals_per_10s;
    e->view = replica_board_get(&h->board);
    e->view_version = atomic_load_explicit(&h->board.version, memory_order_acquire);
    list_init(&e->exchanges);
    list_init(&e->readers);
    list_init(&e->spares);
    e->spare_room = MEM_SPARES;
    e->id_seed = rand_u64();
    e->scratch = xrealloc(NULL, ENGINE_SCRATCH_BYTES);
    return e;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    assert(list_empty(&e->exchanges));
    refusal_log_finish(&e->refusals);
    answer_cache_destroy(e->answers);
    worker_reap_all(e->worker);
    while (!list_empty(&e->spares)) {
        free(CONTAINER_OF(list_pop_front(&e->spares), struct exchange, of_engine));
    }
    pool_destroy(e->pool);
    auth_cache_destroy(e->tokens);
    metrics_table_destroy(e->metrics);
    replica_view_unref(e->view);
    snapshot_unref(e->snapshot);
    free(e->scratch);
    free(e->by_ticket);
    free(e->granted);
    free(e);
}

bool engine_view_is_old(const struct engine *e)
{
    return atomic_load_explicit(&e->house->board.version, memory_order_acquire) != e->view_version;
}

const struct replica_view *engine_view(struct engine *e)
{
    unsigned version = atomic_load_explicit(&e->house->board.version, memory_order_acquire);

    if (version != e->view_version) {
        struct replica_view *old = e->view;

        e->view = replica_board_get(&e->house->board);
        e->view_version = version;
        replica_view_unref(old);
    }
    return e->view;
}

void engine_map_ticket(struct engine *e, struct ticket_ref ref, struct exchange *ex)
{
    if (ref.index >= e->by_ticket_count) {
        size_t next = (size_t)ref.index + 1 + ref.index / 2;

        e->by_ticket = xrealloc(e->by_ticket, next * sizeof(struct exchange *));
        memset(e->by_ticket + e->by_ticket_count, 0,
               (next - e->by_ticket_count) * sizeof(struct exchange *));
        e->by_ticket_count = next;
    }
    e->by_ticket[ref.index] = ex;
}

/* The exchange may have left the queue meanwhile: then the ledger has the slot back already. */
static void deliver_grant(struct engine *e, struct ticket_ref ref)
{
    struct exchange *ex = ref.index < e->by_ticket_count ? e->by_ticket[ref.index] : NULL;

    if (ex != NULL && ex->ticket.generation == ref.generation) {
        exchange_granted(ex);
    }
}

void engine_notify(void *arg, unsigned worker, struct ticket_ref ref)
{
    struct house *h = arg;
    struct engine *e = h->engines[worker];

    if (pthread_equal(pthread_self(), e->worker->thread)) {
        e->granted = xgrow(e->granted, e->granted_count, &e->granted_capacity, sizeof(*e->granted));
        e->granted[e->granted_count++] = ref;
        return;
    }
    worker_mail(
        e->worker,
        &(struct mail){.kind = MAIL_GRANT, .index = ref.index, .generation = ref.generation});
}

static bool deliver_grants(struct engine *e)
{
    if (e->granted_count == 0) {
        return false;
    }
    do {
        deliver_grant(e, e->granted[e->granted_at++]); /* may add more at the end of the vector */
    } while (e->granted_at < e->granted_count && !worker_share_is_spent(e->worker));
    if (e->granted_at < e->granted_count) {
        return true;
    }
    e->granted_at = 0;
    e->granted_count = 0;
    return false;
}

bool engine_on_turn(struct engine *e)
{
    if (e->worker->last_turn_us > 0) {
        metrics_observe(e->metrics, M_WORKER_TURN, e->worker->last_turn_us);
    }
    bool more_grants = deliver_grants(e);
    bool more_bodies = body_read_some(e);

    return more_grants || more_bodies || e->granted_count > 0; /* a body may cause a grant */
}

void engine_on_mail(struct engine *e, const struct mail *mail)
{
    if (mail->kind == MAIL_GRANT) {
        deliver_grant(e, (struct ticket_ref){mail->index, (uint32_t)mail->generation});
    } else if (mail->kind == MAIL_SNAPSHOT) {
        struct snapshot *old = e->snapshot;

        e->snapshot = house_snapshot(e->house);
        e->refusals.per_window = e->snapshot->settings.log_refusals_per_10s;
        pool_set_times(e->pool, pool_times_of(e->snapshot));
        snapshot_unref(old);
    }
}

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): unique, not secret. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Eight hex digits at once: each half byte in a byte of its own, then the letters further on. */
static void put_hex(char *out, uint32_t value)
{
    uint64_t digits = value;

    digits = (digits | digits << 16) & UINT64_C(0x0000ffff0000ffff);
    digits = (digits | digits << 8) & UINT64_C(0x00ff00ff00ff00ff);
    digits = (digits | digits << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (digits + WORD_ONES * 6) >> 4 & WORD_ONES;
    uint64_t text = digits + WORD_ONES * '0' + letters * ('a' - '0' - 10);

    memcpy(out, &text, sizeof(text));
}

void engine_request_id(struct engine *e, char out[static REQUEST_ID_BYTES])
{
    uint64_t count = ++e->id_count;
    uint64_t first = mix(e->id_seed + count);
    uint64_t second = mix(first ^ e->id_seed);

    memcpy(out, "req_", 4);
    put_hex(out + 4, (uint32_t)first);
    put_hex(out + 12, (uint32_t)(first >> 32));
    put_hex(out + 20, (uint32_t)second);
}

static struct failure_window *window_of(struct engine *e, uint64_t source)
{
    return &e->failures[hash_bytes(slice_of((const char *)&source, sizeof(source))) %
                        ENGINE_SOURCE_SLOTS];
}

bool engine_failed_too_often(struct engine *e, uint64_t source, bool trusted)
{
    const struct failure_window *f = window_of(e, source);
    const struct limit_settings *l = &e->snapshot->settings.limits;

    return f->source == source && e->worker->now_ms - f->since_ms < FAILURE_WINDOW_MS &&
           f->count >= (trusted ? l->trusted_auth_failures_per_10s : l->auth_failures_per_10s);
}

void engine_count_failure(struct engine *e, uint64_t source)
{
    struct failure_window *f = window_of(e, source);

    if (f->source != source || e->worker->now_ms - f->since_ms >= FAILURE_WINDOW_MS) {
        *f = (struct failure_window){source, e->worker->now_ms, 0};
    }
    f->count++;
}
