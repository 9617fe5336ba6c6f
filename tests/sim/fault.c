#include "fault.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const names[FAULT_COUNT] = {
    [FAULT_STATUS] = "status",
    [FAULT_BUSY] = "busy",
    [FAULT_RUNNER_DEATH] = "runner_death",
    [FAULT_ERROR_LINE] = "error_line",
    [FAULT_NO_LAST_EVENT] = "no_last_event",
    [FAULT_CUT] = "cut",
    [FAULT_CUT_BEFORE_HEAD] = "cut_before_head",
    [FAULT_CUT_MID_HEAD] = "cut_mid_head",
    [FAULT_CUT_MID_CHUNK] = "cut_mid_chunk",
    [FAULT_HANG_BEFORE_HEAD] = "hang_before_head",
    [FAULT_HANG_MID_STREAM] = "hang_mid_stream",
    [FAULT_SILENCE] = "silence",
    [FAULT_EARLY_ABORT_LEAK] = "early_abort_leak",
    [FAULT_SLOT_WEDGE] = "slot_wedge",
    [FAULT_GARBAGE_STATUS] = "garbage_status",
    [FAULT_CL_AND_TE] = "cl_and_te",
    [FAULT_BAD_CHUNK] = "bad_chunk",
    [FAULT_HUGE_HEAD] = "huge_head",
    [FAULT_FLOOD_1XX] = "flood_1xx",
    [FAULT_SWITCH_101] = "switch_101",
    [FAULT_REDIRECT] = "redirect",
    [FAULT_GZIP_HEADER] = "gzip_header",
    [FAULT_EXTRA_BYTES] = "extra_bytes",
    [FAULT_IDLE_BYTES] = "idle_bytes",
    [FAULT_EXTRA_HEADERS] = "extra_headers",
    [FAULT_ZERO_COUNTS] = "zero_counts",
    [FAULT_OVERRUN] = "overrun",
    [FAULT_GIANT_LINE] = "giant_line",
    [FAULT_BATCH] = "batch",
    [FAULT_DRIBBLE] = "dribble",
    [FAULT_CLOSE_AFTER] = "close_after",
    [FAULT_BLANK_LINE] = "blank_line",
};

const char *fault_name(unsigned id)
{
    return names[id];
}

void faults_init(struct faults *f, uint64_t seed)
{
    *f = (struct faults){0};
    list_init(&f->list);
    f->dice = seed * 0x9e3779b97f4a7c15u + 1;
}

static void unref(struct fault *f)
{
    if (--f->refs > 0) {
        return;
    }
    free(f->route);
    free(f->model);
    free(f->text);
    free(f->header);
    free(f);
}

void faults_clear(struct faults *f)
{
    struct list *item = list_pop(&f->list);
    while (item != NULL) {
        unref(LIST_ENTRY(item, struct fault, link));
        item = list_pop(&f->list);
    }
}

static int64_t number(const cJSON *object, const char *name, int64_t fallback)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(m) ? (int64_t)m->valuedouble : fallback;
}

static char *text_copy(const cJSON *object, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(m) ? strdup(m->valuestring) : NULL;
}

static bool flag(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static int find_name(const char *name)
{
    for (int id = 0; id < FAULT_COUNT; id++) {
        if (strcmp(names[id], name) == 0) {
            return id;
        }
    }
    return -1;
}

static bool field_known(const char *name)
{
    static const char *const fields[] = {
        "name", "count",     "skip",         "probability", "route",   "model",
        "text", "header",    "after_chunks", "after_bytes", "ms",      "status",
        "n",    "window_ms", "rst",          "alone",       "in_chunk"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(fields[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static struct fault *from_json(const cJSON *object, enum fault_id id)
{
    struct fault *f = sim_calloc(1, sizeof(*f));
    const cJSON *probability = cJSON_GetObjectItemCaseSensitive(object, "probability");

    f->refs = 1;
    f->id = id;
    f->count = number(object, "count", -1);
    f->skip = number(object, "skip", 0);
    f->probability = cJSON_IsNumber(probability) ? probability->valuedouble : 1.0;
    f->route = text_copy(object, "route");
    f->model = text_copy(object, "model");
    f->text = text_copy(object, "text");
    f->header = text_copy(object, "header");
    f->after_bytes = number(object, "after_bytes", -1);
    f->after_chunks = number(object, "after_chunks", f->after_bytes >= 0 ? INT64_MAX : 0);
    f->ms = number(object, "ms", 0);
    f->status = number(object, "status", 500);
    f->n = number(object, "n", 0);
    f->window_ms = number(object, "window_ms", 150);
    f->rst = flag(object, "rst");
    f->alone = flag(object, "alone");
    f->in_chunk = flag(object, "in_chunk");
    return f;
}

bool faults_add_json(struct faults *f, const cJSON *array, char *error, size_t error_size)
{
    for (const cJSON *item = array->child; item != NULL; item = item->next) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
        int id = cJSON_IsString(name) ? find_name(name->valuestring) : -1;
        if (id < 0) {
            snprintf(error, error_size, "unknown fault name");
            return false;
        }
        for (const cJSON *m = item->child; m != NULL; m = m->next) {
            if (!field_known(m->string)) {
                snprintf(error, error_size, "unknown fault field %s", m->string);
                return false;
            }
        }
        list_push(&f->list, &from_json(item, (enum fault_id)id)->link);
    }
    return true;
}

static bool route_fits(const struct fault *f, const char *method, const char *path)
{
    if (f->route == NULL) {
        return strcmp(method, "POST") == 0; /* the poller's GETs are not meant unless named */
    }
    size_t len = strlen(f->route);
    if (len > 0 && f->route[len - 1] == '*') {
        return strncmp(f->route, path, len - 1) == 0;
    }
    return strcmp(f->route, path) == 0;
}

static bool model_fits(const struct fault *f, const char *model)
{
    if (f->model == NULL || strcmp(f->model, model) == 0) {
        return true;
    }
    size_t len = strlen(f->model);
    return strncmp(f->model, model, len) == 0 && strcmp(model + len, ":latest") == 0;
}

static double throw_dice(struct faults *f)
{
    f->dice ^= f->dice << 13;
    f->dice ^= f->dice >> 7;
    f->dice ^= f->dice << 17;
    return (double)(f->dice >> 11) / 9007199254740992.0;
}

static bool fires(struct faults *all, struct fault *f)
{
    if (f->skip > 0) {
        f->skip--;
        return false;
    }
    if (f->count == 0 || (f->probability < 1.0 && throw_dice(all) >= f->probability)) {
        return false;
    }
    if (f->count > 0) {
        f->count--;
    }
    f->fired++;
    all->fired[f->id]++;
    return true;
}

void plan_fill(struct plan *p, struct faults *f, const char *method, const char *path,
               const char *model)
{
    for (struct list *item = f->list.next; item != &f->list; item = item->next) {
        struct fault *one = LIST_ENTRY(item, struct fault, link);
        if (p->count < PLAN_MAX && route_fits(one, method, path) && model_fits(one, model) &&
            fires(f, one)) {
            one->refs++;
            p->fault[p->count++] = one;
        }
    }
}

const struct fault *plan_get(const struct plan *p, enum fault_id id)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (p->fault[i]->id == id) {
            return p->fault[i];
        }
    }
    return NULL;
}

void plan_finish(struct plan *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        unref(p->fault[i]);
    }
    p->count = 0;
}
