/**
 * Where nghttp2's memory is from: malloc, but for the one block in which a session makes frames.
 *
 * That block is 16 KiB for each connection. Bodies go out without passing through it, so that only
 * its beginning is ever written: heads, SETTINGS, the nine bytes before a body. It gets untouched
 * pages, of which an idle connection then has one.
 */
#ifndef CORRAL_HTTP_H2_MEMORY_H
#define CORRAL_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>

struct pages;

/** The pool for the blocks of one thread's sessions. Caller owns. */
struct pages *h2_memory_create(void);

/** What nghttp2_session_server_new3 takes; `pool` outlives the session. */
nghttp2_mem h2_memory_of(struct pages *pool);

#endif
