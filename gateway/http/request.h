/**
 * Rules of a request head that hold whichever protocol carried it (RFC 9110). The codecs read
 * their own syntax and ask here for everything else, so that no rule can differ between them.
 */
#ifndef CORRAL_HTTP_REQUEST_H
#define CORRAL_HTTP_REQUEST_H

#include "http/message.h"

/** A token of at most HTTP_MAX_METHOD_BYTES (RFC 9110 section 9.1). */
bool http_method_ok(struct slice method);

/** Only characters of RFC 3986 and those that clients send unescaped; no fragment, no byte >= 0x80.
 */
bool http_target_ok(struct slice target);

/**
 * Split a target that is not empty, origin-form or "*" for OPTIONS, into out->path and out->query.
 *
 * @return CE_OK, CE_HTTP_TARGET, CE_HTTP_TARGET_TOO_LONG (query over HTTP_MAX_QUERY_BYTES).
 */
MUST_USE enum corral_err http_split_target(struct slice target, struct http_request *out);

/** The one Content-Length, decimal digits only. CE_HTTP_LENGTH otherwise. */
MUST_USE enum corral_err http_read_length(const struct http_fields *f, uint64_t *out);

/** A host, and a port if there is one. CE_HTTP_HOST otherwise. */
MUST_USE enum corral_err http_check_authority(struct slice authority);

/**
 * What a body needs: `Expect` is exactly 100-continue (fills out->expect_continue), GET and HEAD
 * have none.
 *
 * @return CE_OK, CE_HTTP_EXPECT, CE_HTTP_BODY_UNEXPECTED.
 */
MUST_USE enum corral_err http_check_body_rules(struct http_request *r);

#endif
