/**
 * Everything the configuration file can say, filled in and checked. Owned by a snapshot and
 * immutable there. Units are part of the names; defaults are in config/schema.c, the reference in
 * docs/CONFIGURATION.md.
 */
#ifndef CORRAL_CONFIG_SETTINGS_H
#define CORRAL_CONFIG_SETTINGS_H

#include "auth/tenant.h"
#include "http/h2.h"
#include "net/address.h"
#include "net/tls.h"
#include "obs/log.h"
#include "upstream/replica.h"

/** listener_settings.protocols, by place in the schema's list of words. */
enum listener_protocol { PROTOCOL_H2 = 1, PROTOCOL_HTTP_1_1 = 2 };

struct listener_settings {
    char *address; /* owned; as written */
    struct net_address parsed;
    bool tls;
    uint32_t protocols;                 /* enum listener_protocol, as flags */
    bool proxy_protocol;                /* every connection begins with a PROXY header */
    struct net_prefix *trusted_sources; /* owned */
    size_t trusted_source_count;
};

struct model_settings {
    char *name;           /* owned; pattern */
    uint32_t num_ctx_max; /* tokens; 0: num_ctx is dropped */
    unsigned options;     /* enum request_option: runner options a client may set */
    bool allow_remote;
};

struct timeout_settings {
    uint64_t handshake_s;
    uint64_t head_s;
    uint64_t body_s; /* plus one second for every 64 KiB */
    uint64_t idle_s;
    uint64_t connect_ms;
    uint64_t replica_idle_s;
    uint64_t load_s;
    uint64_t first_byte_s;
    uint64_t stream_silence_s;
    uint64_t write_stall_s; /* without 16 KiB (or all there is) taken by the client */
    uint64_t drain_delay_s;
    uint64_t drain_s;
    uint64_t cancel_grace_ms;
    uint32_t linger_s; /* for the rest of a request that is answered already */
};

struct limit_settings {
    uint64_t body_bytes;                 /* one JSON body */
    uint64_t body_memory_bytes;          /* all bodies in the process */
    uint64_t tenant_body_memory_bytes;   /* of one tenant; 0: half of them */
    uint64_t answer_memory_bytes;        /* answers that wait for their clients */
    uint64_t tenant_answer_memory_bytes; /* of one tenant; 0: half of them */
    uint32_t linger_bytes;               /* of a request that is answered already */
    uint32_t connections;                /* 0: (descriptor limit - 256) / 2 */
    uint32_t connections_per_address;
    uint32_t connections_per_trusted_address; /* the same, of trusted_sources */
    uint32_t connections_per_known_address;   /* that have shown a credential */
    uint32_t connections_per_tenant;          /* 0: half of all */
    uint64_t image_bytes;
    uint64_t images_bytes;
    uint32_t images;
    uint32_t messages;
    uint32_t inputs;
    uint32_t default_output_tokens;
    uint32_t counters_per_tenant;           /* of limit/ */
    uint32_t auth_failures_per_10s;         /* of one source; above it 429 without a look */
    uint32_t trusted_auth_failures_per_10s; /* the same for trusted_sources */
};

struct queue_settings {
    uint32_t max_waiting;
    uint64_t max_wait_s;
    uint64_t replica_grace_s;
};

struct settings {
    struct listener_settings *listeners; /* owned */
    size_t listener_count;
    char **server_names; /* owned */
    size_t server_name_count;
    uint32_t workers; /* 0: one a core */
    struct tls_settings tls;
    struct auth_settings auth;
    uint32_t sandbox_mode;         /* enum sandbox_mode of app/ */
    char *state_dir;               /* owned; NULL: nothing is kept */
    struct model_settings *models; /* owned */
    size_t model_count;
    struct replica_settings *replicas; /* owned */
    size_t replica_count;
    struct queue_settings queue;
    struct timeout_settings timeouts;
    struct limit_settings limits;
    struct h2_settings http2;
    enum log_level log_level;
    char *log_file; /* owned; NULL: standard error */
    uint32_t log_refusals_per_10s;
    char *health_address; /* owned; "" off */
    bool ready_without_replicas;
    char *metrics_address; /* owned; "" off */
};

enum settings_path { SETTINGS_FILE, SETTINGS_FOLDER };

/**
 * Every file and folder the gateway reads because the configuration names it: certificates, keys,
 * authorities, revocation lists, key sets. Calls `visit` for each that is set, in a fixed order;
 * `path` is borrowed from the settings.
 */
void settings_each_path(const struct settings *s,
                        void (*visit)(void *arg, enum settings_path kind, const char *path),
                        void *arg);

/** Free what the struct owns; the struct itself is the caller's. Accepts half-filled ones. */
void settings_finish(struct settings *s);

#endif
