#include "exchange.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "conn.h"
#include "control.h"
#include "infer.h"
#include "job.h"
#include "meta.h"
#include "reply.h"

const struct route exchange_routes[] = {
    {"HEAD", "/", FLAVOUR_NATIVE, meta_root},
    {"HEAD", "/api/version", FLAVOUR_NATIVE, meta_version},
    {"HEAD", "/api/tags", FLAVOUR_NATIVE, meta_tags},
    {"HEAD", "/api/blobs/:", FLAVOUR_NATIVE, meta_blob},
    {"GET", "/", FLAVOUR_NATIVE, meta_root},
    {"GET", "/api/version", FLAVOUR_NATIVE, meta_version},
    {"GET", "/api/status", FLAVOUR_NATIVE, meta_status},
    {"GET", "/api/tags", FLAVOUR_NATIVE, meta_tags},
    {"GET", "/api/ps", FLAVOUR_NATIVE, meta_ps},
    {"GET", "/v1/models", FLAVOUR_OPENAI, meta_models},
    {"GET", "/v1/models/:", FLAVOUR_OPENAI, meta_model},
    {"POST", "/api/show", FLAVOUR_NATIVE, meta_show},
    {"POST", "/api/pull", FLAVOUR_NATIVE, meta_progress},
    {"POST", "/api/push", FLAVOUR_NATIVE, meta_progress},
    {"POST", "/api/create", FLAVOUR_NATIVE, meta_progress},
    {"POST", "/api/copy", FLAVOUR_NATIVE, meta_empty},
    {"POST", "/api/blobs/:", FLAVOUR_NATIVE, meta_blob},
    {"POST", "/api/me", FLAVOUR_NATIVE, meta_progress},
    {"POST", "/api/signout", FLAVOUR_NATIVE, meta_progress},
    {"POST", "/api/generate", FLAVOUR_NATIVE, infer_generate},
    {"POST", "/api/chat", FLAVOUR_NATIVE, infer_chat},
    {"POST", "/api/embed", FLAVOUR_NATIVE, infer_embed},
    {"POST", "/api/embeddings", FLAVOUR_NATIVE, infer_embeddings},
    {"POST", "/v1/chat/completions", FLAVOUR_OPENAI, infer_oai_chat},
    {"POST", "/v1/completions", FLAVOUR_OPENAI, infer_oai_completion},
    {"POST", "/v1/embeddings", FLAVOUR_OPENAI, infer_oai_embeddings},
    {"POST", "/v1/responses", FLAVOUR_OPENAI, infer_responses},
    {"POST", "/v1/messages", FLAVOUR_ANTHROPIC, infer_messages},
    {"DELETE", "/api/delete", FLAVOUR_NATIVE, meta_empty},
};

#define ROUTE_COUNT (sizeof(exchange_routes) / sizeof(exchange_routes[0]))
_Static_assert(ROUTE_COUNT <= ROUTE_MAX, "stats have room for every route");

size_t exchange_route_count(void)
{
    return ROUTE_COUNT;
}

static bool path_fits(const struct route *r, const char *path, const char **param)
{
    size_t len = strlen(r->path);

    if (r->path[len - 1] != ':') {
        return strcmp(r->path, path) == 0;
    }
    if (strncmp(r->path, path, len - 1) != 0 || path[len - 1] == 0 ||
        strchr(path + len - 1, '/') != NULL) {
        return false;
    }
    *param = path + len - 1;
    return true;
}

static const struct route *find_route(const char *method, const char *path, const char **param)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strcmp(exchange_routes[i].method, method) == 0 &&
            path_fits(&exchange_routes[i], path, param)) {
            return &exchange_routes[i];
        }
    }
    return NULL;
}

/* Methods of a path, in the order gin names them; false when the path is unknown. */
static bool allowed_methods(const char *path, char *out, size_t size)
{
    const char *param = NULL;
    size_t len = 0;

    out[0] = 0;
    for (size_t i = 0; i < ROUTE_COUNT && len < size; i++) {
        if (path_fits(&exchange_routes[i], path, &param)) {
            len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "",
                                    exchange_routes[i].method);
        }
    }
    return len > 0;
}

static void reply_text(struct conn *c, int status, const char *allow, const char *text)
{
    const struct head h = {.status = status, .type = "text/plain", .allow = allow};

    reply_whole(c, &h, text, strlen(text));
}

static void redirect(struct conn *c, int status, const char *path)
{
    char location[800];
    char text[900];
    const char *name = status == 301 ? "Moved Permanently" : "Temporary Redirect";
    bool page = strcmp(c->req.method, "GET") == 0 || strcmp(c->req.method, "HEAD") == 0;

    snprintf(location, sizeof(location), "%s%s%s", path, c->req.query[0] != 0 ? "?" : "",
             c->req.query);
    snprintf(text, sizeof(text), "<a href=\"%s\">%s</a>.\n\n", location, name);
    const struct head h = {
        .status = status, .type = page ? "text/html; charset=utf-8" : NULL, .location = location};
    reply_whole(c, &h, text, page && strcmp(c->req.method, "GET") == 0 ? strlen(text) : 0);
}

/* What http.DefaultServeMux does before gin sees anything: // . and .. are cleaned by a redirect.
 */
static bool clean_path(const char *path, char *out, size_t size)
{
    size_t len = 0;
    const char *p = path;

    while (*p != 0) {
        while (*p == '/') {
            p++;
        }
        size_t n = strcspn(p, "/");
        if (n == 0) {
            break;
        }
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            while (len > 0 && out[--len] != '/') {
            }
        } else if (!(n == 1 && p[0] == '.') && len + n + 2 < size) {
            out[len++] = '/';
            memcpy(out + len, p, n);
            len += n;
        }
        p += n;
    }
    size_t whole = strlen(path);
    if (len == 0 || (whole > 0 && path[whole - 1] == '/')) {
        out[len++] = '/';
    }
    out[len] = 0;
    return strcmp(out, path) != 0;
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t a = strlen(text);
    size_t b = strlen(suffix);
    return a >= b && strcasecmp(text + a - b, suffix) == 0;
}

static void host_without_port(const char *host, char *out, size_t size)
{
    snprintf(out, size, "%s", host);
    char *colon = strrchr(out, ':');
    if (out[0] == '[') {
        char *end = strchr(out, ']');
        if (end != NULL) {
            *end = 0;
            memmove(out, out + 1, strlen(out));
        }
    } else if (colon != NULL && strchr(out, ':') == colon) {
        *colon = 0;
    }
}

static bool address_allowed(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, host, &four) == 1) {
        uint32_t a = ntohl(four.s_addr);
        return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a == 0;
    }
    if (inet_pton(AF_INET6, host, &six) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_UNSPECIFIED(&six) ||
               (six.s6_addr[0] & 0xfe) == 0xfc;
    }
    return false;
}

static bool name_allowed(const char *host)
{
    char own[256] = "";

    (void)gethostname(own, sizeof(own) - 1);
    return host[0] == 0 || strcasecmp(host, "localhost") == 0 || strcasecmp(host, own) == 0 ||
           has_suffix(host, ".localhost") || has_suffix(host, ".local") ||
           has_suffix(host, ".internal");
}

static bool origin_allowed(const char *origin)
{
    static const char *const schemes[] = {"app://", "file://", "tauri://", "vscode-webview://",
                                          "vscode-file://"};
    static const char *const hosts[] = {"localhost", "127.0.0.1", "0.0.0.0"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncmp(origin, schemes[i], strlen(schemes[i])) == 0) {
            return true;
        }
    }
    const char *rest = strncmp(origin, "http://", 7) == 0    ? origin + 7
                       : strncmp(origin, "https://", 8) == 0 ? origin + 8
                                                             : NULL;
    for (size_t i = 0; rest != NULL && i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t len = strlen(hosts[i]);
        if (strncmp(rest, hosts[i], len) == 0 && (rest[len] == 0 || rest[len] == ':')) {
            return true;
        }
    }
    return false;
}

static bool origin_is_own(const struct request *r)
{
    return (strncmp(r->origin, "http://", 7) == 0 && strcmp(r->origin + 7, r->host) == 0) ||
           (strncmp(r->origin, "https://", 8) == 0 && strcmp(r->origin + 8, r->host) == 0);
}

/* CORS and Host middlewares; true when they answered. `allow` belongs to a 405 in the making. */
static bool middlewares(struct conn *c, const char *allow)
{
    const struct request *r = &c->req;
    bool options = strcmp(r->method, "OPTIONS") == 0;
    struct head h = {.status = 403, .allow = allow};
    char host[256];

    if (r->origin[0] != 0 && !origin_is_own(r)) {
        if (!origin_allowed(r->origin)) {
            reply_whole(c, &h, "", 0);
            return true;
        }
        c->cors = true;
        if (options) {
            h.status = 204;
            h.preflight = true;
            reply_whole(c, &h, "", 0);
            return true;
        }
    }
    if (strncmp(c->sim->conf.host, "127.", 4) != 0 && strcmp(c->sim->conf.host, "::1") != 0) {
        return false; /* Ollama looks at Host only when it listens on loopback */
    }
    host_without_port(r->host, host, sizeof(host));
    if (address_allowed(host)) {
        return false;
    }
    if (name_allowed(host) && !options) {
        return false;
    }
    h.status = name_allowed(host) ? 204 : 403;
    reply_whole(c, &h, "", 0);
    return true;
}

static bool slash_redirect(struct conn *c)
{
    char other[sizeof(c->req.path) + 2];
    const char *param = NULL;
    size_t len = strlen(c->req.path);

    if (len > 1 && c->req.path[len - 1] == '/') {
        snprintf(other, sizeof(other), "%.*s", (int)(len - 1), c->req.path);
    } else {
        snprintf(other, sizeof(other), "%s/", c->req.path);
    }
    if (find_route(c->req.method, other, &param) == NULL) {
        return false;
    }
    redirect(c, strcmp(c->req.method, "GET") == 0 ? 301 : 307, other);
    return true;
}

static void refuse_route(struct conn *c)
{
    char allow[64];

    if (slash_redirect(c)) {
        return;
    }
    if (allowed_methods(c->req.path, allow, sizeof(allow))) {
        if (!middlewares(c, allow)) {
            reply_text(c, 405, allow, "405 method not allowed");
        }
        return;
    }
    if (!middlewares(c, NULL)) {
        reply_text(c, 404, NULL, "404 page not found");
    }
}

static void count_request(struct conn *c)
{
    struct sim *s = c->sim;

    if (c->route != NULL) {
        s->stats.requests[c->route - exchange_routes]++;
    } else {
        s->stats.requests_other++;
    }
}

void exchange_keep_raw(struct conn *c, const char *ptr, size_t len)
{
    const char *param = NULL;
    const struct route *route = find_route(c->req.method, c->req.path, &param);
    size_t slot = route != NULL ? (size_t)(route - exchange_routes) : ROUTE_MAX;

    if (strncmp(c->req.path, "/sim/", 5) == 0) {
        return;
    }
    size_t keep = len < (1u << 20) ? len : 1u << 20;
    c->sim->last[slot].len = 0;
    sbuf_add(&c->sim->last[slot], ptr, keep);
    if (slot != ROUTE_MAX) {
        c->sim->last[ROUTE_MAX].len = 0;
        sbuf_add(&c->sim->last[ROUTE_MAX], ptr, keep);
    }
}

static void begin(struct conn *c)
{
    plan_finish(&c->plan);
    sbuf_finish(&c->batch);
    wheel_cancel(&c->sim->wheel, &c->timer);
    conn_flush(c); /* what a dribble still held of the answer before */
    if (c->state == CONN_DEAD) {
        return;
    }
    c->state = CONN_BUSY;
    c->route = NULL;
    c->start_ms = sim_now_ms();
    c->head_sent = false;
    c->streaming = false;
    c->events = false;
    c->chunks = 0;
    c->body_bytes = 0;
    c->batched = 0;
    c->cors = false;
    c->done = false;
}

void exchange_run(struct conn *c)
{
    char clean[sizeof(c->req.path) + 2];
    const char *param = NULL;

    begin(c);
    if (c->state == CONN_DEAD) {
        return;
    }
    if (strncmp(c->req.path, "/sim/", 5) == 0) {
        control_handle(c);
        sbuf_finish(&c->body);
        return;
    }
    c->route = find_route(c->req.method, c->req.path, &param);
    count_request(c);
    if (clean_path(c->req.path, clean, sizeof(clean))) {
        redirect(c, 307, clean);
    } else if (c->route == NULL) {
        refuse_route(c);
    } else if (!middlewares(c, NULL)) {
        snprintf(c->req.param, sizeof(c->req.param), "%s", param != NULL ? param : "");
        c->route->handle(c);
    }
    sbuf_finish(&c->body);
}

bool exchange_refuse_early(struct conn *c)
{
    const char *param = NULL;

    if (!c->req.expect || strncmp(c->req.path, "/sim/", 5) == 0 ||
        find_route(c->req.method, c->req.path, &param) != NULL) {
        return false;
    }
    c->req.close = true; /* Go: the body was never asked for, so the connection cannot go on */
    sbuf_consume(&c->in, c->body_at);
    c->body_at = 0;
    exchange_run(c);
    return true;
}

void exchange_drop_job(struct conn *c)
{
    if (c->job != NULL) {
        struct job *job = c->job;
        c->job = NULL;
        job_destroy(job, false);
    }
}

static void note_abort(struct conn *c)
{
    struct stats *st = &c->sim->stats;
    struct abort_note *note = &st->aborts[st->aborted % ABORT_MAX];

    note->after_ms = sim_now_ms() - c->start_ms;
    note->phase = c->job != NULL ? job_phase(c->job) : "hang";
    note->route = c->route != NULL ? c->route->path : "";
    st->aborted++;
}

bool exchange_client_gone(struct conn *c)
{
    if (c->done) {
        return false;
    }
    const struct fault *leak = plan_get(&c->plan, FAULT_EARLY_ABORT_LEAK);
    bool leaks = leak != NULL && c->job != NULL && !c->head_sent &&
                 sim_now_ms() - c->start_ms < (uint64_t)leak->window_ms;

    note_abort(c);
    c->done = true;
    if (c->job != NULL) {
        struct job *job = c->job;
        c->job = NULL;
        job_destroy(job, true);
    }
    return leaks;
}

void exchange_error_body(struct sbuf *out, struct sim *s, enum flavour flavour, int status,
                         const char *message)
{
    static const char *const anthropic[][2] = {
        {"400", "invalid_request_error"}, {"401", "authentication_error"},
        {"403", "permission_error"},      {"404", "not_found_error"},
        {"429", "rate_limit_error"},      {"503", "overloaded_error"},
        {"529", "overloaded_error"}};
    char code[12];

    if (flavour == FLAVOUR_NATIVE) {
        sbuf_str(out, "{\"error\":");
        sbuf_json_str(out, message);
        sbuf_str(out, "}");
        return;
    }
    if (flavour == FLAVOUR_OPENAI) {
        sbuf_str(out, "{\"error\":{\"message\":");
        sbuf_json_str(out, message);
        sbuf_printf(out, ",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                    status == 400   ? "invalid_request_error"
                    : status == 404 ? "not_found_error"
                                    : "api_error");
        return;
    }
    const char *type = "api_error";
    snprintf(code, sizeof(code), "%d", status);
    for (size_t i = 0; i < sizeof(anthropic) / sizeof(anthropic[0]); i++) {
        type = strcmp(anthropic[i][0], code) == 0 ? anthropic[i][1] : type;
    }
    sbuf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", type);
    sbuf_json_str(out, message);
    sbuf_printf(out, "},\"request_id\":\"req_%024llx\"}", (unsigned long long)sim_next_id(s));
}

void exchange_error(struct conn *c, int status, const char *message, bool late)
{
    struct sbuf body = {0};
    enum flavour flavour = c->route->flavour;
    struct head h = {.status = status, .type = TYPE_GIN};

    exchange_error_body(&body, c->sim, flavour, status, message);
    if (late && flavour != FLAVOUR_NATIVE) {
        h.type = TYPE_JSON; /* json.Encoder ends with a newline, and its writer sets the type */
        sbuf_str(&body, "\n");
        h.events = c->events;
    }
    reply_whole(c, &h, body.ptr, body.len);
    sbuf_finish(&body);
}

void exchange_error_stream(struct conn *c, int status, const char *message)
{
    struct sbuf body = {0};
    const struct head h = {.status = status, .type = TYPE_JSON, .events = c->events};

    exchange_error_body(&body, c->sim, c->route->flavour, status, message);
    if (c->route->flavour != FLAVOUR_NATIVE) {
        sbuf_str(&body, "\n");
    }
    reply_step(c);
    reply_begin(c, &h);
    if (reply_chunk(c, body.ptr, body.len)) {
        reply_end(c);
    }
    sbuf_finish(&body);
}

static void fault_status(struct conn *c, const struct fault *f)
{
    struct sbuf body = {0};
    char message[64];

    if (f->text != NULL) {
        sbuf_str(&body, f->text);
    } else {
        snprintf(message, sizeof(message), "simulated error %d", (int)f->status);
        exchange_error_body(&body, c->sim, c->route->flavour, (int)f->status, message);
    }
    reply_json(c, (int)f->status, TYPE_GIN, &body);
    sbuf_finish(&body);
}

bool exchange_faults(struct conn *c, const char *model)
{
    const struct fault *f = NULL;

    plan_fill(&c->plan, &c->sim->faults, c->req.method, c->req.path, model);
    if (c->plan.count == 0) {
        return false;
    }
    if ((f = plan_get(&c->plan, FAULT_STATUS)) != NULL) {
        fault_status(c, f);
        return true;
    }
    if (plan_get(&c->plan, FAULT_BUSY) != NULL) {
        c->sim->stats.busy++;
        exchange_error(c, 503, BUSY_TEXT, true);
        return true;
    }
    if ((f = plan_get(&c->plan, FAULT_REDIRECT)) != NULL) {
        const struct head h = {.status = 302,
                               .location = f->text != NULL ? f->text : "http://127.0.0.1:1/"};
        reply_whole(c, &h, "", 0);
        return true;
    }
    if (plan_get(&c->plan, FAULT_SWITCH_101) != NULL) {
        static const char text[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: "
                                   "Upgrade\r\nUpgrade: x\r\n\r\nfree bytes";
        conn_send(c, text, sizeof(text) - 1);
        c->req.close = false; /* and nothing more, ever */
        return true;
    }
    return false;
}
