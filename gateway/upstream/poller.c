#include "upstream/poller.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "upstream/endpoint.h"

struct source {
    struct replica_settings settings; /* host owned */
    struct deadline resolve;
    struct poller *poller;
    uint32_t index;
    bool literal;
};

struct poller {
    struct endpoint_watch watch; /* its pool is owned */
    struct replica_board *board;
    struct resolver *resolver; /* owned; started with the first name */
    uint32_t resolve_mail;
    struct poller_hooks hooks;
    struct list endpoints;  /* endpoint.of_poller */
    struct source *sources; /* owned */
    size_t source_count;
    uint64_t had_some_ms; /* when there last was an endpoint, or when this began */
};

static void publish(struct poller *p)
{
    size_t count = 0;

    for (struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        count++;
    }
    struct replica_view *v = replica_view_create(count);
    size_t i = 0;

    if (count > 0) {
        p->had_some_ms = p->watch.worker->now_ms;
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

static void on_endpoint_change(struct endpoint *e)
{
    struct poller *p = e->watch->owner;

    publish(p);
    p->hooks.on_change(p->hooks.arg, &e->state, false);
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

/* Whether no replica of now has the number, and nobody remembers the one that had it. */
static bool is_free_number(void *arg, uint32_t id)
{
    const struct poller *p = arg;

    for (const struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        if (CONTAINER_OF(at, const struct endpoint, of_poller)->state.id == id) {
            return false;
        }
    }
    return !p->hooks.knows(p->hooks.arg, id);
}

static void add_endpoint(struct poller *p, uint32_t source, const struct net_address *a)
{
    const struct replica_settings *s = &p->sources[source].settings;
    struct endpoint *e = find_endpoint(p, a);
    char label[NET_ADDRESS_TEXT_BYTES];

    if (e == NULL) {
        net_address_format(a, label);
        uint32_t id = intern_add_or_reuse(p->watch.ids, slice_str(label), is_free_number, p);

        if (id == INTERN_OTHER) { /* two with one number would take each other's slots */
            log_event(p->watch.log, LOG_ERROR, "replica.too_many", "replica", label);
            return;
        }
        e = xcalloc(1, sizeof(*e));
        e->state.id = id;
        e->watch = &p->watch;
        e->state.address = *a;
        e->state.lost_ms = p->watch.worker->now_ms;
        list_push_back(&p->endpoints, &e->of_poller);
        endpoint_start(e);
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
        on_endpoint_change(e);
    }
}

static void remove_endpoint(struct endpoint *e)
{
    struct poller *p = e->watch->owner;

    list_unlink(&e->of_poller);
    endpoint_stop(e);
    e->state.usable = false;
    p->hooks.on_change(p->hooks.arg, &e->state, true);
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
        p->resolver = resolver_create(p->watch.worker, p->resolve_mail);
    }
    resolver_ask(p->resolver, s->index, s->settings.host, s->settings.port);
    deadline_set(&p->watch.worker->wheel, &s->resolve, p->watch.worker->now_ms, POLL_RESOLVE_MS);
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
        log_event(p->watch.log, LOG_WARN, "replica.name_unresolved", "host",
                  p->sources[question].settings.host);
        deadline_set(&p->watch.worker->wheel, &p->sources[question].resolve,
                     p->watch.worker->now_ms, POLL_PS_MS * 2);
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

void poller_configure(struct poller *p, const struct replica_settings *settings, size_t count,
                      uint64_t connect_ms)
{
    struct source *old = p->sources;
    size_t old_count = p->source_count;

    pool_set_times(p->watch.pool,
                   (struct pool_times){.connect_ms = connect_ms, .idle_ms = POLL_IDLE_MS});
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

void poller_suspect(struct poller *p, uint32_t replica_id, bool unreachable)
{
    LIST_EACH(at, next, &p->endpoints)
    {
        struct endpoint *e = CONTAINER_OF(at, struct endpoint, of_poller);

        if (e->state.id == replica_id) {
            endpoint_suspect(e, unreachable);
        }
    }
}

struct poller_count poller_count(const struct poller *p)
{
    struct poller_count count = {0, 0};

    for (const struct list *at = p->endpoints.next; at != &p->endpoints; at = at->next) {
        count.all++;
        count.usable += CONTAINER_OF(at, struct endpoint, of_poller)->state.usable ? 1 : 0;
    }
    return count;
}

struct poller *poller_create(struct worker *main_worker, struct replica_board *board,
                             struct intern *ids, struct log_source *log, uint32_t resolve_mail,
                             const struct poller_hooks *hooks)
{
    struct poller *p = xcalloc(1, sizeof(*p));

    p->watch = (struct endpoint_watch){
        .worker = main_worker,
        .ids = ids,
        .log = log,
        .pool = pool_create(main_worker, (struct pool_times){.idle_ms = POLL_IDLE_MS}),
        .owner = p,
        .on_change = on_endpoint_change,
    };
    p->board = board;
    p->resolve_mail = resolve_mail;
    p->hooks = *hooks;
    p->had_some_ms = clock_mono_ms();
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
    pool_destroy(p->watch.pool);
    free(p);
}
