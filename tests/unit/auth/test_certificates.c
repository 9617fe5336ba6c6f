#include "auth/impl.h"
#include "base/mem.h"
#include "unit.h"

static char *acme_names[] = {"spiffe://corral/acme", "dns:app.acme.test"};
static char *beta_names[] = {"spiffe://corral/beta"};
static struct tenant_settings tenants[] = {
    {.name = "acme", .verbs = 5, .certificate_names = acme_names, .certificate_name_count = 2},
    {.name = "none"},
    {.name = "beta", .verbs = 1, .certificate_names = beta_names, .certificate_name_count = 1},
};
static const struct auth_settings settings = {.tenants = tenants, .tenant_count = 3};

static const struct {
    const char *names[4]; /* up to the first NULL */
    enum corral_err err;
    const char *credential;
} cases[] = {
    {{"spiffe://corral/acme"}, CE_OK, "cert:spiffe://corral/acme"},
    {{"dns:app.acme.test"}, CE_OK, "cert:dns:app.acme.test"},
    {{"dns:x", "spiffe://corral/beta", "dns:y"}, CE_OK, "cert:spiffe://corral/beta"},
    {{"dns:app.acme.test", "spiffe://corral/acme"}, CE_OK, "cert:dns:app.acme.test"},
    {{NULL}, CE_AUTH_CERTIFICATE, NULL},
    {{""}, CE_AUTH_CERTIFICATE, NULL},
    {{"spiffe://corral/acm"}, CE_AUTH_CERTIFICATE, NULL},
    {{"spiffe://corral/acme/"}, CE_AUTH_CERTIFICATE, NULL},
    {{"Spiffe://corral/acme"}, CE_AUTH_CERTIFICATE, NULL},
    {{"app.acme.test"}, CE_AUTH_CERTIFICATE, NULL},
    {{"spiffe://corral/acme", "spiffe://corral/beta"}, CE_AUTH_CERTIFICATE_AMBIGUOUS, NULL},
    {{"spiffe://corral/beta", "dns:z", "dns:app.acme.test"}, CE_AUTH_CERTIFICATE_AMBIGUOUS, NULL},
};

START_TEST(exact_names_of_one_tenant_count)
{
    struct slice names[4];
    struct principal p = {0};
    struct auth *a;
    size_t count = 0;

    while (cases[_i].names[count] != NULL) {
        names[count] = slice_str(cases[_i].names[count]);
        count++;
    }
    ck_assert_int_eq(auth_create(&settings, &a, NULL), CE_OK);
    ck_assert(auth_has_credentials(a));
    ck_assert_int_eq(auth_identify_certificate(a, names, count, &p), cases[_i].err);
    if (cases[_i].err == CE_OK) {
        ck_assert(slice_eq_str(p.credential, cases[_i].credential));
        ck_assert_uint_eq(p.verbs, p.tenant->verbs);
        ck_assert_uint_eq(p.user.len, 0);
        ck_assert(!p.has_models);
    }
    auth_destroy(a);
}
END_TEST

START_TEST(a_nul_is_a_byte_like_any_other)
{
    const struct slice name = slice_of("dns:app.acme.test\0.evil", 23);
    struct principal p;
    struct auth *a;

    ck_assert_int_eq(auth_create(&settings, &a, NULL), CE_OK);
    ck_assert_int_eq(auth_identify_certificate(a, &name, 1, &p), CE_AUTH_CERTIFICATE);
    auth_destroy(a);
}
END_TEST

static Suite *certificates_suite(void)
{
    Suite *suite = suite_create("certificates");
    TCase *tc = tcase_create("certificates");

    tcase_add_loop_test(tc, exact_names_of_one_tenant_count, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(tc, a_nul_is_a_byte_like_any_other);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(certificates_suite)
