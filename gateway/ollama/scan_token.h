/**
 * Inside the checker (scan_check.h) only: the tokens of JSON whose length a client chooses. Each
 * can be read in pieces, or is waited for until it is whole.
 */
#ifndef CORRAL_OLLAMA_SCAN_TOKEN_H
#define CORRAL_OLLAMA_SCAN_TOKEN_H

#include <stdbool.h>

#include "base/slice.h"

/** A text of which the front part is known, and where reading stands. */
struct scan_text {
    struct slice text;
    size_t at;
    bool whole;  /* nothing comes behind `text` */
    bool strict; /* a string with what is no Unicode, or with NUL, is refused */
};

/** The byte at `at`, or -1 at the end of what is known. */
static inline int scan_text_peek(const struct scan_text *t)
{
    return t->at < t->text.len ? (unsigned char)t->text.ptr[t->at] : -1;
}

/**
 * The inside of a string and its closing quote. Where it need not be strict, what Go's
 * encoding/json reads passes: a lone surrogate and each byte of what is no UTF-8 as U+FFFD,
 * "\u0000" as it is.
 *
 * @return CE_OK: behind the closing quote. CE_MORE: everything before `at` is good; to be called
 *         again with more text. CE_JSON_SYNTAX, CE_JSON_UTF8, CE_JSON_NUL.
 */
MUST_USE enum corral_err scan_token_string(struct scan_text *t);

/**
 * A number, true, false or null, of at most SCAN_NUMBER_BYTES_MAX bytes.
 *
 * @return CE_OK: behind it. CE_MORE: it may go on in bytes that are not known yet; `at` did not
 *         move. CE_JSON_SYNTAX, CE_JSON_NUL.
 */
MUST_USE enum corral_err scan_token_literal(struct scan_text *t);

#endif
