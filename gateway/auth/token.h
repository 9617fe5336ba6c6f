/**
 * The outer form of a JWT (RFC 7519 as a JWS in compact form, RFC 7515; RFC 8725 for what to
 * refuse): three segments, a header, a signature. claims.c reads what it says.
 *
 * The token chooses nothing: its header only has to agree with the key that its issuer and kid
 * name.
 */
#ifndef CORRAL_AUTH_TOKEN_H
#define CORRAL_AUTH_TOKEN_H

#include "auth/keyset.h"
#include "base/arena.h"

/** The decoded parts; payload and header are not checked JSON yet. */
struct token_parts {
    struct slice signed_bytes; /* into the token: header.payload */
    struct slice header;
    struct slice payload;
    struct slice signature;
};

struct token_header {
    struct slice alg;
    struct slice kid; /* ptr NULL: none */
};

/** @return CE_OK or CE_AUTH_TOKEN_SHAPE: length, segments, alphabet. */
MUST_USE enum corral_err token_split(struct slice token, struct arena *arena,
                                     struct token_parts *out);

/** @return CE_OK, CE_AUTH_TOKEN_HEADER, CE_AUTH_TOKEN_CRIT, CE_AUTH_TOKEN_TYPE. */
MUST_USE enum corral_err token_read_header(struct slice json, struct arena *arena,
                                           struct token_header *out);

/** @return CE_OK, CE_AUTH_KID, CE_AUTH_ALG, CE_AUTH_SIGNATURE. */
MUST_USE enum corral_err token_check_signature(const struct token_parts *parts,
                                               const struct token_header *header,
                                               const struct keyset *keys);

#endif
