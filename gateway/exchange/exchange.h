/**
 * One request and its answer, whichever protocol carried it: the order of steps, their timeouts,
 * and the one way out.
 *
 * The front makes an exchange when a head is complete, feeds it the body, and tells it when the
 * client has left or can take more. The exchange answers through `struct client_ops`; it never
 * learns which codec that is. After finish or cut the front must not use its pointer again; the
 * exchange may live on alone (a cancelled upstream request is drained) and frees itself.
 */
#ifndef CORRAL_EXCHANGE_EXCHANGE_H
#define CORRAL_EXCHANGE_EXCHANGE_H

#include "base/shared.h"
#include "exchange/engine.h"
#include "http/message.h"
#include "net/tls.h"

struct exchange;

enum { ANSWER_MAX_FIELDS = 16 };

struct answer_field {
    struct slice name; /* static */
    struct slice value;
    bool comes_again; /* the same value in most answers: HTTP/2 keeps it in its table */
};

/** Head of an answer, before any codec. Slices live until `respond` returns. */
struct answer {
    unsigned status;
    struct slice content_type;
    struct slice cache_control;
    struct answer_field fields[ANSWER_MAX_FIELDS];
    size_t field_count;
    enum http_framing framing;
    uint64_t length; /* with HTTP_LENGTH */
    bool close;      /* the connection ends after this answer */
};

struct client_ops {
    /** Send body bytes from now on (answers Expect: 100-continue). */
    void (*want_body)(void *client);
    void (*respond)(void *client, const struct answer *answer);
    /** Bytes of the body, framed by the codec. CE_NO_MEMORY: cut. */
    enum corral_err (*write)(void *client, struct slice bytes);
    /** All of the body, which the codec keeps a reference of while the client takes it. */
    enum corral_err (*write_shared)(void *client, struct shared_bytes *body);
    /** What was written shall go now, not at the end of the turn. May end the exchange. */
    void (*flush)(void *client);
    /** The answer is complete. The front forgets the exchange. */
    void (*finish)(void *client);
    /** The answer is broken off so that the client can see it. The front forgets the exchange. */
    void (*cut)(void *client);
    /**
     * This client has shown a credential of that tenant: the first one decides who holds the
     * connection. CE_CONNECTIONS...: there is no room for one more; it closes after the answer.
     */
    enum corral_err (*known)(void *client, uint32_t tenant);
    const char *protocol; /* for the access line: "HTTP/1.1" */
};

struct client_info {
    const struct client_ops *ops;
    void *client; /* borrowed until finish or cut */
    struct net_peer peer;
    bool tls;
    bool trusted; /* comes from a trusted source: many clients may stand behind it */
    const struct tls_names *certificate; /* borrowed during exchange_begin; NULL: none was shown */
};

/**
 * Begin. The head's slices need to live only during the call. May answer and end before returning:
 * then ops->finish or ops->cut has been called.
 *
 * @return the exchange; only to be used while neither finish nor cut was called.
 */
struct exchange *exchange_begin(struct engine *e, const struct client_info *client,
                                const struct http_request *request);

/** Pieces of the request body, after want_body. */
void exchange_body(struct exchange *ex, struct slice bytes);
void exchange_body_end(struct exchange *ex);

/** The body broke a rule of its framing, or did not come in time: the client gets told. */
void exchange_body_failed(struct exchange *ex, enum corral_err why);

/**
 * The client takes nothing at the moment / takes again.
 *
 * @return false: too many answers wait already (CE_ANSWER_MEMORY): the front cuts this one soon.
 */
MUST_USE bool exchange_client_blocked(struct exchange *ex);
void exchange_client_drained(struct exchange *ex);

/**
 * The client has left (FIN, RST, reset stream), has stalled, or its answer waits for it beyond what
 * may wait: CE_CLIENT_GONE, CE_CLIENT_STALLED, CE_ANSWER_MEMORY.
 */
void exchange_client_gone(struct exchange *ex, enum corral_err why);

/**
 * Answer a request that never became an exchange (malformed head). Logged and counted as one.
 * `path` as far as it is known: it chooses the dialect of the answer. `field`: the name of the
 * field that it is about, or empty.
 */
COLD void exchange_refuse(struct engine *e, const struct client_info *client, struct slice path,
                          struct slice field, enum corral_err why);

/** End everything that still runs (drain limit reached, second signal). */
void exchange_abort_all(struct engine *e);

#endif
