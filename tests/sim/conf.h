/**
 * conf.h: the knobs of ollama-sim. One table serves the command line, --help, POST /sim/config and
 * the echo in GET /sim/stats.
 */
#ifndef SIM_CONF_H
#define SIM_CONF_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "sbuf.h"

enum { SIM_NAME_BYTES = 700 }; /* of a model */

struct conf {
    int64_t port;
    char host[64];
    char path[108];
    char models[4096];
    char remote[1024];
    int64_t slots;
    int64_t load_ms;
    int64_t prefill_ms;
    int64_t prompt_extra;
    int64_t prefill_us_per_token;
    int64_t tokens;
    int64_t stop_tokens;
    double tokens_per_s;
    int64_t chunk_bytes;
    int64_t max_queue;
    int64_t max_loaded;
    int64_t keep_alive_s;
    int64_t num_ctx;
    int64_t embed_dims;
    char version_string[32];
    int64_t accept_delay_ms;
    int64_t no_cloud;
    int64_t seed;
};

void conf_init(struct conf *c);

/** Read argv; prints help or a complaint and ends the process where that is due. */
void conf_parse_args(struct conf *c, int argc, char **argv);

/**
 * Apply the members of a JSON object that are knobs.
 * @return false with the offending name in `bad` when a value does not fit. Unknown names are left
 * alone.
 */
bool conf_apply_json(struct conf *c, const cJSON *object, char *bad, size_t bad_size);
bool conf_known(const char *name);
void conf_print_json(const struct conf *c, struct sbuf *out);

#endif
