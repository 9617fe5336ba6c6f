#include "gojson.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sbuf.h"

struct scan {
    const char *text;
    size_t len;
    size_t at;
    char *error; /* GOJSON_ERROR_SIZE bytes */
    int depth;
};

static bool scan_value(struct scan *s);

static bool fail_at(struct scan *s, const char *context)
{
    if (s->at >= s->len) {
        snprintf(s->error, GOJSON_ERROR_SIZE, "unexpected EOF");
        return false;
    }
    unsigned char ch = (unsigned char)s->text[s->at];
    if (ch == '\'' || ch == '"') {
        snprintf(s->error, GOJSON_ERROR_SIZE, "invalid character '%s' %s", ch == '"' ? "\"" : "\\'",
                 context);
    } else if (ch >= 0x20 && ch < 0x7f) {
        snprintf(s->error, GOJSON_ERROR_SIZE, "invalid character '%c' %s", ch, context);
    } else if (ch == '\n' || ch == '\t' || ch == '\r') {
        const char *name = ch == '\n' ? "\\n" : ch == '\t' ? "\\t" : "\\r";
        snprintf(s->error, GOJSON_ERROR_SIZE, "invalid character '%s' %s", name, context);
    } else {
        snprintf(s->error, GOJSON_ERROR_SIZE, "invalid character '\\x%02x' %s", ch, context);
    }
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->len && strchr(" \t\r\n", s->text[s->at]) != NULL && s->text[s->at] != 0) {
        s->at++;
    }
}

static bool is_char(const struct scan *s, char ch)
{
    return s->at < s->len && s->text[s->at] == ch;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9';
}

static bool scan_escape(struct scan *s)
{
    if (s->at < s->len && s->text[s->at] != 0 && strchr("\"\\/bfnrt", s->text[s->at]) != NULL) {
        s->at++;
        return true;
    }
    if (!is_char(s, 'u')) {
        return fail_at(s, "in string escape code");
    }
    s->at++;
    for (int i = 0; i < 4; i++) {
        if (s->at >= s->len || s->text[s->at] == 0 ||
            strchr("0123456789abcdefABCDEF", s->text[s->at]) == NULL) {
            return fail_at(s, "in \\u hexadecimal character escape");
        }
        s->at++;
    }
    return true;
}

static bool scan_string(struct scan *s)
{
    s->at++;
    while (s->at < s->len) {
        unsigned char ch = (unsigned char)s->text[s->at];
        if (ch < 0x20) {
            return fail_at(s, "in string literal");
        }
        s->at++;
        if (ch == '"') {
            return true;
        }
        if (ch == '\\' && !scan_escape(s)) {
            return false;
        }
    }
    return fail_at(s, "in string literal");
}

static bool scan_digits(struct scan *s, const char *context)
{
    if (!is_digit(s)) {
        return fail_at(s, context);
    }
    while (is_digit(s)) {
        s->at++;
    }
    return true;
}

static bool scan_number(struct scan *s)
{
    if (is_char(s, '-')) {
        s->at++;
    }
    if (is_char(s, '0')) {
        s->at++;
    } else if (!scan_digits(s, "in numeric literal")) {
        return false;
    }
    if (is_char(s, '.')) {
        s->at++;
        if (!scan_digits(s, "after decimal point in numeric literal")) {
            return false;
        }
    }
    if (is_char(s, 'e') || is_char(s, 'E')) {
        s->at++;
        if (is_char(s, '+') || is_char(s, '-')) {
            s->at++;
        }
        return scan_digits(s, "in exponent of numeric literal");
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    char context[64];

    for (size_t i = 0; word[i] != 0; i++) {
        if (!is_char(s, word[i])) {
            snprintf(context, sizeof(context), "in literal %s (expecting '%c')", word, word[i]);
            return fail_at(s, context);
        }
        s->at++;
    }
    return true;
}

static bool scan_array(struct scan *s)
{
    s->at++;
    skip_space(s);
    if (is_char(s, ']')) {
        s->at++;
        return true;
    }
    for (;;) {
        if (!scan_value(s)) {
            return false;
        }
        skip_space(s);
        if (is_char(s, ']')) {
            s->at++;
            return true;
        }
        if (!is_char(s, ',')) {
            return fail_at(s, "after array element");
        }
        s->at++;
    }
}

static bool scan_member(struct scan *s)
{
    skip_space(s);
    if (!is_char(s, '"')) {
        return fail_at(s, "looking for beginning of object key string");
    }
    if (!scan_string(s)) {
        return false;
    }
    skip_space(s);
    if (!is_char(s, ':')) {
        return fail_at(s, "after object key");
    }
    s->at++;
    return scan_value(s);
}

static bool scan_object(struct scan *s)
{
    s->at++;
    skip_space(s);
    if (is_char(s, '}')) {
        s->at++;
        return true;
    }
    for (;;) {
        if (!scan_member(s)) {
            return false;
        }
        skip_space(s);
        if (is_char(s, '}')) {
            s->at++;
            return true;
        }
        if (!is_char(s, ',')) {
            return fail_at(s, "after object key:value pair");
        }
        s->at++;
    }
}

static bool scan_value(struct scan *s)
{
    skip_space(s);
    if (s->at >= s->len) {
        return fail_at(s, "looking for beginning of value");
    }
    /* Go allows 10,000 levels, cJSON 1,000; nobody sends either. */
    if (s->depth >= 900) {
        snprintf(s->error, GOJSON_ERROR_SIZE, "exceeded max depth");
        return false;
    }
    bool ok = false;
    s->depth++;
    switch (s->text[s->at]) {
    case '{':
        ok = scan_object(s);
        break;
    case '[':
        ok = scan_array(s);
        break;
    case '"':
        ok = scan_string(s);
        break;
    case 't':
        ok = scan_word(s, "true");
        break;
    case 'f':
        ok = scan_word(s, "false");
        break;
    case 'n':
        ok = scan_word(s, "null");
        break;
    default:
        ok = s->text[s->at] == '-' || is_digit(s) ? scan_number(s)
                                                  : fail_at(s, "looking for beginning of value");
    }
    s->depth--;
    return ok;
}

static unsigned hex4(const char *p)
{
    char digits[5] = {p[0], p[1], p[2], p[3], 0};

    return (unsigned)strtoul(digits, NULL, 16);
}

/* Half of a surrogate pair is U+FFFD to Go, and an error to cJSON. `text` was checked. */
static char *mend_surrogates(const char *text, size_t len)
{
    char *copy = sim_calloc(1, len + 1);

    memcpy(copy, text, len);
    for (size_t i = 0; i + 5 < len; i++) {
        if (copy[i] != '\\') {
            continue;
        }
        if (copy[i + 1] != 'u') {
            i++;
            continue;
        }
        unsigned unit = hex4(copy + i + 2);
        bool pair = unit >= 0xd800 && unit < 0xdc00 && i + 11 < len && copy[i + 6] == '\\' &&
                    copy[i + 7] == 'u' && hex4(copy + i + 8) >> 10 == 0xdc00 >> 10;
        if (pair) {
            i += 11;
        } else if (unit >> 11 == 0xd800 >> 11) {
            memcpy(copy + i + 2, "fffd", 4);
        }
    }
    return copy;
}

cJSON *gojson_parse(const char *text, size_t len, char *error, size_t error_size)
{
    char why[GOJSON_ERROR_SIZE] = "";
    struct scan s = {.text = text, .len = len, .error = why};

    skip_space(&s);
    if (s.at >= len) {
        snprintf(error, error_size, "EOF");
        return NULL;
    }
    if (!scan_value(&s)) {
        snprintf(error, error_size, "%s", why);
        return NULL;
    }
    char *mended = mend_surrogates(text, s.at);
    cJSON *value = cJSON_ParseWithLength(mended, s.at);

    free(mended);
    if (value == NULL) {
        snprintf(error, error_size, "unexpected EOF");
    }
    return value;
}

const cJSON *gojson_get(const cJSON *object, const char *name)
{
    const cJSON *found = NULL;

    for (const cJSON *m = object != NULL ? object->child : NULL; m != NULL; m = m->next) {
        if (m->string != NULL && strcasecmp(m->string, name) == 0 && !cJSON_IsNull(m)) {
            found = m;
        }
    }
    return found;
}

const char *gojson_str(const cJSON *object, const char *name)
{
    const cJSON *m = gojson_get(object, name);
    return cJSON_IsString(m) ? m->valuestring : "";
}

double gojson_num(const cJSON *object, const char *name, double fallback)
{
    const cJSON *m = gojson_get(object, name);
    return cJSON_IsNumber(m) ? m->valuedouble : fallback;
}

bool gojson_bool(const cJSON *object, const char *name, bool fallback)
{
    const cJSON *m = gojson_get(object, name);
    return cJSON_IsBool(m) ? cJSON_IsTrue(m) : fallback;
}

static const char *kind_name(const cJSON *m)
{
    if (cJSON_IsString(m)) {
        return "string";
    }
    if (cJSON_IsNumber(m)) {
        return "number";
    }
    if (cJSON_IsBool(m)) {
        return "bool";
    }
    return cJSON_IsArray(m) ? "array" : "object";
}

static bool kind_fits(const cJSON *m, char kind)
{
    switch (kind) {
    case 's':
        return cJSON_IsString(m);
    case 'b':
        return cJSON_IsBool(m);
    case 'n':
        return cJSON_IsNumber(m);
    case 'i':
        return cJSON_IsNumber(m) && m->valuedouble == (double)(long long)m->valuedouble;
    case 'a':
        return cJSON_IsArray(m);
    case 'o':
        return cJSON_IsObject(m);
    default:
        return true;
    }
}

bool gojson_check(const cJSON *value, const char *struct_name, const char *package,
                  const struct gojson_field *fields, char *error)
{
    if (cJSON_IsNull(value)) {
        return true;
    }
    if (!cJSON_IsObject(value)) {
        snprintf(error, GOJSON_ERROR_SIZE, "json: cannot unmarshal %s into Go value of type %s.%s",
                 kind_name(value), package, struct_name);
        return false;
    }
    for (const cJSON *m = value->child; m != NULL; m = m->next) {
        for (const struct gojson_field *f = fields; f->name != NULL; f++) {
            if (strcasecmp(m->string, f->name) == 0 && !cJSON_IsNull(m) && !kind_fits(m, f->kind)) {
                char literal[32] = "";
                if (f->kind == 'i' && cJSON_IsNumber(m)) {
                    snprintf(literal, sizeof(literal), " %.12g", m->valuedouble);
                }
                snprintf(error, GOJSON_ERROR_SIZE,
                         "json: cannot unmarshal %s%s into Go struct field %s.%s of type %s",
                         kind_name(m), literal, struct_name, f->name, f->type);
                return false;
            }
        }
    }
    return true;
}
