/*
 * Connections of which no request comes: counted, and a line for some of them
 * (exchange/refusal_log). Called by all files of front/ that refuse or lose one.
 */
#include <unistd.h>

#include "front/impl.h"

void front_note(struct front *f, const char *event, const struct net_peer *peer,
                enum corral_err why, const char *detail)
{
    char text[NET_ADDRESS_TEXT_BYTES];
    struct log_line line;

    if (!refusal_log_takes(&f->engine->refusals, peer)) {
        return;
    }
    net_peer_format(peer, text);
    log_begin(&line, f->engine->log, LOG_INFO, event);
    line.minor = true;
    log_str(&line, "client", text);
    log_str(&line, "reason", err_reason(why));
    if (detail != NULL) {
        log_str(&line, "detail", detail);
    }
    log_end(&line);
}

static const char *advice(enum corral_err why, bool trusted)
{
    if (why == CE_CONNECTIONS) {
        return "limits.connections is reached";
    }
    if (why != CE_CONNECTIONS_ADDRESS) {
        return NULL;
    }
    return trusted ? "limits.connections_per_trusted_address is reached"
                   : "limits.connections_per_address is reached; if many clients stand behind this "
                     "address, name it in the listener's trusted_sources";
}

void front_refuse(struct front *f, int fd, enum corral_err why, const struct net_address *peer,
                  bool trusted)
{
    struct net_peer who = net_peer_of(peer);
    bool is_full = why == CE_CONNECTIONS || why == CE_CONNECTIONS_ADDRESS;

    close(fd);
    if (why != CE_CLIENT_GONE) {
        metrics_add(f->engine->metrics, M_CONNECTIONS_REFUSED, why, 0, 0, 1);
        front_note(f, is_full ? "connection.refused" : "proxy.refused", &who, why,
                   advice(why, trusted));
    }
}
