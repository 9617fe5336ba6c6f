/* P-06: no spelling of an admin route is anything but refused or that very route, which is closed.
 */
#include <stdio.h>

#include "http/h1_head.h"
#include "ollama/route.h"
#include "unit.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { SPELLINGS = 100000, TARGET_MAX = 1024, CHANGES_MAX = 4 };

static const struct {
    const char *method;
    const char *path;
    bool any_behind; /* the route takes whatever follows, and refuses it */
} closed[] = {
    {"POST", "/api/pull", false},
    {"POST", "/api/push", false},
    {"POST", "/api/create", false},
    {"POST", "/api/copy", false},
    {"DELETE", "/api/delete", false},
    {"POST", "/api/blobs/sha256:" HEX64, false},
    {"HEAD", "/api/blobs/sha256-" HEX64, false},
    {"POST", "/api/me", false},
    {"POST", "/api/signout", false},
    {"DELETE", "/api/user/keys/abc", true},
    {"POST", "/api/experimental/web_search", true},
    {"POST", "/api/experimental/web_fetch", true},
    {"GET", "/api/status", false},
    {"POST", "/v1/audio/transcriptions", false},
};

/* Every run tries the same ones: a generator of our own, xorshift64. */
static uint64_t dice_state;

static size_t dice(size_t below)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (size_t)(dice_state % below);
}

struct target {
    char data[TARGET_MAX];
    size_t len;
};

/* Put `text` in place of `len` bytes at `at`, if there is room. */
static void replace(struct target *t, size_t at, size_t len, const char *text)
{
    size_t fresh = strlen(text);

    if (t->len - len + fresh <= sizeof(t->data)) {
        memmove(t->data + at + fresh, t->data + at + len, t->len - at - len);
        memcpy(t->data + at, text, fresh);
        t->len = t->len - len + fresh;
    }
}

static void encode_one(struct target *t, const char *prefix, const char *digits)
{
    size_t at = dice(t->len);
    unsigned char byte = (unsigned char)t->data[at];
    char text[16];

    snprintf(text, sizeof(text), "%s%c%c", prefix, digits[byte >> 4], digits[byte & 15]);
    replace(t, at, 1, text);
}

static void replace_slash(struct target *t)
{
    static const char *const slashes[] = {
        "//",       "/./",           "/x/../",       "\\",       "%2f",        "%2F",
        "%5c",      "/;a/",          "/%2e/",        "\xc0\xaf", "%c0%af",     "%252f",
        "/..;/",    "/ /",           "\t",           "/%00/",    "///",        "/.%2e/x/",
        "%u002f/x", "/\xe2\x88\x95", "\xef\xbc\x8f", "/%0a",     "/a/%2e%2e/", "/../",
    };
    size_t at = dice(t->len);

    while (at < t->len && t->data[at] != '/') {
        at++;
    }
    if (at < t->len) {
        replace(t, at, 1, slashes[dice(ARRAY_LEN(slashes))]);
    }
}

static void append_one(struct target *t)
{
    static const char *const ends[] = {"/",      "/.",  "/..", ";x=1",  "?x", "?x=/api/tags",
                                       "#x",     "%20", "%00", ".json", "//", "%2f",
                                       "%0d%0a", "%23", "%3f", ":",     "~",  "."};

    replace(t, t->len, 0, ends[dice(ARRAY_LEN(ends))]);
}

static void prepend_one(struct target *t)
{
    static const char *const starts[] = {"/",
                                         "/.",
                                         "\\",
                                         "/x/..",
                                         "/%2e%2e",
                                         "http://localhost",
                                         "//localhost",
                                         "https://localhost",
                                         "%2f",
                                         "http://evil",
                                         "*",
                                         "/api/tags/..",
                                         "/v1/models/..",
                                         "/v1/models/x/../.."};

    replace(t, 0, 0, starts[dice(ARRAY_LEN(starts))]);
}

static void change_case(struct target *t)
{
    size_t at = dice(t->len);

    if (ascii_is_letter(t->data[at])) {
        t->data[at] ^= 0x20;
    }
}

static void change(struct target *t)
{
    switch (dice(8)) {
    case 0:
        encode_one(t, "%", "0123456789abcdef");
        break;
    case 1:
        encode_one(t, "%", "0123456789ABCDEF");
        break;
    case 2:
        encode_one(t, "%25", "0123456789abcdef");
        break;
    case 3:
        change_case(t);
        break;
    case 4:
        append_one(t);
        break;
    case 5:
        prepend_one(t);
        break;
    default:
        replace_slash(t);
    }
}

static const char *method_of(size_t row)
{
    static const char *const methods[] = {"GET", "HEAD", "POST",   "DELETE",
                                          "PUT", "post", "OPTIONS"};

    return dice(3) == 0 ? methods[dice(ARRAY_LEN(methods))] : closed[row].method;
}

/* Whether the gateway would look for a route; then *out is what it finds. */
static bool found(const char *method, struct slice target, struct http_request *request,
                  struct route_match *out)
{
    static char room[2 * TARGET_MAX];
    struct h1_scan scan = {0};
    size_t len = 0;
    int n = snprintf(room, sizeof(room), "%s %.*s HTTP/1.1\r\nHost: localhost\r\n\r\n", method,
                     SLICE_ARG(target));
    struct slice head = slice_of(room, (size_t)n);

    return h1_scan_head(&scan, head, &len) == CE_OK &&
           h1_read_request(head, false, request) == CE_OK && route_path_clean(request->path) &&
           route_find(request->method, request->path, out) == CE_OK;
}

static size_t try_row(size_t row)
{
    struct slice own = slice_str(closed[row].path);
    size_t reached = 0;

    for (size_t i = 0; i < SPELLINGS; i++) {
        struct target target = {.len = own.len};
        struct http_request request;
        struct route_match match = {0};
        size_t changes = 1 + dice(CHANGES_MAX);

        memcpy(target.data, own.ptr, own.len);
        for (size_t c = 0; c < changes; c++) {
            change(&target);
        }
        if (found(method_of(row), slice_of(target.data, target.len), &request, &match)) {
            reached++;
            ck_assert_msg(match.route->class == ROUTE_ADMIN || match.route->class == ROUTE_OFF,
                          "%.*s is %s", SLICE_ARG(slice_of(target.data, target.len)),
                          match.route->label);
            ck_assert_msg(closed[row].any_behind || slice_eq(request.path, own), "%.*s",
                          SLICE_ARG(slice_of(target.data, target.len)));
        }
    }
    return reached;
}

START_TEST(p06_no_spelling_opens_an_admin_route)
{
    dice_state = 0x9e3779b97f4a7c15u + (uint64_t)_i;
    size_t reached = try_row((size_t)_i);

    /* A query or our own authority in front leave the path alone: the check above has seen some. */
    ck_assert_uint_gt(reached, 0);
    ck_assert_uint_lt(reached, SPELLINGS / 2);
}
END_TEST

static Suite *spelling_suite(void)
{
    Suite *suite = suite_create("ollama_spelling");
    TCase *tc = tcase_create("spelling");

    tcase_set_timeout(tc, 100);
    tcase_add_loop_test(tc, p06_no_spelling_opens_an_admin_route, 0, (int)ARRAY_LEN(closed));
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(spelling_suite)
