/**
 * What an answer tells of the limits: RateLimit and RateLimit-Policy (IETF draft
 * httpapi-ratelimit-headers), x-ratelimit-* as OpenAI's clients read them, Retry-After (RFC 9110
 * section 10.2.3) and x-should-retry as OpenAI's and Anthropic's clients read it. Pure.
 */
#ifndef CORRAL_LIMIT_FIELDS_H
#define CORRAL_LIMIT_FIELDS_H

#include "limit/limit.h"

enum {
    LIMIT_FIELDS_MAX = 10,
    LIMIT_FIELDS_BYTES = 2 * (LIMIT_NAME_MAX + 16) + 12 * 24, /* all values but the policy */
    LIMIT_SENTENCE_BYTES = 256,
};

struct limit_field {
    struct slice name;  /* static */
    struct slice value; /* in the room, or as given */
};

/**
 * The value of RateLimit-Policy for a tenant's rules: `"rpm";q=60;w=60, "daily";q=100000;w=86400`.
 * Shadow rules are not told. NULL when there is nothing to tell; caller owns.
 */
char *limit_policy_text(const struct limit_rule *rules, size_t count);

/** What to tell: every answer the draft's two fields, OpenAI's clients and refusals all. */
enum limit_telling { LIMIT_TELL_SHORT, LIMIT_TELL_FULL, LIMIT_TELL_REFUSED };

/**
 * The fields of an answer.
 *
 * @param policy  of limit_policy_text; may be NULL.
 * @param room    for the values; as long as they are used.
 * @return how many of `out` were written.
 */
size_t limit_fields(const struct limit_verdict *v, const char *policy, enum limit_telling telling,
                    char room[static LIMIT_FIELDS_BYTES],
                    struct limit_field out[static LIMIT_FIELDS_MAX]);

/** For a person: `60 requests in 60 seconds for each user ("rpm")`. Into `out`, NUL-terminated. */
void limit_rule_describe(const struct limit_rule *r, char out[static LIMIT_SENTENCE_BYTES]);

/** "17 seconds", "5 minutes", "3 hours". Rounded up; into `out`, NUL-terminated. */
void limit_wait_describe(uint64_t wait_ms, char out[static LIMIT_SENTENCE_BYTES]);

#endif
