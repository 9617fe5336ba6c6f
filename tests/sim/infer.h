/**
 * infer.h: handlers of the inference routes: read the request as Ollama does, refuse what it
 * refuses, and hand a job to the scheduler.
 */
#ifndef SIM_INFER_H
#define SIM_INFER_H

#include "gojson.h"
#include "job.h"

void infer_generate(struct conn *c);
void infer_chat(struct conn *c);
void infer_embed(struct conn *c);
void infer_embeddings(struct conn *c);
void infer_oai_chat(struct conn *c);
void infer_oai_completion(struct conn *c);
void infer_oai_embeddings(struct conn *c);
void infer_responses(struct conn *c);
void infer_messages(struct conn *c);

/* What infer.c and embed.c share. */

/** Body as JSON, or NULL after an error was answered. Caller deletes. */
cJSON *infer_read(struct conn *c, const char *struct_name, const char *package,
                  const struct gojson_field *fields);

struct infer_miss {
    int empty_status; /* no model named */
    const char *empty_text;
    bool pull_hint;    /* unknown: "try pulling it first" */
    const char *lacks; /* what an embedding model does not support; NULL = everything goes */
};

/** The model a request names, or NULL after an answer (error or fault) was given. */
struct model *infer_model(struct conn *c, const char *raw, const struct infer_miss *miss);

/** keep_alive and runner options of a native request; false after an error was answered. */
bool infer_native_knobs(struct job *job, const cJSON *body);

/** Bytes of all text below `value`: strings, and text members of content blocks. */
size_t infer_text_bytes(const cJSON *value);

#endif
