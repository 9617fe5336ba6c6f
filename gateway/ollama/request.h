/**
 * One request body, by route: what it asks for, and what must change on its way to a replica.
 *
 * The body is never re-serialised: the result is a list of splices (take out these bytes, put those
 * in), applied while sending; everything else goes on byte for byte. A body is read once, in one
 * piece (request_read) or as it arrives (struct request_reader), after the route and before rights
 * and limits. Pure; memory from the arenas.
 */
#ifndef CORRAL_OLLAMA_REQUEST_H
#define CORRAL_OLLAMA_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "ollama/model.h"
#include "ollama/route.h"
#include "ollama/scan.h"
#include "ollama/splice.h"

/** Options that make Ollama reload the model when they differ: dropped unless their bit is set. */
enum request_option {
    REQUEST_NUM_CTX = 1u << 0,
    REQUEST_NUM_BATCH = 1u << 1,
    REQUEST_NUM_GPU = 1u << 2,
    REQUEST_MAIN_GPU = 1u << 3,
    REQUEST_USE_MMAP = 1u << 4,
    REQUEST_NUM_THREAD = 1u << 5,
    REQUEST_DRAFT_NUM_PREDICT = 1u << 6,
    REQUEST_SHIFT = 1u << 7, /* a top-level field */
};

struct request_rules {
    unsigned allowed_options; /* enum request_option; of num_ctx num_ctx_max decides */
    int64_t num_ctx_max;      /* tokens; 0: num_ctx is dropped */
    int64_t output_bound;     /* tokens; -1: none. 0 is written as 1: to Ollama 0 is no limit */
    bool inject_usage;        /* ask for counts on the SSE routes that know include_usage */
    bool allow_remote;        /* let cloud models pass */
    size_t image_bytes_max;   /* decoded, each; CE_IMAGE_TOO_LARGE */
    size_t images_bytes_max;  /* decoded, all together; CE_IMAGE_TOO_LARGE */
    size_t images_max;        /* count; CE_IMAGE_TOO_LARGE */
    size_t messages_max;      /* count; CE_BODY_TOO_LARGE */
    size_t inputs_max;        /* elements of an embedding's `input`; CE_BODY_TOO_LARGE */
};

/** No runner options, no bound, usage injected, nothing remote, the limits' defaults. */
struct request_rules request_rules_default(void);
enum {
    REQUEST_SPLICES_MAX = 24,
    REQUEST_NAME_BYTES_MAX = 4096, /* of a model's name, as spelled; a longer one is no name */
};

struct request_parts;

struct request_info {
    const struct request_parts *parts; /* where the known fields stand; in the scratch */
    struct slice spelled; /* the model as the client wrote it, decoded; into body or arena */
    const struct model_name *model;  /* canonical; in the arena */
    const struct model_name *second; /* /api/copy: the destination, in the arena; else NULL */
    bool remote;                     /* a cloud model, passed by allow_remote */

    bool stream; /* what the upstream will be asked for */
    bool client_asked_usage;
    bool usage_injected;    /* we ask, the client does not: stream_init's strip_usage */
    bool is_load_or_unload; /* native: empty prompt or no messages */
    bool is_unload;         /* ... and keep_alive is zero, which is dropped: answer it yourself */

    int64_t output_asked; /* tokens; -1: nothing asked, or unlimited */
    int64_t output_bound; /* what request_rewrite wrote into the body; -1: nothing */
    size_t prompt_bytes;  /* body without images, plus a fixed share for each image */
    size_t images;
    size_t images_bytes; /* decoded */
    size_t messages;
    size_t inputs; /* elements of an embedding's `input`; 1 for a string */

    const struct splice *splices; /* ascending, not overlapping; in the arena */
    size_t splice_count;
    struct slice changed; /* what request_rewrite changed, for people; in the arena, or empty */
    const char *field;    /* also on failure: the offending field, static text; NULL when none */
};

/**
 * Read a body of a ROUTE_BODY_JSON route. What it asks for is known then; request_rewrite makes
 * the splices.
 *
 * @param body   whole; outlives *out. An empty body is CE_JSON_SYNTAX.
 * @param rules  of it allow_remote, inject_usage and the maxima count.
 * @param scratch  holds what request_rewrite needs; may go when that was called.
 * @param arena    holds replacement texts and decoded names until the request is sent.
 * @param out    written on success; on failure only `field` means something.
 * @return CE_OK; a CE_JSON_* of scan_check; CE_JSON_TYPE (a known field of another type);
 *         CE_MODEL_MISSING, CE_MODEL_NAME, CE_MODEL_REMOTE; CE_FIELD_REFUSED; CE_IMAGE_TOO_LARGE;
 *         CE_BODY_TOO_LARGE (too many messages or inputs).
 */
MUST_USE enum corral_err request_read(const struct route *route, struct slice body,
                                      const struct request_rules *rules, struct arena *scratch,
                                      struct arena *arena, struct request_info *out);

/** A body that is read as it arrives. */
struct request_reader;

/** Begin. It lies in the scratch, and so does what request_rewrite needs. Copies *rules. */
struct request_reader *request_reader_create(const struct route *route,
                                             const struct request_rules *rules,
                                             struct arena *scratch);

/**
 * Read on, up to the end of `body`: each byte is looked at once.
 * @param body   all of it so far; it may lie elsewhere than at the call before.
 * @param whole  nothing comes behind it.
 * @param out_field  [out] on failure: as request_info.field.
 * @return CE_MORE: good so far (not when `whole`). CE_OK: request_reader_finish may be called.
 *         Else as request_read; final.
 */
MUST_USE enum corral_err request_reader_feed(struct request_reader *r, struct slice body,
                                             bool whole, const char **out_field);

/** Bytes of the scratch beyond the reader itself: grows with the keys of the body. */
size_t request_reader_memory(const struct request_reader *r);

/** What a body asks for that was read to its end. */
MUST_USE enum corral_err request_reader_finish(struct request_reader *r, struct slice body,
                                               struct arena *arena, struct request_info *out);

/**
 * Make the splices of a body that request_read accepted, while its scratch is there. May be called
 * again, with other rules.
 *
 * @param rules  of it allowed_options, num_ctx_max and output_bound count.
 */
void request_rewrite(struct request_info *info, const struct request_rules *rules,
                     struct arena *arena);

/** Bytes that go upstream: the Content-Length. */
size_t splice_total(size_t body_len, const struct request_info *info);

/** Where sending stands; zeroed to begin. */
struct splice_pos {
    size_t index;
    size_t offset;
    size_t inserted; /* bytes of the splice's own text */
};

/** The next piece to send, in order; 1 to `max` bytes. False at the end. */
bool splice_next(struct slice body, const struct request_info *info, struct splice_pos *pos,
                 size_t max, struct slice *out);

#endif
