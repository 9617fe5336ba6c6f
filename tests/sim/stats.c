#include "stats.h"

#include "exchange.h"
#include "sched.h"

static void add(struct sbuf *out, const char *name, uint64_t value)
{
    sbuf_printf(out, "\"%s\":%llu,", name, (unsigned long long)value);
}

static void add_requests(struct sim *s, struct sbuf *out)
{
    uint64_t all = s->stats.requests_other;

    sbuf_str(out, "\"requests\":{");
    for (size_t i = 0; i < exchange_route_count(); i++) {
        const struct route *r = &exchange_routes[i];
        all += s->stats.requests[i];
        if (s->stats.requests[i] > 0) {
            sbuf_printf(out, "\"%s %s\":%llu,", r->method, r->path,
                        (unsigned long long)s->stats.requests[i]);
        }
    }
    sbuf_printf(out, "\"other\":%llu},", (unsigned long long)s->stats.requests_other);
    add(out, "requests_total", all);
}

static void add_models(struct sim *s, struct sbuf *out)
{
    static const char *const states[] = {"cold", "loading", "loaded"};
    bool any = false;

    sbuf_str(out, "\"models\":{");
    for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
        const struct model *m = LIST_ENTRY(i, struct model, link);
        size_t waiting = 0;
        for (const struct list *w = m->waiting.next; w != &m->waiting; w = w->next) {
            waiting++;
        }
        sbuf_str(out, any ? "," : "");
        sbuf_json_str(out, m->name);
        sbuf_printf(out,
                    ":{\"state\":\"%s\",\"running\":%u,\"max_running\":%u,\"waiting\":%zu,"
                    "\"requests\":%llu,\"num_ctx\":%lld}",
                    states[m->state], m->running, m->max_running, waiting,
                    (unsigned long long)m->requests, (long long)m->opts.num_ctx);
        any = true;
    }
    sbuf_str(out, "},");
}

static void add_aborts(const struct stats *st, struct sbuf *out)
{
    uint64_t from = st->aborted > ABORT_MAX ? st->aborted - ABORT_MAX : 0;

    sbuf_str(out, "\"aborts\":[");
    for (uint64_t i = from; i < st->aborted; i++) {
        const struct abort_note *n = &st->aborts[i % ABORT_MAX];
        sbuf_printf(out, "%s{\"after_ms\":%llu,\"phase\":\"%s\",\"route\":\"%s\"}",
                    i > from ? "," : "", (unsigned long long)n->after_ms, n->phase, n->route);
    }
    sbuf_str(out, "],");
}

static void add_faults(struct sim *s, struct sbuf *out)
{
    bool any = false;

    sbuf_str(out, "\"faults_fired\":{");
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (s->faults.fired[i] > 0) {
            sbuf_printf(out, "%s\"%s\":%llu", any ? "," : "", fault_name(i),
                        (unsigned long long)s->faults.fired[i]);
            any = true;
        }
    }
    sbuf_str(out, "},");
}

void stats_print(struct sim *s, struct sbuf *out)
{
    const struct stats *st = &s->stats;

    sbuf_str(out, "{");
    add(out, "connections_open", st->conns_open);
    add(out, "connections_total", st->conns_total);
    add_requests(s, out);
    add(out, "in_flight", st->in_flight);
    add(out, "max_in_flight", st->max_in_flight);
    add(out, "pending", (uint64_t)s->sched.pending_count);
    add(out, "served", st->served);
    add(out, "aborted", st->aborted);
    add_aborts(st, out);
    add(out, "loads", st->loads);
    add(out, "reloads", st->reloads);
    add(out, "unloads", st->unloads);
    add(out, "loads_aborted", st->loads_aborted);
    add(out, "max_loading", st->max_loading);
    add(out, "busy", st->busy);
    add(out, "leaked_descriptors", st->leaked);
    add(out, "wedged_slots", st->wedged);
    add(out, "runner_deaths", st->runner_deaths);
    add(out, "tokens_sent", st->tokens_sent);
    add(out, "chunks_sent", st->chunks_sent);
    add(out, "bytes_received", st->bytes_received);
    add(out, "bytes_sent", st->bytes_sent);
    add(out, "max_late_ms", st->max_late_ms);
    add_models(s, out);
    add_faults(s, out);
    sbuf_str(out, "\"config\":");
    conf_print_json(&s->conf, out);
    sbuf_str(out, "}\n");
}

/* Counters go to zero; what counts something that exists now stays. */
void stats_reset(struct sim *s)
{
    struct stats keep = s->stats;

    s->stats = (struct stats){.conns_open = keep.conns_open,
                              .in_flight = keep.in_flight,
                              .max_in_flight = keep.in_flight,
                              .loading_now = keep.loading_now,
                              .leaked = keep.leaked};
    for (struct list *i = s->sched.models.next; i != &s->sched.models; i = i->next) {
        struct model *m = LIST_ENTRY(i, struct model, link);
        m->max_running = m->running;
        m->requests = 0;
    }
    memset(s->faults.fired, 0, sizeof(s->faults.fired));
}
