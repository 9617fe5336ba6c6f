#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "base/slice.h"
#include "base/utf8.h"

static enum cli_next wrong(const struct cli_command *c, const char *format, ...) PRINTF_LIKE(2, 3);

static enum cli_next wrong(const struct cli_command *c, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", c->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see %s --help\n", c->name);
    return CLI_WRONG;
}

int cli_fail(const struct cli_command *c, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", c->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CLI_FAILED;
}

void cli_print_visible(struct slice text)
{
    char escaped[UTF8_ESCAPE_BYTES];

    while (text.len > 0) {
        size_t width = utf8_char_len(text);
        struct slice c = slice_of(text.ptr, width == 0 ? 1 : width);
        char byte = width == 0 ? '?' : c.ptr[0];

        text = slice_from(text, c.len);
        if (width == 0 || byte == '\n' || byte == '\t' || byte == '\r') {
            putchar(byte == '\r' ? ' ' : byte); /* a carriage return would write over the line */
            continue;
        }
        if (utf8_is_hidden(c)) {
            c = slice_of(escaped, utf8_escape(c, escaped));
        }
        fwrite(c.ptr, 1, c.len, stdout);
    }
}

static const struct cli_option *find(const struct cli_command *c, struct slice name)
{
    for (size_t i = 0; i < c->option_count; i++) {
        if (slice_eq_str(name, c->options[i].name)) {
            return &c->options[i];
        }
    }
    return NULL;
}

/* One argument that begins with "--"; moves *at over its value. */
static enum cli_next read_option(const struct cli_command *c, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    size_t len = strcspn(text, "=");
    const struct cli_option *o = find(c, slice_of(text, len));
    const char *value = text[len] == '=' ? text + len + 1 : NULL;

    if (o == NULL) {
        return wrong(c, "there is no option --%.*s", (int)len, text);
    }
    if (o->value == NULL) {
        *o->flag = true;
        return value == NULL ? CLI_GO : wrong(c, "--%s takes no value", o->name);
    }
    if (*o->value != NULL) {
        return wrong(c, "--%s is given twice", o->name);
    }
    if (value == NULL && *at + 1 < argc) {
        value = argv[++*at];
    }
    if (value == NULL || value[0] == '\0') {
        return wrong(c, "--%s needs a value", o->name);
    }
    *o->value = value;
    return CLI_GO;
}

static enum cli_next read_argument(const struct cli_command *c, int argc, char **argv, int *at)
{
    const char *text = argv[*at];

    if (strncmp(text, "--", 2) == 0) {
        return read_option(c, argc, argv, at);
    }
    if (text[0] == '-' && text[1] != '\0') {
        return wrong(c, "there is no option %s", text);
    }
    if (c->positional == NULL || *c->positional != NULL) {
        return wrong(c, "\"%s\" is one argument too many", text);
    }
    *c->positional = text;
    return CLI_GO;
}

enum cli_next cli_read(const struct cli_command *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(c->help, stdout);
            return CLI_SHOWN;
        }
    }
    for (int i = 1; i < argc; i++) {
        enum cli_next next = read_argument(c, argc, argv, &i);

        if (next != CLI_GO) {
            return next;
        }
    }
    for (size_t i = 0; i < c->option_count; i++) {
        if (c->options[i].required && *c->options[i].value == NULL) {
            return wrong(c, "--%s is missing", c->options[i].name);
        }
    }
    return CLI_GO;
}

int cli_choose(const char *help, const struct cli_choice *choices, int argc, char **argv)
{
    bool wants_help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                                   strcmp(argv[1], "help") == 0);

    for (size_t i = 0; argc > 1 && choices[i].name != NULL; i++) {
        if (strcmp(argv[1], choices[i].name) == 0) {
            return choices[i].run(argc - 1, argv + 1);
        }
    }
    fputs(help, wants_help ? stdout : stderr);
    return wants_help ? CLI_OK : CLI_USAGE;
}
