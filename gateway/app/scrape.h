/**
 * What GET /metrics answers: the workers' counters and what the ledger and snapshot know now.
 */
#ifndef CORRAL_APP_SCRAPE_H
#define CORRAL_APP_SCRAPE_H

#include "app/app.h"

MUST_USE enum corral_err scrape_write(struct app *a, struct buf *out);

#endif
