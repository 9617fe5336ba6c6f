/**
 * Where a session of nghttp2's has its memory from: malloc, but for the one block in which it makes
 * frames.
 *
 * That block is 16 KiB for each connection. Bodies go out without passing through it, so that only
 * its beginning is ever written: heads, SETTINGS, the nine bytes before a body. It lies in a slot
 * of untouched pages, of which mostly the first is touched then; before it in that page is what a
 * session allocates when it begins.
 */
#ifndef CORRAL_HTTP_H2_MEMORY_H
#define CORRAL_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

struct pages;

struct h2_memory {
    struct pages *pool; /* borrowed */
    char *slot;         /* owned; NULL: malloc alone */
    size_t used;        /* of its beginning */
    bool frames_taken;  /* and of the rest */
};

/** The pool for the slots of one thread's sessions. Caller owns. */
struct pages *h2_memory_pool(void);

/** Before the session is made, and after it is gone. */
void h2_memory_init(struct h2_memory *m, struct pages *pool);
void h2_memory_finish(struct h2_memory *m);

/** What nghttp2_session_server_new3 takes; *m outlives the session and does not move. */
nghttp2_mem h2_memory_hooks(struct h2_memory *m);

#endif
