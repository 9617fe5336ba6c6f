/**
 * When certificates, authorities and revocation lists expire: for the scrape and for a warning in
 * good time.
 */
#ifndef CORRAL_APP_EXPIRY_H
#define CORRAL_APP_EXPIRY_H

#include "config/snapshot.h"
#include "net/worker.h"
#include "obs/log.h"

/** How near an end is. In rising order of worry. */
enum expiry_stage { EXPIRY_FAR, EXPIRY_14_DAYS, EXPIRY_3_DAYS, EXPIRY_1_DAY, EXPIRY_OVER };

enum expiry_stage expiry_stage_of(int64_t at_s, int64_t now_s);

/**
 * Call `visit` for everything in a snapshot that expires.
 *
 * @param label  "0", "1": by place in tls.certificates; "client_ca", "client_crl": the first of
 *               them to expire; "replica-0": what is shown to the replica at that place.
 */
void expiry_each(const struct snapshot *s,
                 void (*visit)(void *arg, const char *label, const char *file, int64_t at_s),
                 void *arg);

struct expiry_watch;
struct house;

/** Look every minute; each stage of each thing is logged once. Borrows everything. */
struct expiry_watch *expiry_watch_create(struct worker *main_worker, struct house *house,
                                         struct log_source *log);
void expiry_watch_destroy(struct expiry_watch *w);

/** Look now: after a reload. */
void expiry_watch_look(struct expiry_watch *w);

#endif
