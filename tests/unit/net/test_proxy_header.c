#include "net/proxy_header.h"
#include "unit.h"

#include <stdlib.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IPV4                                                                                       \
    "\300\0\2\1"                                                                                   \
    "\177\0\0\1"                                                                                   \
    "\234\100"                                                                                     \
    "\40\373" /* 192.0.2.1:40000 127.0.0.1:8443 */
#define IPV6                                                                                       \
    "\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\7"                                                         \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"                                                             \
    "\0\1"                                                                                         \
    "\0\2"

enum { HEAD = 16, IPV4_LEN = 12, IPV6_LEN = 36, UNIX_LEN = 216 };

/* A header with `len` declared; the block is `block` and zeros after it. */
static struct slice make(unsigned command, unsigned family, size_t len, struct slice block)
{
    static char bytes[HEAD + 65536];

    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, SIGNATURE, 12);
    bytes[12] = (char)command;
    bytes[13] = (char)family;
    bytes[14] = (char)(len >> 8);
    bytes[15] = (char)(len & 0xff);
    memcpy(bytes + HEAD, block.ptr, block.len < len ? block.len : len);
    return slice_of(bytes, HEAD + len);
}

static const struct {
    unsigned command;
    unsigned family;
    size_t len;
    enum corral_err err;
    const char *source; /* NULL: the connection's own */
} headers[] = {
    {0x21, 0x11, IPV4_LEN, CE_OK, "192.0.2.1:40000"},
    {0x21, 0x11, IPV4_LEN - 1, CE_PROXY_HEADER, NULL},
    {0x21, 0x11, 0, CE_PROXY_HEADER, NULL},
    {0x21, 0x11, IPV4_LEN + 1, CE_OK, "192.0.2.1:40000"},
    {0x21, 0x11, PROXY_HEADER_MAX - HEAD, CE_OK, "192.0.2.1:40000"},
    {0x21, 0x11, PROXY_HEADER_MAX - HEAD + 1, CE_PROXY_HEADER, NULL},
    {0x21, 0x11, 65535, CE_PROXY_HEADER, NULL},
    {0x21, 0x21, IPV6_LEN, CE_OK, "[2001:db8::7]:1"},
    {0x21, 0x21, IPV6_LEN - 1, CE_PROXY_HEADER, NULL},
    {0x21, 0x31, UNIX_LEN, CE_OK, "unix:"},
    {0x21, 0x31, UNIX_LEN - 1, CE_PROXY_HEADER, NULL},
    {0x21, 0x00, 0, CE_OK, NULL},
    {0x21, 0x00, 100, CE_OK, NULL},
    {0x21, 0x12, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x21, 0x22, IPV6_LEN, CE_PROXY_HEADER, NULL},
    {0x21, 0x32, UNIX_LEN, CE_PROXY_HEADER, NULL},
    {0x21, 0x10, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x21, 0x01, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x21, 0x41, UNIX_LEN, CE_PROXY_HEADER, NULL},
    {0x21, 0xff, UNIX_LEN, CE_PROXY_HEADER, NULL},
    /* LOCAL: whatever stands there is skipped. */
    {0x20, 0x00, 0, CE_OK, NULL},
    {0x20, 0x11, IPV4_LEN, CE_OK, NULL},
    {0x20, 0xff, 7, CE_OK, NULL},
    {0x20, 0x11, PROXY_HEADER_MAX - HEAD, CE_OK, NULL},
    {0x20, 0x11, PROXY_HEADER_MAX - HEAD + 1, CE_PROXY_HEADER, NULL},
    {0x22, 0x11, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x2f, 0x11, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x11, 0x11, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x31, 0x11, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x01, 0x11, IPV4_LEN, CE_PROXY_HEADER, NULL},
    {0x00, 0x00, 0, CE_PROXY_HEADER, NULL},
};

/* Reads an exact copy, so that a sanitizer sees a look behind its end. */
static enum corral_err read_copy(struct slice bytes, struct proxy_header *out, size_t *out_need)
{
    char *copy = malloc(bytes.len == 0 ? 1 : bytes.len);

    memcpy(copy, bytes.ptr, bytes.len);
    enum corral_err err = proxy_header_read(slice_of(copy, bytes.len), out, out_need);

    free(copy);
    return err;
}

START_TEST(headers_are_read_or_refused)
{
    struct slice block =
        headers[_i].family == 0x21 ? slice_of(IPV6, IPV6_LEN) : slice_of(IPV4, IPV4_LEN);
    struct slice bytes = make(headers[_i].command, headers[_i].family, headers[_i].len, block);
    struct proxy_header h = {0};
    char text[NET_ADDRESS_TEXT_BYTES];
    size_t need = 0;

    ck_assert_int_eq(read_copy(bytes, &h, &need), headers[_i].err);
    if (headers[_i].err != CE_OK) {
        return;
    }
    ck_assert_uint_eq(need, bytes.len);
    ck_assert_int_eq(h.has_source, headers[_i].source != NULL);
    if (h.has_source) {
        net_address_format(&h.source, text);
        ck_assert_str_eq(text, headers[_i].source);
    }
}
END_TEST

START_TEST(every_beginning_of_a_header_waits_for_more)
{
    struct slice bytes = make(0x21, 0x11, IPV4_LEN + 9, slice_of(IPV4, IPV4_LEN));
    struct proxy_header h;

    for (size_t len = 0; len < bytes.len; len++) {
        size_t need = 0;

        ck_assert_int_eq(read_copy(slice_of(bytes.ptr, len), &h, &need), CE_MORE);
        ck_assert_uint_eq(need, len < HEAD ? (size_t)HEAD : bytes.len);
    }
}
END_TEST

START_TEST(what_follows_is_not_touched)
{
    struct slice bytes = make(0x21, 0x11, IPV4_LEN, slice_of(IPV4, IPV4_LEN));
    struct proxy_header h;
    size_t need = 0;

    ck_assert_int_eq(proxy_header_read(slice_of(bytes.ptr, bytes.len + 50), &h, &need), CE_OK);
    ck_assert_uint_eq(need, HEAD + IPV4_LEN);
}
END_TEST

START_TEST(every_wrong_byte_of_the_signature_is_seen_at_once)
{
    struct proxy_header h;
    size_t need;

    for (size_t i = 0; i < 12; i++) {
        char bytes[13] = SIGNATURE;

        bytes[i] ^= 1;
        ck_assert_int_eq(read_copy(slice_of(bytes, i + 1), &h, &need), CE_PROXY_HEADER);
    }
    ck_assert_int_eq(read_copy(slice_str("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), &h, &need),
                     CE_PROXY_HEADER);
    ck_assert_int_eq(read_copy(slice_str("P"), &h, &need), CE_PROXY_HEADER);
}
END_TEST

static Suite *proxy_suite(void)
{
    Suite *suite = suite_create("proxy_header");
    TCase *tc = tcase_create("proxy_header");

    tcase_add_loop_test(tc, headers_are_read_or_refused, 0,
                        (int)(sizeof(headers) / sizeof(headers[0])));
    tcase_add_test(tc, every_beginning_of_a_header_waits_for_more);
    tcase_add_test(tc, what_follows_is_not_touched);
    tcase_add_test(tc, every_wrong_byte_of_the_signature_is_seen_at_once);
    suite_add_tcase(suite, tc);
    return suite;
}

UNIT_MAIN(proxy_suite)
