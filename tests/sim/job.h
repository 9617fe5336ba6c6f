/**
 * job.h: one inference on its way: waiting, prefill, tokens, end. The dialect decides how it looks.
 */
#ifndef SIM_JOB_H
#define SIM_JOB_H

#include "sched.h"

#define BUSY_TEXT "server busy, please try again.  maximum pending requests exceeded"
#define DEATH_TEXT "an error was encountered while running the model: unexpected EOF"

struct job;

enum job_place { JOB_NOWHERE, JOB_PENDING, JOB_CURRENT, JOB_WAITING, JOB_ATTACHED, JOB_RUNNING };

struct dialect {
    const char *stream_type;
    /** Fill the templates pre, mid and post that every token is printed with. */
    void (*prepare)(struct job *job);
    /** Chunks before the first token; may be NULL. */
    void (*first)(struct job *job);
    /** The chunks that end a whole stream. */
    void (*last)(struct job *job);
    /** The one body of an answer that is not streamed. */
    void (*whole)(struct job *job, struct sbuf *out);
    /** How an error object in mid stream comes out; may be NULL: not at all. */
    void (*broken)(struct job *job, const char *message);
    char clock;    /* printed between pre and mid: n RFC 3339, u Unix seconds, - nothing */
    bool numbered; /* a sequence number and tail follow post */
};

struct job {
    struct list link; /* sched.pending, model.waiting or model.running_jobs */
    struct sim *sim;
    struct conn *conn;
    struct model *model;
    const struct dialect *dialect; /* NULL: on_ready alone answers (load, embeddings) */
    void (*on_ready)(struct job *job);
    enum job_place place;
    bool needs_slot;
    bool stream;
    bool has_keep_alive;
    int64_t keep_alive_ms;
    struct runner_opts opts;

    char name[SIM_NAME_BYTES]; /* as the client wrote it */
    char id[48];
    char item_id[48];
    int64_t prompt_tokens;
    int64_t estimate;  /* message_start's guess */
    int64_t limit;     /* tokens to make */
    bool length_ended; /* the limit was asked for: "length" and not "stop" */
    bool raw;
    bool usage; /* stream_options.include_usage */
    double temperature;
    double top_p;
    int64_t max_output; /* echoed by /v1/responses, 0 = null */
    struct sbuf extra;  /* dialect's own; embeddings keep their answer here */

    struct sbuf text; /* pre, mid and post in one piece */
    size_t mid_at;
    size_t post_at;
    int64_t sent;
    int64_t sequence;
    uint64_t start_us;
    uint64_t loaded_us;
    uint64_t granted_us;
    uint64_t first_us;
    uint64_t due_us;
    struct timer timer;
    bool paused; /* a silence that was asked for has begun */
    bool doomed; /* got its slot from a runner that is dead */
};

struct job *job_create(struct conn *c, struct model *m, const char *name);

/** Give everything back; `aborted` when the client left. */
void job_destroy(struct job *job, bool aborted);

void job_reap(struct sim *s);

/** Set the three templates that a token is printed with. */
void job_template(struct job *job, const char *pre, const char *mid, const char *post);

/** Hand over to the scheduler; answers 503 itself when the queue is full. */
void job_submit(struct job *job);
void job_granted(struct job *job);
const char *job_phase(const struct job *job);

/** Text of token i, borrowed. */
const char *job_token(const struct job *job, int64_t i, size_t *len);
void job_add_text(const struct job *job, struct sbuf *out);
uint64_t job_interval_us(const struct job *job);
bool job_counts_hidden(const struct job *job);
const char *job_reason(const struct job *job);

/** Unix time in seconds. */
int64_t job_unix(void);

/** Build one chunk: begin, print into the buffer returned, end. */
struct sbuf *job_chunk_begin(struct job *job);
void job_chunk_end(struct job *job);

#endif
