/**
 * dialects.h: how the answers of each inference route look on the wire.
 */
#ifndef SIM_DIALECTS_H
#define SIM_DIALECTS_H

#include "job.h"

extern const struct dialect dialect_generate;
extern const struct dialect dialect_chat;
extern const struct dialect dialect_oai_chat;
extern const struct dialect dialect_oai_completion;
extern const struct dialect dialect_responses;
extern const struct dialect dialect_messages;

/** Answers of a native load or unload request. */
void native_done(struct sbuf *out, struct sim *s, const char *name, bool chat, const char *reason);

#endif
