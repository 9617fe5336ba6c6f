/**
 * exchange.h: from a whole request to its handler: mux and gin routing, CORS, Host check, faults
 * that act before a handler; and the ways an exchange ends.
 */
#ifndef SIM_EXCHANGE_H
#define SIM_EXCHANGE_H

#include "sim.h"

enum flavour { FLAVOUR_NATIVE, FLAVOUR_OPENAI, FLAVOUR_ANTHROPIC };

struct route {
    const char *method;
    const char *path; /* one ending in /: takes one more segment as parameter */
    enum flavour flavour;
    void (*handle)(struct conn *c);
};

extern const struct route exchange_routes[];
size_t exchange_route_count(void);

/** Expect: 100-continue on something that is refused without its body: answer and close. */
bool exchange_refuse_early(struct conn *c);
void exchange_keep_raw(struct conn *c, const char *ptr, size_t len);
void exchange_run(struct conn *c);

/** The client left; true when Ollama would leak the connection now. Caller closes it. */
bool exchange_client_gone(struct conn *c);

/** Give back slot and job, if any. */
void exchange_drop_job(struct conn *c);

/**
 * Choose faults now that the model is known and carry out those that replace the answer.
 * @return true when the request is answered, or never will be.
 */
bool exchange_faults(struct conn *c, const char *model);

/** {"error":...} in the shape of a flavour. */
void exchange_error_body(struct sbuf *out, struct sim *s, enum flavour flavour, int status,
                         const char *message);

/** An error from a handler (`late`: it passed through Ollama's translating writer). */
void exchange_error(struct conn *c, int status, const char *message, bool late);

/** The same where Ollama had begun a stream but sent nothing: chunked. */
void exchange_error_stream(struct conn *c, int status, const char *message);

#endif
