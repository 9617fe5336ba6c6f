#include "control.h"

#include <stdio.h>

#include "exchange.h"
#include "gojson.h"
#include "reply.h"
#include "sched.h"

static void say(struct conn *c, int status, const char *text)
{
    struct sbuf body = {0};

    sbuf_str(&body, status == 200 ? "{\"ok\":" : "{\"error\":");
    sbuf_json_str(&body, text);
    sbuf_str(&body, "}\n");
    reply_json(c, status, TYPE_JSON, &body);
    sbuf_finish(&body);
}

static bool name_known(const char *name)
{
    return conf_known(name) || strcmp(name, "faults") == 0 || strcmp(name, "add_faults") == 0 ||
           strcmp(name, "reset_stats") == 0;
}

/* All or nothing for the knobs; an unknown member is refused so that a typing error cannot pass. */
static const char *apply(struct sim *s, const cJSON *body, char *error, size_t size)
{
    struct conf next = s->conf;
    const cJSON *faults = cJSON_GetObjectItemCaseSensitive(body, "faults");
    const cJSON *more = cJSON_GetObjectItemCaseSensitive(body, "add_faults");

    for (const cJSON *m = body->child; m != NULL; m = m->next) {
        if (m->string == NULL || !name_known(m->string)) {
            snprintf(error, size, "unknown member %s", m->string != NULL ? m->string : "");
            return error;
        }
    }
    if (!conf_apply_json(&next, body, error, size)) {
        return error;
    }
    if (strcmp(next.models, s->conf.models) != 0 && !sched_set_models(s, next.models)) {
        return "bad model list";
    }
    s->conf = next;
    if (faults != NULL) {
        faults_clear(&s->faults);
    }
    if ((faults != NULL && !faults_add_json(&s->faults, faults, error, size)) ||
        (more != NULL && !faults_add_json(&s->faults, more, error, size))) {
        return error;
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "reset_stats"))) {
        stats_reset(s);
    }
    return NULL;
}

static void handle_config(struct conn *c)
{
    char error[GOJSON_ERROR_SIZE] = "";
    cJSON *body = gojson_parse(c->body.ptr, c->body.len, error, sizeof(error));

    if (body == NULL) {
        say(c, 400, error);
        return;
    }
    const char *problem = apply(c->sim, body, error, sizeof(error));
    say(c, problem == NULL ? 200 : 400, problem == NULL ? "done" : problem);
    cJSON_Delete(body);
}

static void handle_last(struct conn *c)
{
    static const struct head h = {.status = 200, .type = "application/octet-stream"};
    size_t slot = ROUTE_MAX;

    if (strncmp(c->req.query, "route=", 6) == 0) {
        for (size_t i = 0; i < exchange_route_count(); i++) {
            slot = strcmp(exchange_routes[i].path, c->req.query + 6) == 0 ? i : slot;
        }
    }
    reply_whole(c, &h, c->sim->last[slot].ptr, c->sim->last[slot].len);
}

static void handle_faults(struct conn *c)
{
    struct sbuf body = {0};

    sbuf_str(&body, "[");
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        sbuf_printf(&body, "%s\"%s\"", i > 0 ? "," : "", fault_name(i));
    }
    sbuf_str(&body, "]\n");
    reply_json(c, 200, TYPE_JSON, &body);
    sbuf_finish(&body);
}

static void handle_stats(struct conn *c)
{
    struct sbuf body = {0};

    stats_print(c->sim, &body);
    reply_json(c, 200, TYPE_JSON, &body);
    sbuf_finish(&body);
}

void control_handle(struct conn *c)
{
    static const struct {
        const char *method;
        const char *path;
        void (*handle)(struct conn *c);
    } table[] = {{"POST", "/sim/config", handle_config},
                 {"GET", "/sim/stats", handle_stats},
                 {"GET", "/sim/last", handle_last},
                 {"GET", "/sim/faults", handle_faults}};

    if (strcmp(c->req.path, "/sim/unload") == 0) {
        sched_unload_all(c->sim);
        say(c, 200, "done");
        return;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].path, c->req.path) == 0 &&
            strcmp(table[i].method, c->req.method) == 0) {
            table[i].handle(c);
            return;
        }
    }
    say(c, 404, "no such control");
}
