/**
 * Lists of models: read from each replica, written merged and filtered.
 *
 * A catalog is what one replica said once to GET /api/tags or /api/ps; immutable after parsing, so
 * threads may share it under their own count. Entries are re-emitted as the replica wrote them.
 * Merging drops doubles by canonical name: of a tag the first replica's entry stays, but a remote
 * one only where there is no other; of a loaded model the one that lives longest. Order is
 * Ollama's: newest first, longest-lived first.
 */
#ifndef CORRAL_OLLAMA_CATALOG_H
#define CORRAL_OLLAMA_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "ollama/model.h"

enum { CATALOG_MODELS_MAX = 4096, CATALOG_BYTES_MAX = 8 * 1024 * 1024 };

struct catalog_model {
    struct model_name name;
    struct slice spelled; /* as the replica names it; slices point into the catalog */
    struct slice json;    /* its whole entry */
    struct slice digest;
    uint64_t size;           /* bytes */
    int64_t time_ns;         /* since 1970; tags: modified_at, ps: expires_at. Clamped to int64 */
    uint64_t size_vram;      /* ps */
    uint64_t context_length; /* ps */
    bool remote;             /* what is asked of it leaves the building; of tags only */
};

struct catalog {
    struct catalog_model *models; /* owned */
    size_t count;
    size_t remote; /* of them */
    char *text;    /* owned; what the slices point into */
};

enum catalog_kind { CATALOG_TAGS, CATALOG_PS };

/** Whether a caller may see a model. Pure; called once per model. */
struct catalog_filter {
    bool (*allowed)(const struct model_name *model, void *arg);        /* NULL: all */
    bool (*remote_allowed)(const struct model_name *model, void *arg); /* NULL: none */
    void *arg;
};

/**
 * Parse a replica's answer. Entries whose names are none that Ollama can store are left out. Remote
 * is an entry with a cloud tag, or one that names a remote_host.
 * @param out  caller owns, ends with catalog_destroy.
 * @return CE_OK, CE_TOO_LARGE (bytes or models), CE_NO_MEMORY, CE_UPSTREAM_NONSENSE.
 */
MUST_USE enum corral_err catalog_parse(enum catalog_kind kind, struct slice json,
                                       struct catalog **out);
void catalog_destroy(struct catalog *c);

/** The entry of a model, or NULL. */
const struct catalog_model *catalog_find(const struct catalog *c, const struct model_name *name);

/**
 * Several catalogs of one kind as one list, in Ollama's order. Made once for each state of the
 * replicas, since sorting thousands of models takes milliseconds. Points into the catalogs.
 */
struct catalog_merged {
    size_t count;
    size_t remote; /* of them */
    const struct catalog_model *models[];
};

/** The entry of a model, or NULL. */
const struct catalog_model *catalog_merged_find(const struct catalog_merged *list,
                                                const struct model_name *name);

/** NULL entries in `lists` are skipped. Caller owns the result, frees it with free(). */
struct catalog_merged *catalog_merge(enum catalog_kind kind, const struct catalog *const *lists,
                                     size_t count);

/**
 * Append the body of /api/tags or /api/ps; of /v1/models.
 * @return CE_OK, or the buffer's error.
 */
MUST_USE enum corral_err catalog_write_native(const struct catalog_merged *list,
                                              struct catalog_filter filter, struct buf *out);
MUST_USE enum corral_err catalog_write_v1_models(const struct catalog_merged *list,
                                                 struct catalog_filter filter, struct buf *out);

/**
 * Append the body of /v1/models/{id}.
 * @param id  as the client spelled it; the answer repeats it.
 * @return CE_OK; CE_MODEL_NAME; CE_MODEL_FORBIDDEN (asked first, whether it exists or not);
 *         CE_MODEL_REMOTE; CE_MODEL_UNKNOWN; the buffer's error.
 */
MUST_USE enum corral_err catalog_write_v1_model(const struct catalog_merged *list, struct slice id,
                                                struct catalog_filter filter, struct buf *out);

#endif
