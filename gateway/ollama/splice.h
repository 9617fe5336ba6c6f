/**
 * Changes to a JSON text as a list: leave out these bytes, put those in.
 *
 * splice_object turns decisions about the members of one object into splices that leave valid JSON
 * behind, whichever members go: each takes exactly one comma with it. Used on requests
 * (ollama/request.h) and on single events of a stream.
 */
#ifndef CORRAL_OLLAMA_SPLICE_H
#define CORRAL_OLLAMA_SPLICE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"
#include "ollama/scan.h"

struct splice {
    size_t offset;     /* into the text */
    size_t len;        /* bytes left out */
    struct slice with; /* bytes put in; static or in the arena */
};

/** Filled in ascending order of one object's bytes; splice_sort puts several objects in order. */
struct splice_list {
    struct splice *items; /* borrowed room for `max` */
    size_t count;
    size_t max;
};

enum splice_act { SPLICE_KEEP, SPLICE_DROP, SPLICE_REPLACE };

struct splice_rule {
    /** What becomes of a member; on REPLACE *with is the new member, `"key":value`. */
    enum splice_act (*decide)(void *arg, const struct scan_value *member, struct slice *with);
    void *arg;
    struct slice added; /* members put in front, `"key":value,"key":value`; may be empty */
};

/**
 * Append the splices of one object (kind OBJECT, of a checked text). Asserts that they fit.
 * @param arena  for the comma behind `added`; may be NULL when `added` is empty.
 */
void splice_object(struct splice_list *list, struct slice text, const struct scan_value *object,
                   const struct splice_rule *rule, struct arena *arena);

/** Ascending by offset; equal offsets keep their order. */
void splice_sort(struct splice_list *list);

#endif
