/**
 * White space of JSON (RFC 8259 section 2), for the files of the scanner: mostly there is none, or
 * one blank; but a body may be megabytes of nothing else.
 */
#ifndef CORRAL_OLLAMA_SCAN_SPACE_H
#define CORRAL_OLLAMA_SCAN_SPACE_H

#include "base/lane.h"

static inline bool scan_is_blank(unsigned char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline lane scan_not_blanks(lane l)
{
    return ~(lane_equal(l, ' ') | lane_equal(l, '\n') | lane_equal(l, '\r') | lane_equal(l, '\t'));
}

static inline bool scan_not_blank(unsigned char c)
{
    return !scan_is_blank(c);
}

/** Where the first byte from `at` on stands that is no blank; or the end. */
static inline size_t scan_skip_space(struct slice text, size_t at)
{
    if (at < text.len && scan_is_blank((unsigned char)text.ptr[at])) {
        at++;
        if (at < text.len && scan_is_blank((unsigned char)text.ptr[at])) {
            at += lane_find(slice_from(text, at), scan_not_blanks, scan_not_blank);
        }
    }
    return at;
}

#endif
