/**
 * Model names: many spellings, one canonical text that every right is tested on.
 *
 * Ollama fills in host, namespace and tag, trims spaces, folds case and strips ":local"
 * (its types/model/name.go and internal/modelref). corral does the same, so that every name that
 * Ollama can store is one: "llama3", "me/x:8b", "hf.co/Org/Repo-GGUF:Q4_K_M", "host:5000/me/x".
 * Where a model runs is not in its host but in its tag's suffix, or in what a replica says of it
 * (catalog.h). A scheme ("https://") and a digest are not stored: no name has them.
 * Pure; names are values, nothing is allocated.
 */
#ifndef CORRAL_OLLAMA_MODEL_H
#define CORRAL_OLLAMA_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

enum {
    MODEL_SPELLED_MAX = 512, /* bytes a client may spell */
    MODEL_PART_MAX = 80,     /* bytes of namespace, name, tag each, as Ollama has it */
    MODEL_HOST_MAX = 255,    /* it is a folder's name on a replica */
    MODEL_TEXT_BYTES = 504,
};

/** "registry.ollama.ai/library/llama3:latest", lower case, not NUL-terminated. */
struct model_name {
    size_t len;
    char text[MODEL_TEXT_BYTES];
};

static inline struct slice model_text(const struct model_name *m)
{
    return slice_of(m->text, m->len);
}

/** Without the ASCII white space around it, as a name is judged and sent. There is none inside. */
struct slice model_trim(struct slice spelled);

/**
 * @return CE_OK; CE_MODEL_REMOTE for ":cloud" and "-cloud" tags, in any case (*out is written then
 *         too, for operators who allow them); CE_MODEL_NAME for everything that is no name of ours.
 */
MUST_USE enum corral_err model_parse(struct slice spelled, struct model_name *out);

/** The shortest usual spelling, always with a tag: "llama3:latest", "hf.co/me/x:8b". Into *m. */
struct slice model_short(const struct model_name *m);

/** "library", "me". Into *m. */
struct slice model_namespace(const struct model_name *m);

/** Equal canonical names. */
bool model_eq(const struct model_name *a, const struct model_name *b);

/**
 * Whether a pattern of the configuration covers a model. '*' stands for any bytes and is the only
 * wildcard. A lone "*" covers everything; otherwise what a name may leave out is filled in as for
 * names (registry, namespace), and a pattern without a tag covers every tag. What stands before the
 * first '/' is a registry when it has a dot or a port, or when a second '/' follows. Case does not
 * count.
 * Linear in pattern and name. A pattern longer than a name can be covers nothing.
 */
bool model_pattern_matches(struct slice pattern, const struct model_name *m);

#endif
