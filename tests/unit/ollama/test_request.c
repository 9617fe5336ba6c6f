#include "base/buf.h"
#include "ollama/request.h"
#include "ollama/scan_check.h"
#include "unit.h"

/* Single quotes in these tables stand for double ones. */
enum { TEXT_MAX = 512 };

static struct slice quoted(const char *text, char *room)
{
    size_t len = strlen(text);

    ck_assert_uint_lt(len, TEXT_MAX);
    for (size_t i = 0; i < len; i++) {
        room[i] = text[i] == '\'' ? '"' : text[i];
    }
    return slice_of(room, len);
}

static const struct route *route_of(const char *path)
{
    struct route_match m;
    struct slice method = slice_str(strcmp(path, "/api/delete") == 0 ? "DELETE" : "POST");

    ck_assert_int_eq(route_find(method, slice_str(path), &m), CE_OK);
    return m.route;
}

static enum corral_err watch_nothing(void *arg, size_t depth, uint8_t around,
                                     const struct scan_value *v, uint8_t *out_role)
{
    return CE_OK;
}

/* JSON to Go: keys of maps may differ in case only. */
static bool is_json(struct slice text)
{
    static const struct scan_visitor visitor = {.on_begin = watch_nothing};
    struct scan_check c;
    struct arena arena = {0};

    scan_check_init(&c, SCAN_KEYS_MAX, &arena, &visitor, NULL);
    enum corral_err err = scan_check_feed(&c, text, true);

    arena_finish(&arena);
    return err == CE_OK;
}

/* The body as it is sent; checked to be strict JSON of the length that was announced. */
static struct buf sent(struct slice body, const struct request_info *info)
{
    struct buf out = buf_make(1 << 20);
    struct splice_pos pos = {0};
    struct slice piece;

    while (splice_next(body, info, &pos, SIZE_MAX, &piece)) {
        ck_assert_uint_gt(piece.len, 0);
        ck_assert_int_eq(buf_append(&out, piece), CE_OK);
    }
    ck_assert_uint_eq(out.len, splice_total(body.len, info));
    ck_assert_msg(is_json(buf_slice(&out)), "%.*s", SLICE_ARG(buf_slice(&out)));
    return out;
}

static void expect_sent(const char *path, const char *text, const struct request_rules *rules,
                        const char *expected)
{
    char body_room[TEXT_MAX];
    char expected_room[TEXT_MAX];
    struct slice body = quoted(text, body_room);
    struct slice want = quoted(expected, expected_room);
    struct arena arena = {0};
    struct request_info info;
    enum corral_err err = request_read(route_of(path), body, rules, &arena, &arena, &info);

    ck_assert_msg(err == CE_OK, "%s: %s", text, err_reason(err));
    request_rewrite(&info, rules, &arena);
    struct buf out = sent(body, &info);

    ck_assert_msg(slice_eq(buf_slice(&out), want), "%s\n%.*s\n%s", text, SLICE_ARG(buf_slice(&out)),
                  expected);
    buf_finish(&out);
    arena_finish(&arena);
}

START_TEST(what_goes_upstream)
{
    static const struct {
        const char *path;
        const char *body;
        const char *sent;
    } cases[] = {
        /* S-272: numbers are not touched */
        {"/api/chat", "{'model':'a','options':{'seed':9007199254740993,'x':-0,'y':1E2}}",
         "{'model':'a','options':{'seed':9007199254740993,'x':-0,'y':1E2}}"},
        /* S-282 */
        {"/api/chat", "{'model':'a','keep_alive':-1}", "{'model':'a'}"},
        {"/api/chat", "{'keep_alive':'87600h','model':'a'}", "{'model':'a'}"},
        {"/api/chat", "{ 'x':1 , 'keep_alive' : {'a':[1,'}']} , 'model' : 'a' }",
         "{ 'x':1 , 'model' : 'a' }"},
        {"/api/embed", "{'model':'a','KEEP_ALIVE':0}", "{'model':'a'}"},
        {"/api/chat", "{'model':'a','\\u212aeep_alive':0}", "{'model':'a'}"},
        {"/v1/chat/completions", "{'model':'a','keep_alive':1e300}", "{'model':'a'}"},
        {"/v1/messages", "{'keep_alive':null,'model':'a','max_tokens':5}",
         "{'model':'a','max_tokens':5}"},
        /* S-283: what reloads the model */
        {"/api/chat",
         "{'model':'a','options':{'num_ctx':1000000000,'num_batch':1,'num_gpu':1,'main_gpu':1,"
         "'use_mmap':true,'num_thread':1,'draft_num_predict':1},'shift':false}",
         "{'model':'a','options':{}}"},
        {"/api/chat", "{'model':'a','options':{'num_ctx':1,'seed':2,'num_gpu':3}}",
         "{'model':'a','options':{'seed':2}}"},
        {"/api/chat", "{'model':'a','options':{'seed':2,'num_ctx':1,'top_k':3}}",
         "{'model':'a','options':{'seed':2,'top_k':3}}"},
        {"/api/chat", "{'model':'a','options':{'num_ctx':1,'num_gpu':1,'seed':2,'num_keep':3}}",
         "{'model':'a','options':{'seed':2,'num_keep':3}}"},
        {"/api/chat", "{'model':'a','options':null}", "{'model':'a','options':null}"},
        /* S-268: the old field */
        {"/api/show", "{'model':'','system':'','name':'tiny'}", "{'model':'tiny','system':''}"},
        {"/api/show", "{'name':'tiny','verbose':true}", "{'model':'tiny','verbose':true}"},
        {"/api/show", "{'name':'tiny','model':null}", "{'model':'tiny'}"},
        {"/api/show", "{'name':'a','model':'a'}", "{'name':'a','model':'a'}"},
        {"/api/chat", "{'Name':'ti\\u006ey'}", "{'model':'tiny'}"},
        {"/v1/embeddings", "{'name':'b','model':'a'}", "{'name':'b','model':'a'}"},
        /* S-279 */
        {"/api/pull", "{'model':'a','insecure':true}", "{'model':'a'}"},
        /* usage */
        {"/v1/chat/completions", "{'model':'a','stream':true}",
         "{'stream_options':{'include_usage':true},'model':'a','stream':true}"},
        {"/v1/completions", "{'model':'a','stream':true,'stream_options':null}",
         "{'model':'a','stream':true,'stream_options':{'include_usage':true}}"},
        {"/v1/chat/completions", "{'model':'a','stream':true,'stream_options':{}}",
         "{'model':'a','stream':true,'stream_options':{'include_usage':true}}"},
        {"/v1/chat/completions", "{'model':'a','stream':true,'stream_options':{'x':1}}",
         "{'model':'a','stream':true,'stream_options':{'include_usage':true,'x':1}}"},
        {"/v1/chat/completions",
         "{'model':'a','stream':true,'stream_options':{'include_usage':false,'x':1}}",
         "{'model':'a','stream':true,'stream_options':{'include_usage':true,'x':1}}"},
        {"/v1/chat/completions",
         "{'model':'a','stream':true,'stream_options':{'include_usage':true}}",
         "{'model':'a','stream':true,'stream_options':{'include_usage':true}}"},
        {"/v1/chat/completions", "{'model':'a','stream':false}", "{'model':'a','stream':false}"},
        {"/v1/responses", "{'model':'a','stream':true}", "{'model':'a','stream':true}"},
        /* max_completion_tokens, the smaller wins */
        {"/v1/chat/completions", "{'model':'a','max_completion_tokens':7}",
         "{'max_tokens':7,'model':'a'}"},
        {"/v1/chat/completions", "{'max_tokens':9,'model':'a','max_completion_tokens':7}",
         "{'max_tokens':7,'model':'a'}"},
        {"/v1/chat/completions", "{'max_completion_tokens':9,'model':'a','max_tokens':7}",
         "{'model':'a','max_tokens':7}"},
        {"/v1/chat/completions", "{'max_completion_tokens':null,'model':'a'}", "{'model':'a'}"},
        /* unknown fields pass */
        {"/v1/chat/completions", "{'n':1,'user':'u','model':'a','logit_bias':{}}",
         "{'n':1,'user':'u','model':'a','logit_bias':{}}"},
    };
    struct request_rules rules = request_rules_default();

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect_sent(cases[i].path, cases[i].body, &rules, cases[i].sent);
    }
}
END_TEST

START_TEST(output_is_bounded)
{
    static const struct {
        const char *path;
        int64_t bound;
        const char *body;
        const char *sent;
    } cases[] = {
        {"/api/chat", 64, "{'model':'a'}", "{'options':{'num_predict':64},'model':'a'}"},
        {"/api/generate", 64, "{'model':'a','options':null}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{}}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_ctx':4}}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_ctx':4,'seed':1}}",
         "{'model':'a','options':{'num_predict':64,'seed':1}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':-1}}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':-2,'num_gpu':1}}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':0}}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':1e9}}",
         "{'model':'a','options':{'num_predict':64}}"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':10}}",
         "{'model':'a','options':{'num_predict':10}}"},
        /* Ollama reads option names in exact case only: another spelling is another option */
        {"/api/chat", 64, "{'model':'a','options':{'Num_Predict':10}}",
         "{'model':'a','options':{'num_predict':64,'Num_Predict':10}}"},
        {"/api/chat", 64, "{'model':'a','options':{'Num_Predict':99,'num_pred\\u0069ct':98}}",
         "{'model':'a','options':{'Num_Predict':99,'num_predict':64}}"},
        {"/api/chat", 0, "{'model':'a'}", "{'options':{'num_predict':1},'model':'a'}"},
        {"/v1/chat/completions", 64, "{'model':'a'}", "{'max_tokens':64,'model':'a'}"},
        {"/v1/chat/completions", 64, "{'model':'a','max_tokens':null}",
         "{'model':'a','max_tokens':64}"},
        {"/v1/chat/completions", 64, "{'model':'a','Max_Tokens':100}",
         "{'model':'a','max_tokens':64}"},
        {"/v1/chat/completions", 64, "{'model':'a','max_tokens':3,'max_completion_tokens':100}",
         "{'model':'a','max_tokens':3}"},
        {"/v1/completions", 64, "{'model':'a','stream':true}",
         "{'max_tokens':64,'stream_options':{'include_usage':true},'model':'a','stream':true}"},
        {"/v1/responses", 64, "{'model':'a','max_output_tokens':100}",
         "{'model':'a','max_output_tokens':64}"},
        {"/v1/messages", 64, "{'max_tokens':100,'model':'a'}", "{'max_tokens':64,'model':'a'}"},
        {"/api/embed", 64, "{'model':'a','input':'x'}", "{'model':'a','input':'x'}"},
        {"/api/show", 64, "{'model':'a'}", "{'model':'a'}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct request_rules rules = request_rules_default();

        rules.output_bound = cases[i].bound;
        expect_sent(cases[i].path, cases[i].body, &rules, cases[i].sent);
    }
}
END_TEST

START_TEST(a_models_entry_allows_options)
{
    struct request_rules rules = request_rules_default();

    rules.allowed_options = REQUEST_NUM_GPU | REQUEST_SHIFT;
    rules.num_ctx_max = 8192;
    expect_sent("/api/chat",
                "{'model':'a','options':{'num_ctx':4096,'num_gpu':1,'num_batch':2},'shift':true}",
                &rules, "{'model':'a','options':{'num_ctx':4096,'num_gpu':1},'shift':true}");
    expect_sent("/api/chat", "{'model':'a','options':{'num_ctx':1e9}}", &rules,
                "{'model':'a','options':{'num_ctx':8192}}");
    expect_sent("/api/chat", "{'model':'a','options':{'num_ctx':-1,'seed':1}}", &rules,
                "{'model':'a','options':{'seed':1}}");
    expect_sent("/api/chat", "{'model':' a\\t ','x':1}", &rules, "{'model':'a','x':1}");
    expect_sent("/v1/messages", "{'model':'a:1b\\u0020'}", &rules, "{'model':'a:1b'}");
    expect_sent("/api/show", "{'model':'','name':' a '}", &rules, "{'model':'a'}");
    expect_sent("/api/show", "{'model':' a','name':'a '}", &rules, "{'model':'a'}");
    rules.num_ctx_max = 0;
    expect_sent("/api/chat", "{'model':'a','options':{'num_ctx':4096}}", &rules,
                "{'model':'a','options':{}}");
}
END_TEST

START_TEST(what_is_changed_is_said)
{
    static const struct {
        const char *path;
        int64_t bound;
        const char *body;
        const char *said;
    } cases[] = {
        {"/api/chat", -1, "{'model':'a','options':{'seed':1,'num_predict':5},'stream':true}", ""},
        {"/api/chat", -1, "{'model':'a','keep_alive':null,'options':{'num_gpu':null}}", ""},
        {"/api/chat", -1, "{'model':'a','KEEP_ALIVE':1,'shift':true,'insecure':true}",
         "keep_alive;dropped, shift;dropped, insecure;dropped"},
        {"/api/chat", -1, "{'model':'a','options':{'num_ctx':9000,'num_gpu':1,'num_batch':2}}",
         "options.num_ctx;clamped=8192, options.num_batch;dropped"},
        {"/api/chat", -1, "{'model':'a','options':{'num_ctx':8192}}", ""},
        {"/api/chat", -1, "{'model':'a','options':{'num_ctx':-1}}", "options.num_ctx;dropped"},
        {"/api/chat", 64, "{'model':'a'}", "options.num_predict;bounded=64"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':65}}",
         "options.num_predict;bounded=64"},
        {"/api/chat", 64, "{'model':'a','options':{'num_predict':6e1}}", ""},
        {"/v1/chat/completions", 64, "{'model':'a','max_tokens':99}", "max_tokens;bounded=64"},
        {"/v1/chat/completions", -1, "{'model':'a','max_completion_tokens':9,'stream':true}",
         "max_completion_tokens;renamed=max_tokens"},
        {"/v1/responses", 64, "{'model':'a'}", "max_output_tokens;bounded=64"},
        {"/api/show", -1, "{'model':'','name':'a'}", "name;renamed=model"},
        {"/api/chat", -1, "{'model':' a'}", "model;trimmed"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct request_rules rules = request_rules_default();
        char room[TEXT_MAX];
        struct arena arena = {0};
        struct request_info info;

        rules.allowed_options = REQUEST_NUM_GPU;
        rules.num_ctx_max = 8192;
        rules.output_bound = cases[i].bound;
        ck_assert_int_eq(request_read(route_of(cases[i].path), quoted(cases[i].body, room), &rules,
                                      &arena, &arena, &info),
                         CE_OK);
        request_rewrite(&info, &rules, &arena);
        ck_assert_msg(slice_eq_str(info.changed, cases[i].said), "%s: %.*s", cases[i].body,
                      SLICE_ARG(info.changed));
        arena_finish(&arena);
    }
}
END_TEST

/* Every order of four members, each of two kept and two dropped: valid, and only the kept left. */
START_TEST(members_go_from_any_place)
{
    static const char *const members[] = {"\"model\":\"a\"", "\"keep_alive\":[1,{\"x\":\",\"}]",
                                          "\"shift\":1", "\"z\":{\"keep_alive\":1}"};
    struct request_rules rules = request_rules_default();
    const struct route *route = route_of("/api/chat");

    for (unsigned order = 0; order < 256; order++) {
        unsigned at[] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
        unsigned seen = 1u << at[0] | 1u << at[1] | 1u << at[2] | 1u << at[3];
        struct buf body = buf_make(1024);
        struct arena arena = {0};
        struct request_info info;

        if (seen != 15) {
            continue;
        }
        for (size_t i = 0; i < 4; i++) {
            ck_assert_int_eq(buf_printf(&body, "%s %s ", i == 0 ? "{" : ",", members[at[i]]),
                             CE_OK);
        }
        ck_assert_int_eq(buf_append_str(&body, "}"), CE_OK);
        ck_assert_int_eq(request_read(route, buf_slice(&body), &rules, &arena, &arena, &info),
                         CE_OK);
        request_rewrite(&info, &rules, &arena);
        struct buf out = sent(buf_slice(&body), &info);
        struct slice text = buf_slice(&out);

        ck_assert_ptr_null(memmem(text.ptr, text.len, "shift", 5));
        ck_assert_ptr_null(memmem(text.ptr, text.len, ",\"}]", 4));
        ck_assert_ptr_nonnull(memmem(text.ptr, text.len, members[0], strlen(members[0])));
        ck_assert_ptr_nonnull(memmem(text.ptr, text.len, members[3], strlen(members[3])));
        buf_finish(&out);
        buf_finish(&body);
        arena_finish(&arena);
    }
}
END_TEST

static const struct {
    const char *path;
    const char *body;
    enum corral_err err;
    const char *field;
} refused[] = {
    {"/api/chat", "", CE_JSON_SYNTAX, NULL},
    {"/api/chat", "[]", CE_JSON_TYPE, "the body itself, which must be an object"},
    {"/api/chat", "{'model':'a','Model':'b'}", CE_JSON_DUPLICATE, NULL},
    {"/api/chat", "{}", CE_MODEL_MISSING, "model"},
    {"/api/chat", "{'model':''}", CE_MODEL_MISSING, "model"},
    {"/api/chat", "{'model':null,'name':''}", CE_MODEL_MISSING, "model"},
    {"/v1/chat/completions", "{'model':'','name':'a'}", CE_MODEL_MISSING, "model"},
    {"/api/chat", "{'model':5}", CE_JSON_TYPE, "model"},
    {"/api/chat", "{'MODEL':{}}", CE_JSON_TYPE, "model"},
    {"/api/chat", "{'model':'a','name':'b'}", CE_FIELD_REFUSED, "name"},
    {"/api/show", "{'model':'  ','name':'b'}", CE_FIELD_REFUSED, "name"},
    {"/api/chat", "{'model':'../x'}", CE_MODEL_NAME, "model"},
    {"/api/chat", "{'model':'x:cloud'}", CE_MODEL_REMOTE, "model"},
    {"/v1/messages", "{'model':'x:20b-Cloud '}", CE_MODEL_REMOTE, "model"},
    {"/v1/chat/completions", "{'model':'x:\\u0063loud'}", CE_MODEL_REMOTE, "model"},
    {"/api/show", "{'name':'x:cloud','model':''}", CE_MODEL_REMOTE, "model"},
    {"/api/chat", "{'model':'a','stream':'yes'}", CE_JSON_TYPE, "stream"},
    {"/api/chat", "{'model':'a','stream':1}", CE_JSON_TYPE, "stream"},
    {"/api/chat", "{'model':'a','options':[]}", CE_JSON_TYPE, "options"},
    {"/api/chat", "{'model':'a','options':{'num_predict':'5'}}", CE_JSON_TYPE,
     "options.num_predict"},
    {"/api/chat", "{'model':'a','messages':{}}", CE_JSON_TYPE, "messages"},
    {"/v1/chat/completions", "{'model':'a','max_tokens':'5'}", CE_JSON_TYPE, "max_tokens"},
    {"/v1/chat/completions", "{'model':'a','stream_options':1}", CE_JSON_TYPE, "stream_options"},
    {"/v1/chat/completions", "{'model':'a','stream_options':{'include_usage':1}}", CE_JSON_TYPE,
     "stream_options.include_usage"},
    /* S-286 */
    {"/api/chat", "{'model':'a','_debug_render_only':true}", CE_FIELD_REFUSED,
     "_debug_render_only"},
    {"/api/chat", "{'model':'a','_other':true}", CE_FIELD_REFUSED, "_other"},
    {"/v1/chat/completions", "{'model':'a','\\u005fdebug_render_only':true}", CE_FIELD_REFUSED,
     "\\u005fdebug_render_only"},
    {"/api/copy", "{'source':'a'}", CE_MODEL_MISSING, "destination"},
    {"/api/copy", "{'source':'a','destination':'http://h.x/b/c'}", CE_MODEL_NAME, "destination"},
    {"/api/pull", "{'model':'http://169.254.169.254/a/b'}", CE_MODEL_NAME, "model"},
    /* S-287 */
    {"/api/generate", "{'model':'a','images':['not base64!']}", CE_JSON_TYPE, "images"},
    {"/api/generate", "{'model':'a','images':['']}", CE_JSON_TYPE, "images"},
    {"/api/generate", "{'model':'a','images':['AAAA\\nAAAA']}", CE_JSON_TYPE, "images"},
    {"/api/generate", "{'model':'a','images':[1]}", CE_JSON_TYPE, "images"},
    {"/api/generate", "{'model':'a','images':'AAAA'}", CE_JSON_TYPE, "images"},
    {"/api/chat", "{'model':'a','messages':[{'images':['AAA']}]}", CE_JSON_TYPE, "images"},
    {"/api/chat", "{'model':'a','messages':[{'Images':['AAAAAAAAAAAA']}]}", CE_IMAGE_TOO_LARGE,
     "images"},
    {"/v1/chat/completions",
     "{'model':'a','messages':[{'content':[{'type':'image_url','image_url':{'url':"
     "'data:image/png;base64,AAAAAAAAAAAA'}}]}]}",
     CE_IMAGE_TOO_LARGE, "image_url"},
    {"/v1/chat/completions",
     "{'model':'a','messages':[{'content':[{'type':'image_url','image_url':{'url':"
     "'data:image/png;base64,!'}}]}]}",
     CE_JSON_TYPE, "image_url"},
    {"/v1/responses",
     "{'model':'a','input':[{'content':[{'image_url':'data:image/png;base64,AAAAAAAAAAAA'}]}]}",
     CE_IMAGE_TOO_LARGE, "image_url"},
    {"/v1/messages",
     "{'model':'a','messages':[{'content':[{'type':'tool_result','content':[{'source':{'data':"
     "'AAAAAAAAAAAA'}}]}]}]}",
     CE_IMAGE_TOO_LARGE, "source.data"},
    {"/api/generate", "{'model':'a','images':['AAAA','AAAA','AAAA']}", CE_IMAGE_TOO_LARGE,
     "images"},
    {"/api/generate", "{'model':'a','images':['AAAA','AAAA','AA==','AA==']}", CE_IMAGE_TOO_LARGE,
     "images"},
    /* S-288, S-289 */
    {"/api/chat", "{'model':'a','messages':[{},{},{},{}]}", CE_BODY_TOO_LARGE, "messages"},
    {"/v1/embeddings", "{'model':'a','input':['a','b','c','d']}", CE_BODY_TOO_LARGE, "input"},
};

START_TEST(what_is_refused)
{
    struct request_rules rules = request_rules_default();

    rules.image_bytes_max = 6;
    rules.images_bytes_max = 8;
    rules.images_max = 3;
    rules.messages_max = 3;
    rules.inputs_max = 3;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char room[TEXT_MAX];
        struct arena arena = {0};
        struct request_info info;
        enum corral_err err = request_read(route_of(refused[i].path), quoted(refused[i].body, room),
                                           &rules, &arena, &arena, &info);

        ck_assert_msg(err == refused[i].err, "%s: %s", refused[i].body, err_reason(err));
        ck_assert_msg((info.field == NULL) == (refused[i].field == NULL), "%s", refused[i].body);
        if (refused[i].field != NULL) {
            ck_assert_str_eq(info.field, refused[i].field);
        }
        arena_finish(&arena);
    }
}
END_TEST

static struct request_info read_ok(const char *path, const char *text, struct arena *arena,
                                   char *room)
{
    struct request_rules rules = request_rules_default();
    struct request_info info;

    rules.allow_remote = true;
    ck_assert_int_eq(request_read(route_of(path), quoted(text, room), &rules, arena, arena, &info),
                     CE_OK);
    return info;
}

START_TEST(what_is_read)
{
    struct arena arena = {0};
    char room[TEXT_MAX];
    struct request_info i = read_ok(
        "/api/chat", "{'model':' Ll\\u0061ma3 ','messages':[{},{'images':['AA\\/=','AAAA']}]}",
        &arena, room);

    ck_assert(slice_eq_str(i.spelled, "Llama3"));
    ck_assert(slice_eq_str(model_short(i.model), "llama3:latest"));
    ck_assert(i.stream && !i.is_load_or_unload && !i.usage_injected);
    ck_assert_uint_eq(i.messages, 2);
    ck_assert_uint_eq(i.images, 2);
    ck_assert_uint_eq(i.images_bytes, 5);
    ck_assert_int_eq(i.output_asked, -1);
    ck_assert_int_eq(i.output_bound, -1);
    ck_assert_uint_gt(i.prompt_bytes, 6000);

    i = read_ok("/api/chat", "{'model':'x:cloud','stream':false}", &arena, room);
    ck_assert(i.remote && !i.stream && i.is_load_or_unload && !i.is_unload);
    i = read_ok("/api/generate", "{'model':'a','keep_alive':'0s','prompt':''}", &arena, room);
    ck_assert(i.is_load_or_unload && i.is_unload);
    i = read_ok("/api/generate", "{'model':'a','keep_alive':0.0e5}", &arena, room);
    ck_assert(i.is_unload);
    i = read_ok("/api/generate", "{'model':'a','keep_alive':'10s'}", &arena, room);
    ck_assert(i.is_load_or_unload && !i.is_unload);
    i = read_ok("/api/generate", "{'model':'a','keep_alive':0,'prompt':'x'}", &arena, room);
    ck_assert(!i.is_load_or_unload && !i.is_unload);
    i = read_ok("/api/embed", "{'model':'a','stream':true,'input':['a','b']}", &arena, room);
    ck_assert(!i.stream && !i.is_load_or_unload);
    ck_assert_uint_eq(i.inputs, 2);
    i = read_ok("/v1/embeddings", "{'model':'a','input':[1,2,3]}", &arena, room);
    ck_assert_uint_eq(i.inputs, 1);
    i = read_ok("/v1/chat/completions", "{'model':'a','stream':true,'max_tokens':9}", &arena, room);
    ck_assert(i.stream && i.usage_injected && !i.client_asked_usage);
    ck_assert_int_eq(i.output_asked, 9);
    i = read_ok("/v1/chat/completions",
                "{'model':'a','stream':true,'Stream_Options':{'Include_Usage':true}}", &arena,
                room);
    ck_assert(!i.usage_injected && i.client_asked_usage);
    i = read_ok("/api/copy", "{'source':'a','destination':'me/b:1'}", &arena, room);
    ck_assert(i.second != NULL && slice_eq_str(model_short(i.second), "me/b:1"));
    i = read_ok("/v1/messages", "{'model':'a','max_tokens':16,'stream':null}", &arena, room);
    ck_assert(!i.stream);
    ck_assert_int_eq(i.output_asked, 16);
    arena_finish(&arena);
}
END_TEST

START_TEST(a_bound_can_come_later)
{
    char room[TEXT_MAX];
    struct slice body = quoted("{'model':'a','options':{'num_predict':500,'num_gpu':1}}", room);
    const struct route *route = route_of("/api/chat");
    struct request_rules rules = request_rules_default();
    struct arena arena = {0};
    struct request_info info;

    ck_assert_int_eq(request_read(route, body, &rules, &arena, &arena, &info), CE_OK);
    for (int64_t bound = 1000; bound >= 10; bound /= 10) {
        rules.output_bound = bound;
        request_rewrite(&info, &rules, &arena);
        ck_assert_int_eq(info.output_bound, bound < 500 ? bound : 500);
        struct buf out = sent(body, &info);
        struct slice text = buf_slice(&out);
        struct scan_value root = scan_root(text);
        struct scan_value v;

        ck_assert(scan_find(text, &root, SLICE_LITERAL("options"), &v) &&
                  scan_find(text, &v, SLICE_LITERAL("num_predict"), &v));
        ck_assert_int_eq(scan_integer(text, &v), info.output_bound);
        buf_finish(&out);
    }
    arena_finish(&arena);
}
END_TEST

static Suite *request_suite(void)
{
    Suite *suite = suite_create("ollama_request");
    TCase *tc = tcase_create("request");

    tcase_add_test(tc, what_goes_upstream);
    tcase_add_test(tc, output_is_bounded);
    tcase_add_test(tc, a_models_entry_allows_options);
    tcase_add_test(tc, what_is_changed_is_said);
    tcase_add_test(tc, members_go_from_any_place);
    tcase_add_test(tc, what_is_refused);
    tcase_add_test(tc, what_is_read);
    tcase_add_test(tc, a_bound_can_come_later);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(request_suite)
