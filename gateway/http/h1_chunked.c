#include "http/h1_chunked.h"

#include "http/message.h"

enum state {
    ST_SIZE,      /* hex digits */
    ST_EXTENSION, /* after ';' until CR */
    ST_SIZE_LF,   /* LF of the size line */
    ST_DATA,
    ST_DATA_CR,
    ST_DATA_LF,
    ST_TRAILER, /* a trailer line, or the empty one that ends the body */
    ST_TRAILER_LF,
    ST_DONE,
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum corral_err on_size(struct h1_chunked *c, char byte)
{
    enum { MAX_DIGITS = 8 };
    int value = hex_value(byte);

    if (value >= 0) {
        if (c->digits == MAX_DIGITS) {
            return CE_HTTP_CHUNK;
        }
        c->digits++;
        c->left = c->left << 4 | (uint32_t)value;
        return CE_OK;
    }
    if (c->digits == 0 || (byte != ';' && byte != '\r')) {
        return CE_HTTP_CHUNK;
    }
    c->state = byte == ';' ? ST_EXTENSION : ST_SIZE_LF;
    return CE_OK;
}

/* Section 7.1.1: what stands there is dropped, but only bytes that two readers see alike pass. */
static enum corral_err on_extension(struct h1_chunked *c, char byte)
{
    unsigned char u = (unsigned char)byte;

    if (byte == '\r' && !c->in_quotes) {
        c->state = ST_SIZE_LF;
        return CE_OK;
    }
    if ((u < 0x20 && u != '\t') || u >= 0x7f) {
        return CE_HTTP_CHUNK;
    }
    if (!c->in_quotes && !http_is_token_char(u) && u != '=' && u != ';' && u != '"' && u != ' ' &&
        u != '\t') {
        return CE_HTTP_CHUNK;
    }
    if (c->escaped) {
        c->escaped = false;
    } else if (c->in_quotes && u == '\\') {
        c->escaped = true;
    } else if (u == '"') {
        c->in_quotes = !c->in_quotes;
    }
    c->body_extra++;
    return ++c->chunk_extra > H1_MAX_CHUNK_EXTENSION_BYTES ||
                   c->body_extra > H1_MAX_BODY_EXTENSION_BYTES
               ? CE_HTTP_CHUNK
               : CE_OK;
}

static enum corral_err on_size_lf(struct h1_chunked *c, char byte)
{
    if (byte != '\n') {
        return CE_HTTP_CHUNK;
    }
    c->state = c->left == 0 ? ST_TRAILER : ST_DATA;
    c->digits = 0;
    c->chunk_extra = 0;
    return CE_OK;
}

static enum corral_err on_trailer(struct h1_chunked *c, char byte)
{
    unsigned char u = (unsigned char)byte;

    if (++c->trailer_bytes > H1_MAX_TRAILER_BYTES) {
        return CE_HTTP_TRAILER;
    }
    if (byte == '\r') {
        c->state = ST_TRAILER_LF;
        return c->line_bytes == 0 || c->has_colon ? CE_OK : CE_HTTP_TRAILER;
    }
    if (!c->has_colon) {
        if (byte == ':' && c->line_bytes > 0) {
            c->has_colon = true;
        } else if (!http_is_token_char(u)) {
            return CE_HTTP_TRAILER;
        }
    } else if ((u < 0x20 && u != '\t') || u == 0x7f) {
        return CE_HTTP_TRAILER;
    }
    c->line_bytes++;
    return CE_OK;
}

static enum corral_err on_trailer_lf(struct h1_chunked *c, char byte)
{
    if (byte != '\n') {
        return CE_HTTP_TRAILER;
    }
    c->done = c->line_bytes == 0;
    c->state = c->done ? ST_DONE : ST_TRAILER;
    c->line_bytes = 0;
    c->has_colon = false;
    return CE_OK;
}

static enum corral_err on_byte(struct h1_chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case ST_SIZE:
        return on_size(c, byte);
    case ST_EXTENSION:
        return on_extension(c, byte);
    case ST_SIZE_LF:
        return on_size_lf(c, byte);
    case ST_DATA_CR:
        c->state = ST_DATA_LF;
        return byte == '\r' ? CE_OK : CE_HTTP_CHUNK;
    case ST_DATA_LF:
        c->state = ST_SIZE;
        return byte == '\n' ? CE_OK : CE_HTTP_CHUNK;
    case ST_TRAILER:
        return on_trailer(c, byte);
    case ST_TRAILER_LF:
        return on_trailer_lf(c, byte);
    case ST_DATA:
    case ST_DONE:
        break;
    }
    return CE_HTTP_CHUNK;
}

enum corral_err h1_chunked_next(struct h1_chunked *c, struct slice *rest, struct slice *out_data)
{
    size_t i = 0;

    *out_data = slice_of(NULL, 0);
    while (i < rest->len && !c->done) {
        if (c->state == ST_DATA) {
            size_t take = rest->len - i < c->left ? rest->len - i : c->left;

            *out_data = slice_of(rest->ptr + i, take);
            c->left -= (uint32_t)take;
            c->state = c->left == 0 ? ST_DATA_CR : ST_DATA;
            *rest = slice_from(*rest, i + take);
            return CE_OK;
        }
        enum corral_err err = on_byte(c, rest->ptr[i++]);
        if (err != CE_OK) {
            return err;
        }
    }
    *rest = slice_from(*rest, i);
    return CE_OK;
}
