#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/scrape.h"
#include "base/mem.h"
#include "http/authority.h"

static bool explain(const char *what, const char *address)
{
    fprintf(stderr, "corral: cannot listen on %s (%s): %s.%s\n", address, what, strerror(errno),
            errno == EADDRINUSE ? " Another program, or another corral, has this port." : "");
    return false;
}

static bool open_one(const char *what, const char *text, int *out_fd)
{
    struct net_address address;

    *out_fd = -1;
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    if (net_address_parse(slice_str(text), &address) != CE_OK ||
        listener_probe(&address) != CE_OK || listener_open(&address, out_fd) != CE_OK) {
        return explain(what, text);
    }
    return true;
}

static void announce(struct app *a, const struct listener_settings *l, const struct net_address *at)
{
    char text[NET_ADDRESS_TEXT_BYTES];

    net_address_format(at, text);
    log_event(a->log, LOG_INFO, l->tls ? "listening.tls" : "listening.plain", "address", text);
    fprintf(stderr, "corral: listening on %s%s%s\n",
            net_address_is_unix(at) ? ""
            : l->tls                ? "https://"
                                    : "http://",
            text, net_address_is_unix(at) && l->tls ? " (TLS)" : "");
}

static int *fd_of(struct app *a, size_t worker, size_t listener)
{
    return &a->listen_fds[worker * a->listener_count + listener];
}

/* One descriptor a worker. Port 0: the first one's port is everybody's. */
static bool open_listener(struct app *a, const struct listener_settings *l, size_t index)
{
    struct net_address address = l->parsed;

    if (listener_probe(&address) != CE_OK) {
        return explain("listeners", l->address);
    }
    for (size_t w = 0; w < a->house.worker_count; w++) {
        int *fd = fd_of(a, w, index);

        if (listener_open(&address, fd) != CE_OK) {
            return explain("listeners", l->address);
        }
        listener_local_address(*fd, &address);
    }
    announce(a, l, &address);
    return true;
}

/* One socket; each worker has a descriptor of it. */
static bool open_unix(struct app *a, const struct listener_settings *l, size_t index)
{
    if (listener_open_unix(&l->parsed, &a->unix_sockets[index], fd_of(a, 0, index)) != CE_OK) {
        return explain("listeners", l->address);
    }
    for (size_t w = 1; w < a->house.worker_count; w++) {
        *fd_of(a, w, index) = fcntl(*fd_of(a, 0, index), F_DUPFD_CLOEXEC, 0);
        if (*fd_of(a, w, index) < 0) {
            return explain("listeners", l->address);
        }
    }
    announce(a, l, &l->parsed);
    return true;
}

bool ports_open(struct app *a, const struct settings *s)
{
    a->listener_count = s->listener_count;
    a->listen_fds = xcalloc(a->listener_count * a->house.worker_count, sizeof(int));
    a->unix_sockets = xcalloc(a->listener_count, sizeof(*a->unix_sockets));
    memset(a->listen_fds, 0xff, a->listener_count * a->house.worker_count * sizeof(int));
    if (!open_one("health", s->health_address, &a->health_fd) ||
        !open_one("metrics", s->metrics_address, &a->metrics_fd)) {
        return false;
    }
    for (size_t i = 0; i < s->listener_count; i++) {
        const struct listener_settings *l = &s->listeners[i];

        if (!(net_address_is_unix(&l->parsed) ? open_unix : open_listener)(a, l, i)) {
            return false;
        }
    }
    return true;
}

void ports_close(struct app *a)
{
    control_destroy(a->health);
    control_destroy(a->metrics_port);
    for (size_t i = 0; i < a->listener_count * a->house.worker_count; i++) {
        if (a->listen_fds[i] >= 0) {
            close(a->listen_fds[i]);
        }
    }
    for (size_t i = 0; i < a->listener_count; i++) {
        listener_remove_unix(&a->unix_sockets[i]);
    }
    free(a->listen_fds);
    free(a->unix_sockets);
    if (a->health_fd >= 0) {
        close(a->health_fd);
    }
    if (a->metrics_fd >= 0) {
        close(a->metrics_fd);
    }
}

static unsigned answer_healthz(void *arg, struct buf *out)
{
    return buf_append_str(out, "ok\n") == CE_OK ? 200 : 500;
}

/*
 * Whether corral itself can serve: with no replica too, unless the settings say otherwise, since a
 * client that reaches nobody learns less than one that gets 503 with a sentence. In the first
 * seconds replicas are only looked for.
 */
static bool is_ready(struct app *a, size_t usable)
{
    struct snapshot *s = house_snapshot(&a->house);
    bool without = s->settings.ready_without_replicas;
    bool is_looking = a->main_worker->now_ms - a->began_ms < POLL_TIMEOUT_MS;

    snapshot_unref(s);
    return !a->draining && (usable > 0 || (without && !is_looking));
}

static unsigned answer_readyz(void *arg, struct buf *out)
{
    struct app *a = arg;
    struct poller_count count = poller_count(a->poller);
    bool ready = is_ready(a, count.usable);
    enum corral_err err = buf_printf(out, "%s\nreplicas: %zu of %zu reachable\n",
                                     ready         ? "ok"
                                     : a->draining ? "draining"
                                                   : "not ready",
                                     count.usable, count.all);

    return ready && err == CE_OK ? 200 : 503;
}

static unsigned answer_metrics(void *arg, struct buf *out)
{
    return scrape_write(arg, out) == CE_OK ? 200 : 500;
}

static const struct control_route health_routes[] = {
    {"/healthz", "text/plain", answer_healthz},
    {"/readyz", "text/plain", answer_readyz},
};

static const struct control_route metrics_routes[] = {
    {"/metrics", "text/plain; version=0.0.4", answer_metrics},
};

/* Prometheus scrapes pods by their address. */
static bool owns_host(void *arg, struct slice authority)
{
    struct app *a = arg;
    struct http_authority name;
    struct net_prefix literal;

    if (http_authority_parse(authority, &name) != CE_OK) {
        return false;
    }
    if (name.is_ipv6 || net_prefix_parse(name.host, &literal) == CE_OK) {
        return true;
    }
    struct snapshot *s = house_snapshot(&a->house);
    bool owns = snapshot_owns_host(s, authority);

    snapshot_unref(s);
    return owns;
}

/* A kubelet asks by whatever name its pod has, and learns nothing worth guarding. */
static const struct control_site health_site = {health_routes, ARRAY_LEN(health_routes), NULL};
static const struct control_site metrics_site = {metrics_routes, ARRAY_LEN(metrics_routes),
                                                 owns_host};

void ports_serve(struct app *a)
{
    if (a->health_fd >= 0) {
        a->health = control_create(a->main_worker, a->health_fd, &health_site, a);
    }
    if (a->metrics_fd >= 0) {
        a->metrics_port = control_create(a->main_worker, a->metrics_fd, &metrics_site, a);
    }
}
