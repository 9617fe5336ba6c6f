#include "upstream/poller.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "upstream/call.h"

/* One address of one configured replica. */
struct endpoint {
    struct list of_poller; /* poller.endpoints */
    struct poller *poller; /* borrowed */
    uint32_t source;       /* index of the settings line */
    struct replica state;  /* id, slots, address, host, usable, tags, ps */
    struct deadline next_poll;
    struct deadline timeout;
    struct call *call; /* of the poll under way */
    enum catalog_kind kind;
    unsigned status;
    struct buf body;
    uint64_t tags_at_ms; /* last good /api/tags; 0: never */
    uint64_t hash[2];    /* of the last answer, by kind */
    unsigned failures;
    bool suspected; /* poll again as soon as the one under way is over */
    bool seen;      /* during a reconfiguration */
};

struct source {
    struct replica_settings settings; /* host owned */
    struct deadline resolve;
    struct poller *poller;
    uint32_t index;
    bool literal;
};

struct poller {
    struct worker *worker;
    struct replica_board *board;
    struct intern *ids;
    struct log_source *log;
    struct pool *pool;
    struct resolver *resolver; /* owned; started with the first name */
    uint32_t resolve_mail;
    struct poller_hooks hooks;
    struct list endpoints;  /* endpoint.of_poller */
    struct source *sources; /* owned */
    size_t source_count;
    uint64_t had_some_ms; /* when there last was an endpoint, or when this began */
};

static void start_poll(struct endpoint *e, enum call_origin origin);

static void publish(struct poller *p)
{
    size_t count = 0;

    for (struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        count++;
    }
    struct replica_view *v = replica_view_create(count);
    size_t i = 0;

    if (count > 0) {
        p->had_some_ms = p->worker->now_ms;
    }
    v->empty_since_ms = p->had_some_ms;

    for (struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        const struct endpoint *e = CONTAINER_OF(at, struct endpoint, of_poller);

        v->replicas[i] = e->state;
        replica_catalog_ref(v->replicas[i].tags);
        replica_catalog_ref(v->replicas[i].ps);
        tls_client_ref(v->replicas[i].tls);
        i++;
    }
    replica_board_publish(p->board, v);
}

static void announce(struct endpoint *e)
{
    publish(e->poller);
    e->poller->hooks.on_change(e->poller->hooks.arg, &e->state, false);
}

/* `detail`: what TLS says; may be NULL. */
static void log_replica(struct endpoint *e, enum log_level level, const char *event,
                        const char *reason, const char *detail)
{
    struct log_line line;

    log_begin(&line, e->poller->log, level, event);
    log_text(&line, "replica", intern_name(e->poller->ids, e->state.id));
    if (reason != NULL) {
        log_str(&line, "reason", reason);
    }
    if (detail != NULL) {
        log_str(&line, "detail", detail);
    }
    log_end(&line);
}

static void schedule(struct endpoint *e, uint64_t delay_ms)
{
    deadline_set(&e->poller->worker->wheel, &e->next_poll, e->poller->worker->now_ms, delay_ms);
}

static void poll_over(struct endpoint *e)
{
    e->call = NULL;
    deadline_cancel(&e->timeout);
    buf_finish(&e->body);
    schedule(e, e->suspected ? 0 : e->state.usable ? POLL_PS_MS : POLL_LOST_MS);
    e->suspected = false;
}

/* What was loaded is not any more, if it was restarted: that is asked before it is usable again. */
static void lose(struct endpoint *e)
{
    e->state.usable = false;
    e->state.lost_ms = e->poller->worker->now_ms;
    replica_catalog_unref(e->state.ps);
    e->state.ps = NULL;
    e->hash[CATALOG_PS] = 0;
}

static void poll_failed_for(struct endpoint *e, enum corral_err why, const char *detail)
{
    bool refused = why == CE_UPSTREAM_CONNECT || why == CE_UPSTREAM_TLS;
    bool was_out = e->failures >= POLL_FAILURES_MAX;

    e->failures = refused ? POLL_FAILURES_MAX : e->failures + 1;
    if (e->failures >= POLL_FAILURES_MAX && e->state.usable) {
        lose(e);
        e->tags_at_ms = 0;
        log_replica(e, LOG_WARN, "replica.down", err_reason(why), detail);
        announce(e);
    } else if (!was_out && e->failures >= POLL_FAILURES_MAX && e->tags_at_ms == 0) {
        log_replica(e, LOG_WARN, "replica.unreachable", err_reason(why), detail);
    }
    poll_over(e);
}

static void poll_failed(struct endpoint *e, enum corral_err why)
{
    poll_failed_for(e, why, NULL);
}

static void replace_catalog(struct endpoint *e, struct catalog *fresh)
{
    struct replica_catalog **slot = e->kind == CATALOG_TAGS ? &e->state.tags : &e->state.ps;

    replica_catalog_unref(*slot);
    *slot = replica_catalog_create(fresh);
}

/* A good answer. Unchanged bytes publish nothing. */
static void poll_answered(struct endpoint *e)
{
    struct slice text = buf_slice(&e->body);
    uint64_t hash = hash_bytes(text);
    bool changed = hash != e->hash[e->kind] || !e->state.usable;

    if (changed) {
        struct catalog *fresh;

        if (catalog_parse(e->kind, text, &fresh) != CE_OK) {
            poll_failed(e, CE_UPSTREAM_NONSENSE);
            return;
        }
        replace_catalog(e, fresh);
        e->hash[e->kind] = hash;
    }
    e->failures = 0;
    if (e->kind == CATALOG_TAGS) {
        e->tags_at_ms = e->poller->worker->now_ms;
    }
    bool ready = e->state.tags != NULL && e->state.ps != NULL;

    if (ready && !e->state.usable) {
        e->state.usable = true;
        log_replica(e, LOG_INFO, "replica.up", NULL, NULL);
    }
    if (changed && ready) {
        announce(e);
    }
    bool first = !ready || (e->kind == CATALOG_TAGS && changed);

    poll_over(e);
    if (first) {
        schedule(e, 0);
    }
}

static void on_poll_head(struct call *c, const struct http_response_head *head)
{
    struct endpoint *e = call_owner(c);

    e->status = head->status;
}

static void on_poll_body(struct call *c, struct slice bytes)
{
    struct endpoint *e = call_owner(c);

    if (buf_append(&e->body, bytes) != CE_OK) {
        call_drop(c);
        poll_failed(e, CE_TOO_LARGE);
    }
}

static void on_poll_end(struct call *c)
{
    struct endpoint *e = call_owner(c);

    if (e->status == 200) {
        poll_answered(e);
    } else {
        poll_failed(e, CE_UPSTREAM_NONSENSE);
    }
}

/* A kept connection that has grown old says nothing about the replica: it is asked on another. */
static void on_poll_fail(struct call *c, enum corral_err why)
{
    struct endpoint *e = call_owner(c);

    if (call_staleness(c) == CALL_NOT_STALE) {
        poll_failed_for(e, why, call_fault(c));
        return;
    }
    deadline_cancel(&e->timeout);
    buf_finish(&e->body);
    start_poll(e, CALL_FRESH);
}

static const struct call_events poll_events = {
    .on_head = on_poll_head,
    .on_body = on_poll_body,
    .on_end = on_poll_end,
    .on_fail = on_poll_fail,
};

static void on_poll_timeout(struct deadline *d)
{
    struct endpoint *e = CONTAINER_OF(d, struct endpoint, timeout);

    call_drop(e->call);
    poll_failed(e, CE_UPSTREAM_FIRST_BYTE);
}

static void start_poll(struct endpoint *e, enum call_origin origin)
{
    uint64_t now_ms = e->poller->worker->now_ms;
    struct buf head = buf_make(1024);

    e->kind =
        e->tags_at_ms == 0 || now_ms - e->tags_at_ms >= POLL_TAGS_MS ? CATALOG_TAGS : CATALOG_PS;
    e->body = buf_make(CATALOG_BYTES_MAX);
    e->call = call_start(e->poller->pool, &e->state, origin, &poll_events, e);
    if (e->call == NULL) {
        poll_failed(e, CE_UPSTREAM_CONNECT);
        return;
    }
    deadline_set(&e->poller->worker->wheel, &e->timeout, now_ms, POLL_TIMEOUT_MS);
    enum corral_err err =
        buf_printf(&head, "GET /api/%s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n\r\n",
                   e->kind == CATALOG_TAGS ? "tags" : "ps", e->state.host);
    if (err == CE_OK) {
        err = call_write(e->call, buf_slice(&head));
    }
    buf_finish(&head);
    if (err != CE_OK) {
        call_drop(e->call);
        poll_failed(e, err);
        return;
    }
    call_request_done(e->call);
}

static void on_next_poll(struct deadline *d)
{
    start_poll(CONTAINER_OF(d, struct endpoint, next_poll), CALL_KEPT);
}

static struct endpoint *find_endpoint(struct poller *p, const struct net_address *a)
{
    for (struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        struct endpoint *e = CONTAINER_OF(at, struct endpoint, of_poller);

        if (e->state.address.len == a->len &&
            memcmp(&e->state.address.storage, &a->storage, a->len) == 0) {
            return e;
        }
    }
    return NULL;
}

static void name_host(struct replica *r, const struct replica_settings *s)
{
    bool is_ipv6 = strchr(s->host, ':') != NULL;

    if (net_address_is_unix(&r->address)) {
        snprintf(r->host, sizeof(r->host), "localhost");
    } else if (net_address_is_loopback(&r->address)) {
        snprintf(r->host, sizeof(r->host), "localhost:%u", (unsigned)s->port);
    } else {
        snprintf(r->host, sizeof(r->host), is_ipv6 ? "[%.255s]:%u" : "%.255s:%u", s->host,
                 (unsigned)s->port);
    }
}

static void add_endpoint(struct poller *p, uint32_t source, const struct net_address *a)
{
    const struct replica_settings *s = &p->sources[source].settings;
    struct endpoint *e = find_endpoint(p, a);
    char label[NET_ADDRESS_TEXT_BYTES];

    if (e == NULL) {
        e = xcalloc(1, sizeof(*e));
        e->poller = p;
        e->state.address = *a;
        e->state.lost_ms = p->worker->now_ms;
        net_address_format(a, label);
        e->state.id = intern_add(p->ids, slice_str(label));
        deadline_init(&e->next_poll, on_next_poll);
        deadline_init(&e->timeout, on_poll_timeout);
        list_push_back(&p->endpoints, &e->of_poller);
        schedule(e, 0);
    }
    bool changed = (e->state.slots != s->slots || e->state.tls != s->client) && e->state.usable;
    struct tls_client *old = e->state.tls;

    e->state.tls = tls_client_ref(s->client);
    tls_client_unref(old);
    e->source = source;
    e->seen = true;
    e->state.slots = s->slots;
    name_host(&e->state, s);
    if (changed) {
        announce(e);
    }
}

static void remove_endpoint(struct endpoint *e)
{
    struct poller *p = e->poller;

    list_unlink(&e->of_poller);
    deadline_cancel(&e->next_poll);
    deadline_cancel(&e->timeout);
    call_drop(e->call);
    e->state.usable = false;
    p->hooks.on_change(p->hooks.arg, &e->state, true);
    buf_finish(&e->body);
    replica_catalog_unref(e->state.tags);
    replica_catalog_unref(e->state.ps);
    tls_client_unref(e->state.tls);
    free(e);
}

static void remove_unseen(struct poller *p, uint32_t source, bool all_sources)
{
    LIST_EACH(at, next, &p->endpoints)
    {
        struct endpoint *e = CONTAINER_OF(at, struct endpoint, of_poller);

        if (!e->seen && (all_sources || e->source == source)) {
            remove_endpoint(e);
        }
    }
    publish(p);
}

static void clear_seen(struct poller *p)
{
    for (struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        CONTAINER_OF(at, struct endpoint, of_poller)->seen = false;
    }
}

static void ask_resolver(struct source *s)
{
    struct poller *p = s->poller;

    if (p->resolver == NULL) {
        p->resolver = resolver_create(p->worker, p->resolve_mail);
    }
    resolver_ask(p->resolver, s->index, s->settings.host, s->settings.port);
    deadline_set(&p->worker->wheel, &s->resolve, p->worker->now_ms, POLL_RESOLVE_MS);
}

static void on_resolve_due(struct deadline *d)
{
    ask_resolver(CONTAINER_OF(d, struct source, resolve));
}

void poller_on_resolved(struct poller *p, uint32_t question)
{
    struct net_address found[RESOLVE_MAX_ADDRESSES];

    if (question >= p->source_count) {
        return;
    }
    size_t count = resolver_take(p->resolver, question, found);

    if (count == 0) {
        log_event(p->log, LOG_WARN, "replica.name_unresolved", "host",
                  p->sources[question].settings.host);
        deadline_set(&p->worker->wheel, &p->sources[question].resolve, p->worker->now_ms,
                     POLL_PS_MS * 2);
        return; /* the last good set stays */
    }
    clear_seen(p);
    for (size_t i = 0; i < count; i++) {
        add_endpoint(p, question, &found[i]);
    }
    remove_unseen(p, question, false);
}

static bool literal_address(const struct replica_settings *s, struct net_address *out)
{
    char text[REPLICA_HOST_BYTES];
    bool is_ipv6 = strchr(s->host, ':') != NULL;

    if (net_address_parse_unix(slice_str(s->host), out) == CE_OK) {
        return true;
    }
    snprintf(text, sizeof(text), is_ipv6 ? "[%.255s]:%u" : "%.255s:%u", s->host, (unsigned)s->port);
    return net_address_parse(slice_str(text), out) == CE_OK;
}

static void drop_sources(struct source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        deadline_cancel(&sources[i].resolve);
        free(sources[i].settings.host);
        tls_client_unref(sources[i].settings.client);
    }
    free(sources);
}

/* What a name resolved to stays until the resolver says otherwise: a reload loses nobody. */
static void keep_resolved(struct poller *p, uint32_t index, const struct source *old,
                          size_t old_count)
{
    const struct replica_settings *s = &p->sources[index].settings;

    LIST_EACH(at, next, &p->endpoints)
    {
        struct endpoint *e = CONTAINER_OF(at, struct endpoint, of_poller);

        if (!e->seen && e->source < old_count && old[e->source].settings.port == s->port &&
            strcmp(old[e->source].settings.host, s->host) == 0) {
            add_endpoint(p, index, &e->state.address);
        }
    }
}

void poller_configure(struct poller *p, const struct replica_settings *settings, size_t count)
{
    struct source *old = p->sources;
    size_t old_count = p->source_count;

    clear_seen(p);
    p->sources = xcalloc(count == 0 ? 1 : count, sizeof(*p->sources));
    p->source_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct source *s = &p->sources[i];
        struct net_address address;

        *s = (struct source){.poller = p, .index = i};
        s->settings = (struct replica_settings){
            .host = xstrdup(settings[i].host),
            .port = settings[i].port,
            .slots = settings[i].slots,
            .client = tls_client_ref(settings[i].client),
        };
        deadline_init(&s->resolve, on_resolve_due);
        if (literal_address(&s->settings, &address)) {
            add_endpoint(p, i, &address);
        } else {
            keep_resolved(p, i, old, old_count);
            ask_resolver(s);
        }
    }
    drop_sources(old, old_count);
    remove_unseen(p, 0, true);
}

void poller_tell_remote(struct poller *p)
{
    LIST_EACH(link, next, &p->endpoints)
    {
        struct endpoint *e = CONTAINER_OF(link, struct endpoint, of_poller);

        if (e->state.tags != NULL && e->state.tags->catalog->remote > 0) {
            p->hooks.on_change(p->hooks.arg, &e->state, false);
        }
    }
}

static void suspect_endpoint(struct endpoint *e, bool unreachable)
{
    if (unreachable && e->state.usable) {
        lose(e);
        log_replica(e, LOG_WARN, "replica.down", err_reason(CE_UPSTREAM_CONNECT), NULL);
        announce(e);
    }
    if (e->call != NULL) {
        e->suspected = true;
        return;
    }
    e->tags_at_ms = 0;
    schedule(e, 0);
}

void poller_suspect(struct poller *p, uint32_t replica_id, bool unreachable)
{
    LIST_EACH(at, next, &p->endpoints)
    {
        struct endpoint *e = CONTAINER_OF(at, struct endpoint, of_poller);

        if (e->state.id == replica_id) {
            suspect_endpoint(e, unreachable);
        }
    }
}

bool poller_any_usable(const struct poller *p)
{
    for (const struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        if (CONTAINER_OF(at, struct endpoint, of_poller)->state.usable) {
            return true;
        }
    }
    return false;
}

struct poller *poller_create(struct worker *main_worker, struct replica_board *board,
                             struct intern *ids, struct log_source *log, uint32_t resolve_mail,
                             const struct poller_hooks *hooks)
{
    const struct pool_times times = {.connect_ms = 2000, .idle_ms = 60 * 1000};
    struct poller *p = xcalloc(1, sizeof(*p));

    p->worker = main_worker;
    p->board = board;
    p->ids = ids;
    p->log = log;
    p->resolve_mail = resolve_mail;
    p->hooks = *hooks;
    p->had_some_ms = clock_mono_ms();
    p->pool = pool_create(main_worker, times);
    list_init(&p->endpoints);
    return p;
}

void poller_destroy(struct poller *p)
{
    if (p == NULL) {
        return;
    }
    LIST_EACH(at, next, &p->endpoints)
    {
        remove_endpoint(CONTAINER_OF(at, struct endpoint, of_poller));
    }
    drop_sources(p->sources, p->source_count);
    resolver_destroy(p->resolver);
    pool_destroy(p->pool);
    free(p);
}
