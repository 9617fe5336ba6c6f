#include "ollama/stream.h"

#include "ollama/splice.h"
#include "ollama/stream_facts.h"

enum line { LINE_HEAD, LINE_SPACE, LINE_DATA, LINE_SKIP };

/* Where the sink stands in one input: bytes from `run` on are not given out yet. */
struct out {
    struct slice in;
    size_t run;
    size_t event; /* where the current event begins; its earlier bytes are in s->held */
    struct stream_sink sink;
};

void stream_init(struct stream *s, const struct route *route, bool streaming, bool strip_usage,
                 struct arena *arena)
{
    bool openai = route->stream == ROUTE_STREAM_CHAT || route->stream == ROUTE_STREAM_COMPLETIONS;

    *s = (struct stream){.route = route, .arena = arena, .held = buf_make(STREAM_EVENT_MAX)};
    s->framed = streaming && route->stream != ROUTE_STREAM_NEVER;
    s->strips = s->framed && strip_usage && openai;
    s->chunks_max = UINT64_MAX;
    stream_facts_init(s, s->framed);
}

void stream_bound(struct stream *s, uint64_t chunks)
{
    s->chunks_max = s->framed ? chunks : UINT64_MAX;
}

/* Whether an event waits until it is whole before it goes on. */
static bool holds(const struct stream *s)
{
    return s->strips || s->chunks >= s->chunks_max;
}

static void write_out(struct stream_sink sink, struct slice bytes)
{
    if (bytes.len > 0) {
        sink.write(sink.arg, bytes);
    }
}

/* Gives out what lies before `until` and begins the next run behind it. */
static void flush_run(struct out *o, size_t until)
{
    if (until > o->run) {
        write_out(o->sink, slice_of(o->in.ptr + o->run, until - o->run));
    }
    o->run = until;
}

static bool only_space(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != ' ' && s.ptr[i] != '\t' && s.ptr[i] != '\r' && s.ptr[i] != '\n') {
            return false;
        }
    }
    return true;
}

/* JSON of one event; what follows its value must be white space. */
static void feed_json(struct stream *s, struct slice bytes)
{
    size_t read = watch_feed(&s->watch, bytes);

    if (s->watch.ended && !only_space(slice_from(bytes, read))) {
        s->watch.broken = true;
    }
}

static void feed_payload(struct stream *s, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len && s->data_len <= sizeof(s->data); i++) {
        if (s->data_len < sizeof(s->data)) {
            s->data[s->data_len] = bytes.ptr[i];
        }
        s->data_len++;
    }
    if (bytes.len > 0 && s->data[0] != '[') {
        feed_json(s, bytes);
    }
}

/* A chunk has one `usage`; of one that has more, so many go as the list has room for. */
static enum splice_act drop_usage(void *arg, const struct scan_value *member, struct slice *with)
{
    size_t *room = arg;

    if (*room == 0 || !scan_key_is(member, SLICE_LITERAL("usage"))) {
        return SPLICE_KEEP;
    }
    --*room;
    return SPLICE_DROP;
}

/* An event's first data line, where its JSON stands. */
static struct slice payload_of(struct slice event)
{
    struct slice field = SLICE_LITERAL("data:");
    struct slice rest = event;

    while (rest.ptr != NULL && rest.len > 0) {
        size_t len = 0;

        while (len < rest.len && rest.ptr[len] != '\n' && rest.ptr[len] != '\r') {
            len++;
        }
        if (len >= field.len && slice_starts_with(rest, field)) {
            return slice_of(rest.ptr + field.len, len - field.len);
        }
        rest = slice_from(rest, len + 1);
    }
    return slice_of(event.ptr, 0);
}

static void write_without_usage(struct slice event, struct stream_sink sink)
{
    struct splice items[2] = {{0}};
    struct splice_list list = {.items = items, .max = ARRAY_LEN(items)};
    size_t room = ARRAY_LEN(items);
    struct splice_rule rule = {.decide = drop_usage, .arg = &room};
    struct slice payload = payload_of(event);
    struct scan_value root = scan_root(payload);
    size_t at = 0;

    if (root.kind == SCAN_OBJECT) {
        splice_object(&list, payload, &root, &rule, NULL);
    }
    for (size_t i = 0; i < list.count; i++) {
        size_t from = (size_t)(payload.ptr - event.ptr) + items[i].offset;

        write_out(sink, slice_of(event.ptr + at, from - at));
        at = from + items[i].len;
    }
    write_out(sink, slice_from(event, at));
}

/* The chunk that is there only because usage was asked for. */
static bool is_usage_only(unsigned facts)
{
    unsigned needed = FACT_CHOICES | FACT_USAGE;

    return (facts & (needed | FACT_CHOICE | FACT_BROKEN)) == needed;
}

static bool hold(struct stream *s, struct slice bytes)
{
    return buf_append(&s->held, bytes) == CE_OK;
}

/* An event ended at `end` of the input, and usage is to be taken out of it. */
static void strip_event(struct stream *s, struct out *o, size_t end, unsigned facts)
{
    bool drop = s->strips && is_usage_only(facts);
    bool edit = s->strips && !drop && s->route->stream == ROUTE_STREAM_COMPLETIONS &&
                (facts & (FACT_MEMBER | FACT_BROKEN)) == FACT_MEMBER;
    struct slice part = slice_of(o->in.ptr + o->event, end - o->event);

    if (s->passing || (!drop && !edit)) {
        write_out(o->sink, buf_slice(&s->held)); /* came before this input: the run begins here */
        buf_clear(&s->held);
        s->passing = false;
        return;
    }
    flush_run(o, o->event);
    o->run = end;
    if (edit && s->held.len == 0) {
        write_without_usage(part, o->sink);
    } else if (edit && hold(s, part)) {
        write_without_usage(buf_slice(&s->held), o->sink);
    } else if (edit) {
        write_out(o->sink, buf_slice(&s->held));
        write_out(o->sink, part);
    }
    buf_clear(&s->held);
}

/* This event is one too many: it and all behind it stay here. */
static void stop_before(struct stream *s, struct out *o)
{
    flush_run(o, o->event);
    o->run = o->in.len;
    buf_clear(&s->held);
    s->chunks--;
    s->over = true;
    s->inside = false;
}

static void event_end(struct stream *s, struct out *o, size_t end)
{
    bool held = holds(s);
    bool done = s->data_len == 6 && memcmp(s->data, "[DONE]", 6) == 0;
    bool openai = s->route->dialect == DIALECT_OPENAI;

    s->facts |= done && openai && s->route->stream != ROUTE_STREAM_RESPONSES ? FACT_LAST : 0u;
    unsigned facts = stream_facts_settle(s);
    if (s->chunks > s->chunks_max) {
        stop_before(s, o);
        return;
    }
    if (held) {
        strip_event(s, o, end, facts);
    }
    s->inside = false;
    o->event = end;
}

/* A line of an SSE stream ended at `end`; an empty one ends the event. */
static void line_end(struct stream *s, struct out *o, size_t end)
{
    bool empty = s->line_state == LINE_HEAD && s->head_len == 0;

    s->line_state = LINE_HEAD;
    s->head_len = 0;
    if (empty) {
        event_end(s, o, end);
    }
}

static void head_byte(struct stream *s, char c)
{
    if (c == ':') {
        bool data = s->head_len == 4 && memcmp(s->head, "data", 4) == 0;

        s->line_state = data ? LINE_SPACE : LINE_SKIP;
    } else if (s->head_len < sizeof(s->head)) {
        s->head[s->head_len++] = c;
    }
}

/* The bytes up to the line's end. */
static size_t line_bytes(struct stream *s, struct slice in)
{
    size_t len = 0;

    if (s->line_state == LINE_HEAD) {
        head_byte(s, in.ptr[0]);
        return 1;
    }
    if (s->line_state == LINE_SPACE) {
        s->line_state = LINE_DATA;
        if (in.ptr[0] == ' ') {
            return 1;
        }
    }
    while (len < in.len && in.ptr[len] != '\n' && in.ptr[len] != '\r') {
        len++;
    }
    if (s->line_state == LINE_DATA) {
        feed_payload(s, slice_of(in.ptr, len));
    }
    return len;
}

/* Lines end with LF, CR LF or CR (the EventSource grammar). */
static void feed_sse(struct stream *s, struct out *o)
{
    size_t at = 0;

    while (at < o->in.len && !s->over) {
        char c = o->in.ptr[at];

        if (c == '\n' && s->after_cr) {
            s->after_cr = false;
            at++;
            continue;
        }
        s->after_cr = c == '\r';
        if (c == '\n' || c == '\r') {
            at++;
            s->inside = true;
            line_end(s, o, at);
            continue;
        }
        s->inside = true;
        at += line_bytes(s, slice_of(o->in.ptr + at, o->in.len - at));
    }
}

static void feed_ndjson(struct stream *s, struct out *o)
{
    size_t at = 0;

    while (at < o->in.len && !s->over) {
        struct slice rest = slice_of(o->in.ptr + at, o->in.len - at);
        size_t len = slice_find(rest, '\n');

        feed_json(s, slice_of(rest.ptr, len));
        s->inside = s->inside || len > 0;
        at += len;
        if (len < rest.len) {
            at++;
            event_end(s, o, at);
        }
    }
}

/* One value; it is whole when its last bracket was seen. */
static void feed_plain(struct stream *s, struct slice in)
{
    feed_json(s, in);
    s->broken = s->broken || s->watch.broken;
    s->inside = true;
    if (s->watch.ended && !s->watch.broken && !s->complete) {
        s->saw_error_event = (s->facts & FACT_ERROR) != 0;
        s->chunks += (s->facts & FACT_OUTPUT) != 0 ? 1 : 0;
        s->complete = true;
    }
}

void stream_feed(struct stream *s, struct slice in, struct stream_sink sink)
{
    struct out o = {.in = in, .sink = sink};

    if (in.len == 0 || s->over) {
        return;
    }
    s->any_byte = true;
    if (!s->framed) {
        feed_plain(s, in);
    } else if (s->route->stream == ROUTE_STREAM_NDJSON) {
        feed_ndjson(s, &o);
    } else {
        feed_sse(s, &o);
    }
    if (s->over) {
        return;
    }
    if (!holds(s) || s->passing) {
        flush_run(&o, in.len);
        return;
    }
    flush_run(&o, o.event);
    if (hold(s, slice_of(in.ptr + o.event, in.len - o.event))) {
        return;
    }
    if (s->chunks >= s->chunks_max) { /* too long to know whether it may pass: it may not */
        buf_clear(&s->held);
        s->inside = false;
        s->over = true;
    } else {
        write_out(sink, buf_slice(&s->held));
        buf_clear(&s->held);
        flush_run(&o, in.len);
        s->passing = true;
    }
}

/* Pull, push and create end by ending; generate and chat must have said `done`. */
static bool may_end_so(const struct stream *s)
{
    if (!s->framed) {
        return s->route->class == ROUTE_ADMIN && !s->any_byte;
    }
    return s->route->class != ROUTE_INFERENCE && !s->broken && !s->saw_error_event;
}

void stream_end(struct stream *s, struct stream_sink sink)
{
    struct out o = {.in = slice_of("", 0), .sink = sink};

    if (s->framed && s->inside) {
        if (s->route->stream != ROUTE_STREAM_NDJSON) { /* an SSE event ends with its empty line */
            s->facts &= ~(unsigned)FACT_LAST;
            s->data_len = 0;
        }
        event_end(s, &o, 0);
    }
    write_out(sink, buf_slice(&s->held));
    buf_clear(&s->held);
    s->complete = s->complete || may_end_so(s);
}

void stream_cut(struct stream *s, struct stream_sink sink)
{
    bool went_by = s->framed && s->inside && (!holds(s) || s->passing);

    if (went_by) {
        write_out(sink, s->route->stream == ROUTE_STREAM_NDJSON ? SLICE_LITERAL("\n")
                                                                : SLICE_LITERAL("\n\n"));
    }
    s->inside = false;
    buf_clear(&s->held);
}

void stream_finish(struct stream *s)
{
    buf_finish(&s->held);
}
