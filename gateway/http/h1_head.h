/**
 * HTTP/1.1 heads (RFC 9112), read whole: first the end of the head is found, then everything in it
 * is checked. Nothing is repaired; whatever two readers could see differently is refused.
 *
 * Rules, each with its test in tests/unit/http: lines end in CRLF only (section 2.2 allows LF, we
 * do not); one empty line before the request is skipped (2.2); no white space before a colon
 * (5.1); no obs-fold (5.2); Content-Length xor Transfer-Encoding, each once (6.1, 6.3);
 * Transfer-Encoding is exactly `chunked` and only on 1.1 (6.1); exactly one Host (3.2); origin-form
 * or absolute-form of the same authority (3.2).
 */
#ifndef CORRAL_HTTP_H1_HEAD_H
#define CORRAL_HTTP_H1_HEAD_H

#include "http/message.h"

/** Where the search for the end of a head stands; zero before the first byte. */
struct h1_scan {
    uint32_t scanned; /* bytes of whole lines: no end of head, no wrong line end */
    uint32_t clean;   /* bytes of the line behind them that have no CR and no LF */
    uint32_t lines;
};

/**
 * Look for the end of a head in the first bytes of a message.
 *
 * @param bytes  everything received of this message so far, the same start at every call.
 * @param out_len [out] on CE_OK: bytes of the head including its empty line.
 * @return CE_OK; CE_MORE; CE_HTTP_LINE_END for a bare CR or LF; CE_HTTP_LINE when the first line
 *         cannot become one; CE_HTTP_TARGET_TOO_LONG, CE_HTTP_HEAD_TOO_LARGE.
 */
MUST_USE enum corral_err h1_scan_head(struct h1_scan *scan, struct slice bytes, size_t *out_len);

/**
 * The same for a request, whose first line is judged before the rest and as soon as it is complete,
 * so that nonsense is refused at once. Of a whole head h1_read_request judges it.
 */
MUST_USE enum corral_err h1_scan_request(struct h1_scan *scan, struct slice bytes, size_t *out_len);

/**
 * Read a complete request head.
 *
 * @param head  the bytes that h1_scan_head measured; `out` borrows from them.
 * @param is_tls  decides which scheme an absolute-form target must have.
 * @return CE_OK or the first rule broken (CE_HTTP_*, CE_METHOD_NOT_ALLOWED for CONNECT).
 *         After any error the connection must be closed.
 */
MUST_USE enum corral_err h1_read_request(struct slice head, bool is_tls, struct http_request *out);

/**
 * The same on a plain port for probes and scrapes: HTTP/1.0 may come without a Host, as the checks
 * of load balancers do (RFC 9112 section 3.2 asks for it in HTTP/1.1 only), and any version with an
 * empty one. `authority` is "" then.
 */
MUST_USE enum corral_err h1_read_probe(struct slice head, struct http_request *out);

/**
 * Read a complete response head of an upstream. As strict as for requests: a replica may be
 * hostile. Responses must be HTTP/1.1 and framed by Content-Length or chunked, except 1xx, 204 and
 * 304.
 */
MUST_USE enum corral_err h1_read_response(struct slice head, struct http_response_head *out);

/**
 * The target of a request whose head is not whole or broke a rule, as its first line has it: for
 * the shape of the answer and for the log, nothing else. Empty when there is none; at most 256
 * bytes of it.
 */
COLD struct slice h1_peek_target(struct slice head);

#endif
