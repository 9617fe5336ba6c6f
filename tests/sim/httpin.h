/**
 * httpin.h: read HTTP/1.1 requests the way Go's net/http server reads them. Written apart from the
 * gateway's parser on purpose: what both read differently shows up in tests.
 */
#ifndef SIM_HTTPIN_H
#define SIM_HTTPIN_H

#include "sim.h"

/** Look at c->in; start an exchange when a whole request is there, refuse what Go refuses. */
void httpin_feed(struct conn *c);

#endif
