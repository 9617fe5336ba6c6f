#include "reply.h"

#include <stdio.h>

#include "conn.h"
#include "exchange.h"

#define GO_WRITE_BUFFER 2048u /* net/http: what fits here gets a Content-Length */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"},
                 {201, "Created"},
                 {204, "No Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {307, "Temporary Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {413, "Request Entity Too Large"},
                 {429, "Too Many Requests"},
                 {500, "Internal Server Error"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return NULL;
}

static void add_status_line(struct conn *c, struct sbuf *out, int status)
{
    const char *text = status_text(status);

    if (plan_get(&c->plan, FAULT_GARBAGE_STATUS) != NULL) {
        const struct fault *f = plan_get(&c->plan, FAULT_GARBAGE_STATUS);
        sbuf_printf(out, "%s\r\n", f->text != NULL ? f->text : "\x16\x03\x01 this is not HTTP");
        return;
    }
    sbuf_printf(out, "HTTP/1.%c %d ", c->req.http10 ? '0' : '1', status);
    if (text != NULL) {
        sbuf_str(out, text);
    } else {
        sbuf_printf(out, "status code %d", status);
    }
    sbuf_str(out, "\r\n");
}

static void add_interim(struct conn *c, struct sbuf *out)
{
    const struct fault *f = plan_get(&c->plan, FAULT_FLOOD_1XX);

    for (int64_t i = 0; f != NULL && i < f->n; i++) {
        sbuf_str(out, i % 2 == 0 ? "HTTP/1.1 100 Continue\r\n\r\n"
                                 : "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    }
}

static void add_fault_fields(struct conn *c, struct sbuf *out, bool chunked)
{
    const struct fault *huge = plan_get(&c->plan, FAULT_HUGE_HEAD);

    for (int64_t left = huge != NULL ? huge->n : 0; left > 0; left -= 1000) {
        sbuf_printf(out, "X-Fill-%lld: %01000d\r\n", (long long)left, 0);
    }
    if (plan_get(&c->plan, FAULT_GZIP_HEADER) != NULL) {
        sbuf_str(out, "Content-Encoding: gzip\r\n");
    }
    if (plan_get(&c->plan, FAULT_EXTRA_HEADERS) != NULL) {
        sbuf_str(out,
                 "Server: ollama-sim\r\nSet-Cookie: sid=secret; Path=/\r\nX-Powered-By: sim\r\n");
    }
    if (plan_get(&c->plan, FAULT_CL_AND_TE) != NULL) {
        sbuf_str(out, chunked ? "Content-Length: 5\r\n" : "Transfer-Encoding: chunked\r\n");
    }
    for (unsigned i = 0; i < c->plan.count; i++) {
        if (c->plan.fault[i]->header != NULL) {
            sbuf_str(out, c->plan.fault[i]->header);
        }
    }
}

static const char preflight_fields[] =
    "Access-Control-Allow-Headers: Authorization,Content-Type,User-Agent,Accept,X-Requested-With,"
    "Openai-Beta,X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    "X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,"
    "X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    "X-Stainless-Runtime-Version,X-Stainless-Timeout\r\n"
    "Access-Control-Allow-Methods: GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS\r\n";

/* What handlers set, sorted by name as Go writes it. */
static void add_handler_fields(struct conn *c, struct sbuf *out, const struct head *h)
{
    if (h->preflight) {
        sbuf_str(out, preflight_fields);
    }
    if (c->cors) {
        sbuf_printf(out, "Access-Control-Allow-Origin: %s\r\n", c->req.origin);
    }
    if (h->preflight) {
        sbuf_str(out, "Access-Control-Max-Age: 43200\r\n");
    }
    if (h->allow != NULL) {
        sbuf_printf(out, "Allow: %s\r\n", h->allow);
    }
    if (h->events) {
        sbuf_str(out, "Cache-Control: no-cache\r\nConnection: keep-alive\r\n");
    }
    if (h->type != NULL) {
        sbuf_printf(out, "Content-Type: %s\r\n", h->type);
    }
    if (h->location != NULL) {
        sbuf_printf(out, "Location: %s\r\n", h->location);
    }
    if (c->cors) {
        sbuf_str(out, "Vary: Origin\r\n");
    }
    if (h->preflight) {
        sbuf_str(out,
                 "Vary: Access-Control-Request-Method\r\nVary: Access-Control-Request-Headers\r\n");
    }
}

/* Length -1: chunked (or, for HTTP/1.0, until the close); -2: no body and no framing field at all.
 */
static void add_head(struct conn *c, const struct head *h, int64_t length)
{
    struct sbuf *out = &c->sim->wire;

    add_interim(c, out);
    add_status_line(c, out, h->status);
    add_handler_fields(c, out, h);
    sbuf_printf(out, "Date: %s\r\n", sim_date(c->sim));
    if (length >= 0) {
        sbuf_printf(out, "Content-Length: %lld\r\n", (long long)length);
    }
    if (c->req.close && !c->req.http10) {
        sbuf_str(out, "Connection: close\r\n");
    } else if (c->req.http10 && c->req.keep10 && length >= 0) {
        sbuf_str(out, "Connection: keep-alive\r\n");
    }
    c->chunked = length == -1 && !c->req.http10;
    if (length == -1 && c->req.http10) {
        c->req.close = true;
    }
    if (c->chunked) {
        sbuf_str(out, "Transfer-Encoding: chunked\r\n");
    }
    add_fault_fields(c, out, c->chunked);
    sbuf_str(out, "\r\n");
    c->head_sent = true;
}

void reply_step(struct conn *c)
{
    c->sim->wire.len = 0;
}

static void add_frame(struct conn *c, struct sbuf *out, const char *ptr, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char line[20];
    size_t at = sizeof(line);

    if (!c->chunked) {
        sbuf_add(out, ptr, len);
        return;
    }
    line[--at] = '\n';
    line[--at] = '\r';
    for (size_t left = len; left > 0; left >>= 4) {
        line[--at] = hex[left & 15];
    }
    sbuf_add(out, line + at, sizeof(line) - at);
    sbuf_add(out, ptr, len);
    sbuf_add(out, "\r\n", 2);
}

/* The connection goes away in the middle of an answer, by our own will. */
static void cut(struct conn *c, bool rst)
{
    c->done = true;
    conn_send(c, c->sim->wire.ptr, c->sim->wire.len);
    c->sim->wire.len = 0;
    exchange_drop_job(c);
    conn_close(c, rst);
}

static void idle_bytes_later(struct timer *t)
{
    struct conn *c = LIST_ENTRY(t, struct conn, timer);

    if (c->state == CONN_READING) {
        conn_send(c, "HTTP/1.1 408 Request Timeout\r\n\r\n", 32);
    }
}

static void finish(struct conn *c)
{
    const struct fault *idle = plan_get(&c->plan, FAULT_IDLE_BYTES);

    c->done = true;
    if (c->state != CONN_BUSY) {
        return;
    }
    c->sim->stats.served++;
    exchange_drop_job(c);
    if (c->req.close || plan_get(&c->plan, FAULT_CLOSE_AFTER) != NULL) {
        conn_close(c, false);
        return;
    }
    if (idle != NULL && c->out.len == 0) {
        c->timer.fn = idle_bytes_later;
        wheel_arm(&c->sim->wheel, &c->timer, sim_now_us() + (uint64_t)idle->ms * 1000);
        sim_wake(c->sim);
    }
    conn_exchange_done(c);
}

static void on_hang_over(struct timer *t)
{
    struct conn *c = LIST_ENTRY(t, struct conn, timer);

    if (c->state == CONN_BUSY) {
        conn_send(c, c->batch.ptr, c->batch.len);
        sbuf_finish(&c->batch);
        finish(c);
    }
}

/* True when the faults of a head that was just built ended or delayed the response. */
static bool head_faults(struct conn *c)
{
    const struct fault *f = plan_get(&c->plan, FAULT_CUT_BEFORE_HEAD);
    struct sbuf *wire = &c->sim->wire;

    if (f != NULL) {
        wire->len = 0;
        cut(c, f->rst);
        return true;
    }
    f = plan_get(&c->plan, FAULT_CUT_MID_HEAD);
    if (f != NULL) {
        wire->len /= 2;
        cut(c, f->rst);
        return true;
    }
    return false;
}

static bool hang_whole(struct conn *c)
{
    const struct fault *f = plan_get(&c->plan, FAULT_HANG_BEFORE_HEAD);

    if (f == NULL || c->streaming) {
        return false;
    }
    c->head_sent = false;
    if (f->ms > 0) {
        sbuf_buf(&c->batch, &c->sim->wire);
        c->timer.fn = on_hang_over;
        wheel_arm(&c->sim->wheel, &c->timer, sim_now_us() + (uint64_t)f->ms * 1000);
        sim_wake(c->sim);
    }
    return true;
}

static void add_body(struct conn *c, const char *body, size_t len)
{
    struct sbuf *wire = &c->sim->wire;
    const struct fault *extra = plan_get(&c->plan, FAULT_EXTRA_BYTES);

    if (c->chunked) {
        add_frame(c, wire, body, len);
        sbuf_add(wire, "0\r\n\r\n", 5);
    } else {
        sbuf_add(wire, body, len);
    }
    for (int64_t i = 0; extra != NULL && i < extra->n; i++) {
        sbuf_add(wire, "X", 1);
    }
}

void reply_whole(struct conn *c, const struct head *h, const char *body, size_t len)
{
    bool empty = strcmp(c->req.method, "HEAD") == 0 || h->status == 204;
    int64_t length = h->status == 204 ? -2 : len > GO_WRITE_BUFFER && !empty ? -1 : (int64_t)len;
    const struct fault *f = plan_get(&c->plan, FAULT_CUT);

    reply_step(c);
    add_head(c, h, length);
    if (head_faults(c)) {
        return;
    }
    size_t head_len = c->sim->wire.len;
    if (!empty) {
        add_body(c, body, len);
    }
    if (f != NULL && (f->after_bytes >= 0 || f->after_chunks == 0)) {
        size_t keep = head_len + (f->after_bytes >= 0 ? (size_t)f->after_bytes : 0);
        c->sim->wire.len = keep < c->sim->wire.len ? keep : c->sim->wire.len;
        cut(c, f->rst);
        return;
    }
    if (hang_whole(c)) {
        return;
    }
    conn_send(c, c->sim->wire.ptr, c->sim->wire.len);
    finish(c);
}

void reply_json(struct conn *c, int status, const char *type, const struct sbuf *body)
{
    const struct head h = {.status = status, .type = type};

    reply_whole(c, &h, body->ptr, body->len);
}

void reply_begin(struct conn *c, const struct head *h)
{
    c->streaming = true;
    add_head(c, h, -1);
    (void)head_faults(c);
}

/* A cut inside this chunk? Sends the part before it and is true then. */
static bool chunk_cut(struct conn *c, const char *ptr, size_t len)
{
    const struct fault *f = plan_get(&c->plan, FAULT_CUT);
    const struct fault *mid = plan_get(&c->plan, FAULT_CUT_MID_CHUNK);
    struct sbuf *wire = &c->sim->wire;

    if (f != NULL && (uint64_t)f->after_chunks <= c->chunks) {
        cut(c, f->rst);
        return true;
    }
    if (f != NULL && f->after_bytes >= 0 && c->body_bytes + len > (uint64_t)f->after_bytes) {
        size_t over = c->body_bytes + len - (uint64_t)f->after_bytes;
        add_frame(c, wire, ptr, len);
        wire->len -= over + (c->chunked ? 2 : 0);
        cut(c, f->rst);
        return true;
    }
    if (mid != NULL && (uint64_t)mid->after_chunks <= c->chunks) {
        add_frame(c, wire, ptr, len);
        wire->len -= len / 2 + (c->chunked ? 2 : 0);
        cut(c, mid->rst);
        return true;
    }
    return false;
}

static void add_batched(struct conn *c, const struct fault *f, const char *ptr, size_t len)
{
    if (f->in_chunk) {
        sbuf_add(&c->batch, ptr, len);
    } else {
        add_frame(c, &c->batch, ptr, len);
    }
    c->batched++;
}

static void release_batch(struct conn *c, const struct fault *f)
{
    if (c->batch.len > 0 && f->in_chunk) {
        add_frame(c, &c->sim->wire, c->batch.ptr, c->batch.len);
    } else {
        sbuf_buf(&c->sim->wire, &c->batch);
    }
    sbuf_finish(&c->batch);
    c->batched = 0;
}

bool reply_chunk(struct conn *c, const char *ptr, size_t len)
{
    const struct fault *f = NULL;
    struct sbuf *wire = &c->sim->wire;

    if (c->done || c->state != CONN_BUSY) {
        return false;
    }
    if (c->plan.count == 0) {
        add_frame(c, wire, ptr, len);
    } else if (chunk_cut(c, ptr, len)) {
        return false;
    } else if ((f = plan_get(&c->plan, FAULT_BAD_CHUNK)) != NULL &&
               (uint64_t)f->after_chunks == c->chunks) {
        sbuf_str(wire, "zz\r\n");
        sbuf_add(wire, ptr, len);
        sbuf_str(wire, "\r\n");
    } else if ((f = plan_get(&c->plan, FAULT_BATCH)) != NULL) {
        add_batched(c, f, ptr, len);
        if (c->batched >= f->n) {
            release_batch(c, f);
        }
    } else {
        f = plan_get(&c->plan, FAULT_BLANK_LINE);
        if (f != NULL && (uint64_t)f->after_chunks == c->chunks) {
            add_frame(c, wire, "\n", 1);
        }
        add_frame(c, wire, ptr, len);
    }
    c->chunks++;
    c->body_bytes += len;
    c->sim->stats.chunks_sent++;
    return true;
}

void reply_flush(struct conn *c)
{
    conn_send(c, c->sim->wire.ptr, c->sim->wire.len);
    c->sim->wire.len = 0;
}

void reply_end(struct conn *c)
{
    const struct fault *batch = plan_get(&c->plan, FAULT_BATCH);
    const struct fault *extra = plan_get(&c->plan, FAULT_EXTRA_BYTES);
    const struct fault *f = plan_get(&c->plan, FAULT_CUT);

    if (c->done || c->state != CONN_BUSY) {
        return;
    }
    if (f != NULL && (uint64_t)f->after_chunks <= c->chunks) {
        cut(c, f->rst);
        return;
    }
    if (batch != NULL) {
        release_batch(c, batch);
    }
    if (c->chunked) {
        sbuf_add(&c->sim->wire, "0\r\n\r\n", 5);
    }
    for (int64_t i = 0; extra != NULL && i < extra->n; i++) {
        sbuf_add(&c->sim->wire, "X", 1);
    }
    reply_flush(c);
    finish(c);
}
