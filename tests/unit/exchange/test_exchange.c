#include "base/mem.h"
#include "exchange/fail.h"
#include "exchange/impl.h"
#include "unit.h"

#include <stdio.h>

/* CONTRACTS "Answers", as far as a single error decides it. */
static const struct {
    enum corral_err err;
    unsigned status;
    bool close;
} answers[] = {
    {CE_HTTP_CHUNK, 400, true},           {CE_HTTP_TARGET_TOO_LONG, 414, true},
    {CE_HTTP_HEAD_TOO_LARGE, 431, true},  {CE_HTTP_TOO_MANY_FIELDS, 431, true},
    {CE_HTTP_VERSION_UNKNOWN, 505, true}, {CE_HTTP_EXPECT, 417, true},
    {CE_HTTP_CODING_UNKNOWN, 501, true},  {CE_HTTP_HOST_FOREIGN, 421, true},
    {CE_AUTH_MISSING, 401, false},        {CE_AUTH_SIGNATURE, 401, false},
    {CE_AUTH_TENANT, 401, false},         {CE_AUTH_EXPIRED, 401, false},
    {CE_VERB_FORBIDDEN, 403, false},      {CE_MODEL_FORBIDDEN, 403, false},
    {CE_ADMIN_FORBIDDEN, 403, false},     {CE_ROUTE_UNKNOWN, 404, false},
    {CE_MODEL_UNKNOWN, 404, false},       {CE_METHOD_NOT_ALLOWED, 405, false},
    {CE_BODY_TIMEOUT, 408, true},         {CE_HTTP_LENGTH_REQUIRED, 411, false},
    {CE_BODY_TOO_LARGE, 413, true},       {CE_IMAGE_TOO_LARGE, 413, false},
    {CE_MEDIA_TYPE, 415, false},          {CE_CONTENT_ENCODING, 415, false},
    {CE_QUEUE_TENANT_FULL, 429, false},   {CE_QUEUE_FULL, 503, false},
    {CE_BODY_MEMORY_TENANT, 429, true},   {CE_BODY_MEMORY, 503, true},
    {CE_QUEUE_TIMEOUT, 503, false},       {CE_NO_REPLICA, 503, false},
    {CE_UPSTREAM_TLS, 502, false},        {CE_UPSTREAM_CONNECT, 502, false},
    {CE_UPSTREAM_CLOSED, 502, false},     {CE_UPSTREAM_NONSENSE, 502, false},
    {CE_UPSTREAM_FIRST_BYTE, 504, false}, {CE_UPSTREAM_LOAD, 504, false},
};

START_TEST(errors_have_the_status_of_the_contract)
{
    const struct failure *f = exchange_failure(answers[_i].err);

    ck_assert_msg(f->status == answers[_i].status, "%s", err_reason(answers[_i].err));
    ck_assert_msg(f->close == answers[_i].close, "%s", err_reason(answers[_i].err));
}
END_TEST

START_TEST(every_syntax_error_is_a_4xx_or_5xx_of_its_own)
{
    for (int err = CE_HTTP_LINE; err <= CE_HTTP_EXPECT; err++) {
        const struct failure *f = exchange_failure((enum corral_err)err);

        ck_assert_msg(f->status >= 400 && f->status != 500, "%s", err_reason((enum corral_err)err));
        ck_assert(strlen(f->sentence) > 10);
    }
}
END_TEST

START_TEST(all_credential_failures_look_the_same)
{
    const struct failure *first = exchange_failure(CE_AUTH_MISSING);

    for (int err = CE_AUTH_MISSING; err < CE_AUTH_FLOOD; err++) {
        const struct failure *f = exchange_failure((enum corral_err)err);

        ck_assert_uint_eq(f->status, 401);
        ck_assert_str_eq(f->sentence, first->sentence);
        ck_assert(corral_err_is_auth((enum corral_err)err));
    }
}
END_TEST

static struct engine *make_engine(struct worker *w)
{
    struct engine *e = xcalloc(1, sizeof(*e));

    e->worker = w;
    e->id_seed = 42;
    e->snapshot = xcalloc(1, sizeof(*e->snapshot));
    e->snapshot->settings.limits.auth_failures_per_10s = 3;
    e->snapshot->settings.limits.trusted_auth_failures_per_10s = 5;
    return e;
}

START_TEST(request_ids_differ)
{
    enum { IDS = 300 };
    static char ids[IDS][REQUEST_ID_BYTES];
    struct worker w = {0};
    struct engine *e = make_engine(&w);

    for (int i = 0; i < IDS; i++) {
        engine_request_id(e, ids[i]);
        ck_assert(memcmp(ids[i], "req_", 4) == 0);
        ck_assert(memcmp(ids[i] + 4, ids[i] + 20, 8) != 0);
        for (int j = 0; j < i; j++) {
            ck_assert(memcmp(ids[i], ids[j], REQUEST_ID_BYTES) != 0);
        }
    }
    free(e->snapshot);
    free(e);
}
END_TEST

START_TEST(failures_are_counted_in_a_window)
{
    struct worker w = {.now_ms = 100000};
    struct engine *e = make_engine(&w);

    ck_assert(!engine_failed_too_often(e, 7, false));
    for (int i = 0; i < 3; i++) {
        engine_count_failure(e, 7);
    }
    ck_assert(engine_failed_too_often(e, 7, false));
    ck_assert(!engine_failed_too_often(e, 8, false));
    ck_assert(!engine_failed_too_often(e, 7, true));
    engine_count_failure(e, 7);
    engine_count_failure(e, 7);
    ck_assert(engine_failed_too_often(e, 7, true));
    w.now_ms += 10001;
    ck_assert(!engine_failed_too_often(e, 7, false));
    engine_count_failure(e, 7);
    ck_assert(!engine_failed_too_often(e, 7, false));
    free(e->snapshot);
    free(e);
}
END_TEST

START_TEST(tickets_find_their_exchange)
{
    struct worker w = {0};
    struct engine *e = make_engine(&w);
    struct exchange *ex = xcalloc(1, sizeof(*ex));

    engine_map_ticket(e, (struct ticket_ref){1000, 1}, ex);
    ck_assert_ptr_eq(e->by_ticket[1000], ex);
    ck_assert_ptr_null(e->by_ticket[999]);
    engine_map_ticket(e, (struct ticket_ref){1000, 1}, NULL);
    ck_assert_ptr_null(e->by_ticket[1000]);
    free(ex);
    free(e->by_ticket);
    free(e->snapshot);
    free(e);
}
END_TEST

static Suite *exchange_suite(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tc = tcase_create("exchange");

    tcase_add_loop_test(tc, errors_have_the_status_of_the_contract, 0, (int)ARRAY_LEN(answers));
    tcase_add_test(tc, every_syntax_error_is_a_4xx_or_5xx_of_its_own);
    tcase_add_test(tc, all_credential_failures_look_the_same);
    tcase_add_test(tc, request_ids_differ);
    tcase_add_test(tc, failures_are_counted_in_a_window);
    tcase_add_test(tc, tickets_find_their_exchange);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(exchange_suite)
