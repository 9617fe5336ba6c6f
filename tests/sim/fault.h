/**
 * fault.h: misbehaviour on request. A fault names itself, says how often it fires (count, skip,
 * probability) and for whom (route, model). A request takes along up to four faults when it
 * arrives; the code that meets the place of a fault asks its plan.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "list.h"
#include "sbuf.h"

enum fault_id {
    FAULT_STATUS,
    FAULT_BUSY,
    FAULT_RUNNER_DEATH,
    FAULT_ERROR_LINE,
    FAULT_NO_LAST_EVENT,
    FAULT_CUT,
    FAULT_CUT_BEFORE_HEAD,
    FAULT_CUT_MID_HEAD,
    FAULT_CUT_MID_CHUNK,
    FAULT_HANG_BEFORE_HEAD,
    FAULT_HANG_MID_STREAM,
    FAULT_SILENCE,
    FAULT_EARLY_ABORT_LEAK,
    FAULT_SLOT_WEDGE,
    FAULT_GARBAGE_STATUS,
    FAULT_CL_AND_TE,
    FAULT_BAD_CHUNK,
    FAULT_HUGE_HEAD,
    FAULT_FLOOD_1XX,
    FAULT_SWITCH_101,
    FAULT_REDIRECT,
    FAULT_GZIP_HEADER,
    FAULT_EXTRA_BYTES,
    FAULT_IDLE_BYTES,
    FAULT_EXTRA_HEADERS,
    FAULT_ZERO_COUNTS,
    FAULT_OVERRUN,
    FAULT_GIANT_LINE,
    FAULT_BATCH,
    FAULT_DRIBBLE,
    FAULT_CLOSE_AFTER,
    FAULT_BLANK_LINE,
    FAULT_COUNT
};

struct fault {
    struct list link; /* faults.list */
    unsigned refs;
    enum fault_id id;
    int64_t count; /* times left; negative = for ever */
    int64_t skip;  /* matches to let pass first */
    double probability;
    char *route;  /* owned; path, a trailing * matches any rest; NULL = every route but GET */
    char *model;  /* owned; canonical name; NULL = any */
    char *text;   /* owned; body, message or target */
    char *header; /* owned; raw lines for the head, each with CRLF */
    int64_t after_chunks;
    int64_t after_bytes; /* -1 = not set */
    int64_t ms;
    int64_t status;
    int64_t n;
    int64_t window_ms;
    bool rst;
    bool alone;
    bool in_chunk;
    uint64_t fired;
};

struct faults {
    struct list list; /* fault.link */
    uint64_t fired[FAULT_COUNT];
    uint64_t dice;
};

#define PLAN_MAX 4u

struct plan {
    struct fault *fault[PLAN_MAX]; /* counted references */
    unsigned count;
};

void faults_init(struct faults *f, uint64_t seed);
void faults_clear(struct faults *f);

/** Append every element of `array`; false with a sentence in `error` when one is not understood. */
bool faults_add_json(struct faults *f, const cJSON *array, char *error, size_t error_size);
const char *fault_name(unsigned id);

/** Choose the faults for a request; counts them as fired. `model` may be empty. */
void plan_fill(struct plan *p, struct faults *f, const char *method, const char *path,
               const char *model);
const struct fault *plan_get(const struct plan *p, enum fault_id id);
void plan_finish(struct plan *p);

#endif
