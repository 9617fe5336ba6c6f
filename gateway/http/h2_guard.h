/**
 * What a client may do to an HTTP/2 connection besides sending requests: budgets, counted on the
 * wire before nghttp2 sees a frame (it has too few: it would answer 200,000 of most kinds).
 *
 * A budget is a rate with a burst (GCRA) and a number for the connection's whole life. Who goes
 * over a rate is cut off (GOAWAY, ENHANCE_YOUR_CALM); who reaches a lifetime number, however
 * slowly, is asked to come again on a new connection (GOAWAY, streams end in peace).
 *
 * The guard also knows streams that are gone, which nghttp2 forgets: frames on a stream that the
 * client has closed are its fault (RFC 9113 section 5.1), on one that we have reset they are not.
 */
#ifndef CORRAL_HTTP_H2_GUARD_H
#define CORRAL_HTTP_H2_GUARD_H

#include "http/h2.h"

enum h2_budget {
    H2_RESETS_RECEIVED,
    H2_RESETS_EARLY, /* received before our answer began, a number for life alone */
    H2_RESETS_SENT,  /* for the client's faults: what MadeYouReset is made of */
    H2_EMPTY_DATA,   /* without END_STREAM, or little more than padding */
    H2_PINGS,
    H2_SETTINGS,
    H2_PRIORITIES,     /* PRIORITY, PRIORITY_UPDATE */
    H2_WINDOW_UPDATES, /* beyond two for each DATA frame of ours */
    H2_UNKNOWN,        /* frame types that we do not know, and GOAWAY */
    H2_STALE,          /* frames on streams that we have reset */
    H2_BUDGET_COUNT
};

enum { H2_RECENT = 64 };

/* With an id in a ring: we have reset it before the client had ended it. */
#define H2_RESET_BY_US 0x80000000u

struct h2_spent {
    uint64_t due_us; /* GCRA: when the bucket is full again */
    uint32_t count;  /* in the connection's life */
};

struct h2_frame {
    uint32_t len;
    int32_t stream;
    uint8_t type;
    uint8_t flags;
};

struct h2_guard {
    struct h2_spent spent[H2_BUDGET_COUNT];
    uint32_t recent[H2_RECENT]; /* a ring of streams that are gone: the id, and H2_RESET_BY_US */
    uint32_t recent_next;
    int32_t last_stream;   /* the highest that the client has opened */
    int32_t accept_until;  /* the last stream that our GOAWAY named; INT32_MAX: none was sent */
    uint32_t update_grace; /* WINDOW_UPDATEs earned by DATA frames of ours */
    uint32_t continuations;
    uint64_t now_us;
    bool in_head;             /* HEADERS without END_HEADERS */
    bool settled;             /* the client's first SETTINGS came */
    bool acked;               /* and its acknowledgement of ours */
    enum corral_err worn_out; /* the lifetime number that was reached; CE_OK: none */
};

/**
 * Judge a frame by its head.
 *
 * @param is_live  whether nghttp2 still knows the stream.
 * @return CE_OK or CE_H2_*: end the connection.
 */
MUST_USE enum corral_err h2_guard_frame(struct h2_guard *g, const struct h2_settings *limits,
                                        const struct h2_frame *f, bool is_live);

/** Spend one of a budget. CE_OK or the budget's error. Notes g->worn_out. */
MUST_USE enum corral_err h2_guard_spend(struct h2_guard *g, const struct h2_settings *limits,
                                        enum h2_budget budget);

/** A stream was reset before our answer began. */
void h2_guard_reset_early(struct h2_guard *g, const struct h2_settings *limits);

/** We have sent a DATA frame: the client may update its windows. */
void h2_guard_sent_data(struct h2_guard *g);

/** A stream is gone. */
void h2_guard_forget(struct h2_guard *g, int32_t stream, bool reset_by_us);

#endif
