/**
 * What is refused before the configuration becomes a document: anchors, aliases, tags, directives,
 * second documents, and whatever is too deep or too much. Internal to config/.
 *
 * Time and memory are bounded by the text's length: the parser takes time by the square of depth
 * and of the number of directives, so neither reaches it.
 */
#ifndef CORRAL_CONFIG_SCREEN_H
#define CORRAL_CONFIG_SCREEN_H

#include "config/reader.h"

enum { SCREEN_MAX_DEPTH = 32, SCREEN_MAX_VALUES = 256 * 1024 };

/** False: at least one error was added. */
MUST_USE bool screen_text(struct reader *r, struct slice text);

/** For UTF-8 only: the text shall mean the same to everybody who looks at it. */
void screen_parser_init(yaml_parser_t *p, struct slice text);

/** Add what the parser did not like. */
void screen_syntax_error(struct reader *r, const yaml_parser_t *p);

#endif
