/**
 * Inside stream.h only: what one event of an answer says, gathered while it passes.
 */
#ifndef CORRAL_OLLAMA_STREAM_FACTS_H
#define CORRAL_OLLAMA_STREAM_FACTS_H

#include "ollama/stream.h"

enum stream_fact {
    FACT_LAST = 1u << 0,    /* the dialect's last event */
    FACT_ERROR = 1u << 1,   /* a failure told in the stream */
    FACT_OUTPUT = 1u << 2,  /* carries output */
    FACT_CHOICES = 1u << 3, /* has `choices` ... */
    FACT_CHOICE = 1u << 4,  /* ... that are not empty */
    FACT_USAGE = 1u << 5,   /* has a `usage` object */
    FACT_BROKEN = 1u << 6,  /* is no JSON */
    FACT_MEMBER = 1u << 7,  /* has a `usage` member, whatever its value */
};

/** Choose what to look for, by route and framing. */
void stream_facts_init(struct stream *s, bool streaming);

/** An event is over: count it, and forget it. Returns its facts. */
unsigned stream_facts_settle(struct stream *s);

#endif
