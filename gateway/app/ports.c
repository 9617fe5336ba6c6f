#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/scrape.h"
#include "base/mem.h"

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

/* One descriptor a worker. Port 0: the first one's port is everybody's. */
static bool open_listener(struct app *a, const struct listener_settings *l, size_t index)
{
    struct net_address address = l->parsed;
    char text[NET_ADDRESS_TEXT_BYTES];

    if (listener_probe(&address) != CE_OK) {
        return explain("listeners", l->address);
    }
    for (size_t w = 0; w < a->house.worker_count; w++) {
        int *fd = &a->listen_fds[w * a->listener_count + index];

        if (listener_open(&address, fd) != CE_OK) {
            return explain("listeners", l->address);
        }
        listener_local_address(*fd, &address);
    }
    net_address_format(&address, text);
    log_event(a->log, LOG_INFO, l->tls ? "listening.tls" : "listening.plain", "address", text);
    fprintf(stderr, "corral: listening on %s://%s\n", l->tls ? "https" : "http", text);
    return true;
}

bool ports_open(struct app *a, const struct settings *s)
{
    a->listener_count = s->listener_count;
    a->listen_fds = xcalloc(a->listener_count * a->house.worker_count, sizeof(int));
    memset(a->listen_fds, 0xff, a->listener_count * a->house.worker_count * sizeof(int));
    if (!open_one("health", s->health_address, &a->health_fd) ||
        !open_one("metrics", s->metrics_address, &a->metrics_fd)) {
        return false;
    }
    for (size_t i = 0; i < s->listener_count; i++) {
        if (!open_listener(a, &s->listeners[i], i)) {
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
    free(a->listen_fds);
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

/* Ready: not draining and some replica answers. Without one every request would be a 503. */
static unsigned answer_readyz(void *arg, struct buf *out)
{
    struct app *a = arg;
    const char *why = a->draining                     ? "draining\n"
                      : !poller_any_usable(a->poller) ? "no replica is reachable\n"
                                                      : "ok\n";

    return buf_append_str(out, why) == CE_OK && strcmp(why, "ok\n") == 0 ? 200 : 503;
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

void ports_serve(struct app *a)
{
    if (a->health_fd >= 0) {
        a->health = control_create(a->main_worker, a->health_fd, health_routes,
                                   ARRAY_LEN(health_routes), a);
    }
    if (a->metrics_fd >= 0) {
        a->metrics_port = control_create(a->main_worker, a->metrics_fd, metrics_routes,
                                         ARRAY_LEN(metrics_routes), a);
    }
}
