/**
 * sched.h: Ollama's scheduler as it behaves: a bounded queue of requests that need a load, served
 * one by one; requests for a loaded model never meet that queue but wait for a slot without limit.
 */
#ifndef SIM_SCHED_H
#define SIM_SCHED_H

#include "sim.h"

struct runner_opts {
    int64_t num_ctx;
    int64_t num_batch;
    int64_t num_gpu;
    int64_t main_gpu;
    int64_t use_mmap;
    int64_t num_thread;
};

enum model_state { MODEL_COLD, MODEL_LOADING, MODEL_LOADED };

struct model {
    struct list link; /* sched.models */
    struct sim *sim;
    char name[SIM_NAME_BYTES];  /* canonical, with tag */
    char shown[SIM_NAME_BYTES]; /* as it was made: what lists show */
    char params[24];
    bool embedding;
    bool gone; /* no longer in the list of models */
    enum model_state state;
    bool listed; /* in /api/ps */
    bool dead;   /* its runner died: still listed, next request loads it again */
    bool reload; /* it is being unloaded to be loaded with other options */
    unsigned refs;
    unsigned running;
    unsigned max_running;
    uint64_t requests;
    struct runner_opts opts;
    int64_t session_ms;       /* negative = for ever */
    uint64_t expires_ms;      /* valid while idle */
    struct list waiting;      /* job.link: attached, without a slot */
    struct list running_jobs; /* job.link */
    struct timer expiry;
};

void sched_init(struct sim *s);
void sched_finish(struct sim *s);

/** Take over a new list of models; those that stay keep their state. False on nonsense. */
bool sched_set_models(struct sim *s, const char *list);

/** Canonical name (lower case, no default registry, tag added); false when Ollama says invalid. */
bool sched_canonical_name(const char *raw, char *out, size_t size);
struct model *sched_find(struct sim *s, const char *canonical);

/** Queue a job; false = queue full (503). job_granted() is called now or later. */
bool sched_submit(struct sim *s, struct job *job);

/** The job ends, wherever it stands. `wedge`: its slot is never given back. */
void sched_release(struct sim *s, struct job *job, bool wedge);

/** keep_alive 0: unload once nothing runs. */
void sched_expire(struct sim *s, struct model *m);
void sched_unload_all(struct sim *s);
int64_t sched_slots(const struct model *m);

#endif
