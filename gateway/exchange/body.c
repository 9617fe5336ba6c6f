/*
 * The request body: collected under its limits, and read (ollama/request.h) as it comes.
 *
 * A body of up to BODY_DIRECT_BYTES is read when it is whole, in one go and in memory that the
 * engine's exchanges share. A larger one is read in steps at the end of the worker's turns, at most
 * BODY_TURN_BYTES in one turn, tenants taking turns: so no body makes others wait. A fault that is
 * found before the body is whole is answered when it has come; what still comes is dropped.
 *
 * Called by the front (exchange_body...) and by engine_on_turn, on the exchange's worker.
 */
#include "exchange/body.h"

#include <stdlib.h>

#include "base/mem.h"
#include "exchange/admit.h"
#include "exchange/impl.h"

/* A large body that is being read. */
struct body_reading {
    struct list of_tenant; /* body_tenant.readings while there is something to read */
    struct exchange *ex;   /* borrowed */
    struct arena scratch;
    struct request_reader *reader;
    size_t known;      /* bytes of the body that the reader has seen */
    size_t discarded;  /* bytes that came behind a fault */
    size_t counted;    /* of its own memory, in gateway's count of bodies */
    bool whole;        /* no byte will follow */
    const char *field; /* of the fault */
    enum corral_err fault;
};

/* The large bodies of one tenant that have bytes to read. Freed with the last of them. */
struct body_tenant {
    struct list of_engine; /* engine.readers; who is served next stands first */
    struct list readings;  /* body_reading.of_tenant */
    uint32_t tenant;
};

static struct body_tenant *tenant_of(struct engine *e, uint32_t tenant)
{
    LIST_EACH(link, next, &e->readers)
    {
        struct body_tenant *t = CONTAINER_OF(link, struct body_tenant, of_engine);

        if (t->tenant == tenant) {
            return t;
        }
    }
    struct body_tenant *t = xcalloc(1, sizeof(*t));

    t->tenant = tenant;
    list_init(&t->readings);
    list_push_back(&e->readers, &t->of_engine);
    return t;
}

static void wait_for_turn(struct body_reading *r)
{
    if (list_empty(&r->of_tenant) && r->fault == CE_OK) {
        struct body_tenant *t = tenant_of(r->ex->engine, r->ex->principal.tenant->id);

        list_push_back(&t->readings, &r->of_tenant);
    }
}

static void leave_turns(struct body_reading *r)
{
    struct list *others = r->of_tenant.next;
    bool last = others != &r->of_tenant && others == r->of_tenant.prev;

    list_unlink(&r->of_tenant);
    if (last) {
        struct body_tenant *t = CONTAINER_OF(others, struct body_tenant, readings);

        list_unlink(&t->of_engine);
        free(t);
    }
}

static void drop_reading(struct exchange *ex)
{
    struct body_reading *r = ex->reading;

    if (r != NULL) {
        ex->reading = NULL;
        leave_turns(r);
        arena_finish(&r->scratch);
        free(r);
    }
}

static void give_back_budget(struct exchange *ex)
{
    if (ex->body_counted > 0) {
        body_budget_give(&ex->engine->house->bodies, ex->principal.tenant->id, ex->body_counted);
    }
    ex->body_counted = 0;
}

void exchange_drop_body(struct exchange *ex)
{
    drop_reading(ex);
    give_back_budget(ex);
    buf_finish(&ex->body);
    arena_finish(&ex->parsing);
    ex->info.model = NULL;
    ex->info.splices = NULL;
    ex->info.splice_count = 0;
    ex->info.second = NULL;
}

static enum corral_err take_budget(struct exchange *ex, size_t bytes)
{
    enum corral_err err = body_budget_take(&ex->engine->house->bodies, ex->principal.tenant->id,
                                           bytes, &ex->snapshot->settings.limits);

    ex->body_counted += err == CE_OK ? bytes : 0;
    return err;
}

/* ---- reading in steps ---- */

static void start_reading(struct exchange *ex)
{
    const struct request_rules rules = exchange_reading_rules(ex);
    struct body_reading *r = xcalloc(1, sizeof(*r));

    r->ex = ex;
    list_init(&r->of_tenant);
    r->reader = request_reader_create(ex->route, &rules, &r->scratch);
    ex->reading = r;
}

/* The body is of no use any more: its memory goes, its bytes are only counted from now on. */
static void note_fault(struct body_reading *r, enum corral_err fault)
{
    struct exchange *ex = r->ex;

    leave_turns(r);
    r->fault = fault;
    r->discarded = ex->body.len;
    if (r->field != NULL) { /* it may lie in the scratch */
        r->field = arena_copy(&ex->arena, slice_of(r->field, strlen(r->field) + 1)).ptr;
    }
    buf_finish(&ex->body);
    arena_finish(&r->scratch);
    give_back_budget(ex);
}

static void finish_reading(struct body_reading *r)
{
    struct exchange *ex = r->ex;
    enum corral_err err =
        request_reader_finish(r->reader, buf_slice(&ex->body), &ex->parsing, &ex->info);

    leave_turns(r);
    bool passes = exchange_body_passes(ex, err);

    ex->info.parts = NULL;
    if (passes) {
        drop_reading(ex);
        exchange_admit(ex, INTERN_NONE);
    } /* else the exchange has ended */
}

static void fail_reading(struct body_reading *r, enum corral_err err, const char *field)
{
    exchange_fail_detail(r->ex, err, slice_str(field == NULL ? "" : field));
}

/* The reader's own memory, which grows with the keys of the body, counts like the body. */
static enum corral_err count_memory(struct body_reading *r)
{
    size_t now = request_reader_memory(r->reader);
    enum corral_err err = now > r->counted ? take_budget(r->ex, now - r->counted) : CE_OK;

    r->counted = now > r->counted ? now : r->counted;
    return err;
}

/* One step. Returns the bytes read. The exchange may have ended. */
static size_t read_step(struct body_reading *r)
{
    struct exchange *ex = r->ex;
    size_t left = ex->body.len - r->known;
    size_t step = left < BODY_STEP_BYTES ? left : BODY_STEP_BYTES;
    bool last = r->whole && step == left;

    r->known += step;
    enum corral_err err = request_reader_feed(
        r->reader, slice_of(buf_slice(&ex->body).ptr, r->known), last, &r->field);
    enum corral_err memory = err == CE_MORE ? count_memory(r) : CE_OK;

    if (memory != CE_OK) {
        exchange_fail(ex, memory);
    } else if (err == CE_OK) {
        finish_reading(r);
    } else if (err != CE_MORE && r->whole) {
        fail_reading(r, err, r->field);
    } else if (err != CE_MORE) {
        note_fault(r, err);
    } else if (step == left) {
        leave_turns(r); /* until more comes */
    }
    return step;
}

bool body_read_some(struct engine *e)
{
    size_t read = 0;

    while (!list_empty(&e->readers) && read < BODY_TURN_BYTES &&
           (read == 0 || !worker_share_is_spent(e->worker))) {
        struct body_tenant *t = CONTAINER_OF(e->readers.next, struct body_tenant, of_engine);
        struct body_reading *r = CONTAINER_OF(t->readings.next, struct body_reading, of_tenant);

        list_unlink(&t->of_engine); /* both to the back: the others come first now */
        list_push_back(&e->readers, &t->of_engine);
        list_unlink(&r->of_tenant);
        list_push_back(&t->readings, &r->of_tenant);
        read += read_step(r) + 1;
    }
    return !list_empty(&e->readers);
}

/* ---- what the front brings ---- */

/* A body of `len` bytes so far may take so long, from the request's beginning. */
static void set_deadline(struct exchange *ex, size_t len)
{
    struct worker *w = ex->engine->worker;
    uint64_t at_ms =
        ex->began_us / 1000 + ex->snapshot->settings.timeouts.body_s * 1000 + len / 65536 * 1000;

    deadline_set(&w->wheel, &ex->deadline, w->now_ms, at_ms > w->now_ms ? at_ms - w->now_ms : 0);
}

/* Bytes of a body that has a fault already: no more of them than a body may have. */
static void discard(struct exchange *ex, size_t len)
{
    ex->reading->discarded += len;
    if (ex->reading->discarded > ex->snapshot->settings.limits.body_bytes) {
        exchange_fail(ex, CE_BODY_TOO_LARGE);
    } else {
        set_deadline(ex, ex->reading->discarded);
    }
}

static enum corral_err collect(struct exchange *ex, struct slice bytes)
{
    enum corral_err err = take_budget(ex, bytes.len);

    if (err == CE_OK) {
        err = buf_append(&ex->body, bytes);
        err = err == CE_TOO_LARGE ? CE_BODY_TOO_LARGE : err;
    }
    return err;
}

void exchange_body(struct exchange *ex, struct slice bytes)
{
    if (ex->state != EX_BODY) {
        return;
    }
    if (ex->reading != NULL && ex->reading->fault != CE_OK) {
        discard(ex, bytes.len);
        return;
    }
    enum corral_err err = collect(ex, bytes);
    if (err != CE_OK) {
        exchange_fail(ex, err);
        return;
    }
    if (ex->reading == NULL && ex->body.len > BODY_DIRECT_BYTES) {
        start_reading(ex);
    }
    if (ex->reading != NULL) {
        wait_for_turn(ex->reading);
    }
    set_deadline(ex, ex->body.len);
}

void exchange_body_end(struct exchange *ex)
{
    struct body_reading *r = ex->reading;

    if (ex->state != EX_BODY) {
        return;
    }
    ex->expects_body = false;
    if (r == NULL) {
        exchange_body_ready(ex);
    } else if (r->fault != CE_OK) {
        fail_reading(r, r->fault, r->field);
    } else {
        r->whole = true;
        deadline_cancel(&ex->deadline); /* the rest is up to us */
        wait_for_turn(r);
    }
}

void exchange_body_failed(struct exchange *ex, enum corral_err why)
{
    if (ex->state == EX_BODY) {
        exchange_fail(ex, why);
    }
}
