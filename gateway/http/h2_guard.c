#include "http/h2_guard.h"

#include <nghttp2/nghttp2.h>

enum {
    FRAME_PRIORITY_UPDATE = 0x10, /* RFC 9218 */
    TINY_PADDED_BYTES = 257,      /* a length byte, 255 of padding, one of data */
    GRACE_MAX = 100000,           /* no connection saves up for a flood */
    UPDATES_FOR_EACH_DATA = 2,    /* its stream and the connection */
    US_PER_S = 1000 * 1000,
};

#define FIELD(member) offsetof(struct h2_settings, member)

static const struct {
    uint8_t burst; /* offsets in struct h2_settings */
    uint8_t per_s;
    uint8_t lifetime;
    enum corral_err why;
} budgets[H2_BUDGET_COUNT] = {
    [H2_RESETS_RECEIVED] = {FIELD(resets_received_burst), FIELD(resets_received_per_s),
                            FIELD(frames_lifetime), CE_H2_RESETS_RECEIVED},
    [H2_RESETS_EARLY] = {.lifetime = FIELD(resets_before_response), .why = CE_H2_RESETS_EARLY},
    [H2_RESETS_SENT] = {FIELD(resets_sent_burst), FIELD(resets_sent_per_s),
                        FIELD(resets_sent_lifetime), CE_H2_RESETS_SENT},
    [H2_EMPTY_DATA] = {FIELD(empty_data_per_s), FIELD(empty_data_per_s), FIELD(frames_lifetime),
                       CE_H2_EMPTY_DATA},
    [H2_PINGS] = {FIELD(pings_per_s), FIELD(pings_per_s), FIELD(frames_lifetime), CE_H2_PINGS},
    [H2_SETTINGS] = {FIELD(settings_per_s), FIELD(settings_per_s), FIELD(frames_lifetime),
                     CE_H2_SETTINGS},
    [H2_PRIORITIES] = {FIELD(priorities_per_s), FIELD(priorities_per_s), FIELD(frames_lifetime),
                       CE_H2_PRIORITIES},
    [H2_WINDOW_UPDATES] = {FIELD(window_updates_per_s), FIELD(window_updates_per_s),
                           FIELD(frames_lifetime), CE_H2_WINDOW_UPDATES},
    [H2_UNKNOWN] = {FIELD(unknown_frames_per_s), FIELD(unknown_frames_per_s),
                    FIELD(frames_lifetime), CE_H2_UNKNOWN_FRAMES},
    [H2_STALE] = {FIELD(stale_frames_per_s), FIELD(stale_frames_per_s), FIELD(frames_lifetime),
                  CE_H2_STALE_FRAMES},
};

static uint32_t limit_at(const struct h2_settings *limits, uint8_t offset)
{
    return *(const uint32_t *)((const char *)limits + offset);
}

static void wear(struct h2_guard *g, const struct h2_settings *limits, enum h2_budget budget)
{
    if (++g->spent[budget].count >= limit_at(limits, budgets[budget].lifetime) &&
        g->worn_out == CE_OK) {
        g->worn_out = budgets[budget].why;
    }
}

enum corral_err h2_guard_spend(struct h2_guard *g, const struct h2_settings *limits,
                               enum h2_budget budget)
{
    struct h2_spent *spent = &g->spent[budget];
    uint64_t interval_us = US_PER_S / limit_at(limits, budgets[budget].per_s);
    uint64_t burst_us = interval_us * limit_at(limits, budgets[budget].burst);

    if (spent->due_us < g->now_us) {
        spent->due_us = g->now_us;
    }
    if (spent->due_us + interval_us - g->now_us > burst_us) {
        return budgets[budget].why;
    }
    spent->due_us += interval_us;
    wear(g, limits, budget);
    return CE_OK;
}

void h2_guard_reset_early(struct h2_guard *g, const struct h2_settings *limits)
{
    wear(g, limits, H2_RESETS_EARLY);
}

void h2_guard_sent_data(struct h2_guard *g)
{
    if (g->update_grace < GRACE_MAX) {
        g->update_grace += UPDATES_FOR_EACH_DATA;
    }
}

void h2_guard_forget(struct h2_guard *g, int32_t stream, bool reset_by_us)
{
    g->recent[g->recent_next++ % H2_RECENT] = (uint32_t)stream | (reset_by_us ? H2_RESET_BY_US : 0);
}

static uint32_t *find_gone(struct h2_guard *g, int32_t stream)
{
    for (size_t i = 0; i < H2_RECENT; i++) {
        if ((g->recent[i] & ~H2_RESET_BY_US) == (uint32_t)stream) {
            return &g->recent[i];
        }
    }
    return NULL;
}

/* HEADERS or DATA on a stream that nghttp2 does not know any more: RFC 9113 sections 5.1, 5.1.1. */
static enum corral_err judge_gone(struct h2_guard *g, const struct h2_settings *limits,
                                  const struct h2_frame *f)
{
    const uint32_t *gone = find_gone(g, f->stream);

    /* DATA on one that is so long gone that it is forgotten may be a race as well. */
    bool is_late = gone == NULL ? f->type == NGHTTP2_DATA : (*gone & H2_RESET_BY_US) != 0;

    if (is_late || f->stream > g->accept_until) {
        return h2_guard_spend(g, limits, H2_STALE);
    }
    return gone == NULL ? CE_H2_STREAM_ID : CE_H2_STREAM_CLOSED;
}

static enum corral_err judge_head(struct h2_guard *g, const struct h2_settings *limits,
                                  const struct h2_frame *f, bool is_live)
{
    bool is_clients = (f->stream & 1) == 1;
    bool is_new = is_clients && f->stream > g->last_stream;
    enum corral_err err = CE_OK;

    if (is_new) {
        g->last_stream = f->stream;
    }
    /* A new one beyond our GOAWAY is decoded for HPACK's sake, for nobody. */
    if (is_new ? f->stream > g->accept_until : is_clients && !is_live) {
        err = judge_gone(g, limits, f);
    }
    if (err != CE_OK) {
        return err;
    }
    g->in_head = (f->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
    g->continuations = 0;
    return CE_OK;
}

static enum corral_err judge_data(struct h2_guard *g, const struct h2_settings *limits,
                                  const struct h2_frame *f, bool is_live)
{
    bool ends = (f->flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool padded = (f->flags & NGHTTP2_FLAG_PADDED) != 0;

    if (f->stream > 0 && f->stream <= g->last_stream && !is_live) {
        return judge_gone(g, limits, f);
    }
    return !ends && (f->len == 0 || (padded && f->len <= TINY_PADDED_BYTES))
               ? h2_guard_spend(g, limits, H2_EMPTY_DATA)
               : CE_OK;
}

static enum corral_err judge_continuation(struct h2_guard *g, const struct h2_settings *limits,
                                          const struct h2_frame *f)
{
    if (++g->continuations > limits->continuations_per_head) {
        return CE_H2_CONTINUATIONS;
    }
    if ((f->flags & NGHTTP2_FLAG_END_HEADERS) != 0) {
        g->in_head = false;
    }
    return CE_OK;
}

/* A client that resets what we have reset knows that it is gone. */
static enum corral_err judge_reset(struct h2_guard *g, const struct h2_settings *limits,
                                   const struct h2_frame *f)
{
    uint32_t *gone = find_gone(g, f->stream);

    if (gone != NULL) {
        *gone &= ~H2_RESET_BY_US;
    }
    return h2_guard_spend(g, limits, H2_RESETS_RECEIVED);
}

static enum corral_err judge_window_update(struct h2_guard *g, const struct h2_settings *limits)
{
    if (g->update_grace > 0) {
        g->update_grace--;
        return CE_OK;
    }
    return h2_guard_spend(g, limits, H2_WINDOW_UPDATES);
}

static enum corral_err judge_settings(struct h2_guard *g, const struct h2_settings *limits,
                                      const struct h2_frame *f)
{
    bool is_ack = (f->flags & NGHTTP2_FLAG_ACK) != 0;

    g->settled = g->settled || !is_ack;
    g->acked = g->acked || is_ack;
    return h2_guard_spend(g, limits, H2_SETTINGS);
}

enum corral_err h2_guard_frame(struct h2_guard *g, const struct h2_settings *limits,
                               const struct h2_frame *f, bool is_live)
{
    switch (f->type) {
    case NGHTTP2_DATA:
        return judge_data(g, limits, f, is_live);
    case NGHTTP2_HEADERS:
        return judge_head(g, limits, f, is_live);
    case NGHTTP2_CONTINUATION:
        return judge_continuation(g, limits, f);
    case NGHTTP2_RST_STREAM:
        return judge_reset(g, limits, f);
    case NGHTTP2_SETTINGS:
        return judge_settings(g, limits, f);
    case NGHTTP2_PING:
        return h2_guard_spend(g, limits, H2_PINGS);
    case NGHTTP2_WINDOW_UPDATE:
        return judge_window_update(g, limits);
    case NGHTTP2_PRIORITY:
    case FRAME_PRIORITY_UPDATE:
        return h2_guard_spend(g, limits, H2_PRIORITIES);
    case NGHTTP2_PUSH_PROMISE:
        return CE_OK; /* nghttp2 ends the connection */
    default:
        return h2_guard_spend(g, limits, H2_UNKNOWN);
    }
}
