/**
 * Reading a checked JSON text (ollama/scan.h) by exact names. JWT and JWK names are case-sensitive
 * (RFC 7519 section 2), unlike the request bodies that Go reads.
 */
#ifndef CORRAL_AUTH_JSON_H
#define CORRAL_AUTH_JSON_H

#include "ollama/scan.h"

/** A member whose decoded name is exactly `name`. `text` passed scan_check. */
bool json_member(struct slice text, const struct scan_value *object, const char *name,
                 struct arena *arena, struct scan_value *out);

/** As json_member, and the value is a string; ptr NULL when absent or of another kind. */
struct slice json_member_string(struct slice text, const struct scan_value *object,
                                const char *name, struct arena *arena);

#endif
