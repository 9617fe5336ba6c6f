#include "config/schema.h"

#include "config/settings.h"
#include "limit/rule.h"

#define AT(type, member) .offset = offsetof(type, member)
#define AT_LIST(type, member, count)                                                               \
    .offset = offsetof(type, member), .count_offset = offsetof(type, count)
/* clang-format off */
#define SCHEMA(table, type) {table, sizeof(table) / sizeof((table)[0]), sizeof(type)}

static const struct key_spec listener_keys[] = {
    {"address", KEY_LISTEN, .required = true, .restart = true,
     AT(struct listener_settings, address),
     .sentence = "Address and port to accept clients on, like 0.0.0.0:8443 or [::]:8443, or a "
                 "socket in the file system, unix:/run/corral/corral.sock (mode 0660)."},
    {"tls", KEY_BOOL, .restart = true, AT(struct listener_settings, tls), .fallback = "false",
     .sentence = "Speak TLS with the certificates of the tls block. Only loopback and "
                 "unix sockets may go without."},
    {"proxy_protocol", KEY_BOOL, AT(struct listener_settings, proxy_protocol), .fallback = "false",
     .sentence = "Every connection begins with a PROXY header, version 2, and comes from one of "
                 "trusted_sources (or over a unix socket): the address in it is the client's."},
    {"protocols", KEY_FLAGS, AT(struct listener_settings, protocols), .words = "h2 http/1.1",
     .min = 1,
     .sentence = "Protocols: with tls offered by ALPN, h2 first (both unless it is set); without "
                 "tls http/1.1 unless it is set, h2 there is by prior knowledge."},
    {"trusted_sources", KEY_PREFIXES,
     AT_LIST(struct listener_settings, trusted_sources, trusted_source_count), .fallback = "[]",
     .sentence = "Networks (10.0.0.0/8) whose clients may open "
                 "limits.connections_per_trusted_address "
                 "connections each: Open WebUI and ingress controllers. With "
                 "proxy_protocol: the load balancers that are believed."},
};

static const struct key_spec certificate_keys[] = {
    {"chain", KEY_STRING, .required = true, AT(struct tls_files, chain), .max = 4096,
     .sentence = "File of PEM certificates, the server's own first, each followed by its issuer."},
    {"key", KEY_STRING, .required = true, AT(struct tls_files, key), .max = 4096,
     .sentence = "File of the PEM private key, without a passphrase."},
};
static const struct schema certificate_schema = SCHEMA(certificate_keys, struct tls_files);

static const struct key_spec tls_keys[] = {
    {"certificates", KEY_LIST, AT_LIST(struct settings, tls.certificates, tls.certificate_count),
     .inner = &certificate_schema,
     .sentence = "One or several certificates, chosen by the DNS names in them; of one name an "
                 "ECDSA one first, an RSA one for old clients. Their files are watched; a renewed "
                 "pair is used without a restart."},
    {"unknown_name", KEY_WORD, AT(struct settings, tls.unknown_name), .fallback = "first",
     .words = "first refuse",
     .sentence = "For clients that ask for no name or for one that no certificate has: first (they "
                 "get the first certificate) or refuse (an alert)."},
    {"client_auth", KEY_WORD, AT(struct settings, tls.client_auth), .fallback = "off",
     .words = "off optional required",
     .sentence = "Client certificates: off, optional (a certificate that is shown must be good) or "
                 "required."},
    {"client_ca_dir", KEY_STRING, AT(struct settings, tls.client_ca_dir), .min = 1, .max = 4096,
     .sentence = "Folder of PEM files with the authorities that vouch for clients; watched."},
    {"client_crl_dir", KEY_STRING, AT(struct settings, tls.client_crl_dir), .min = 1, .max = 4096,
     .sentence = "Folder of PEM revocation lists, one for each authority; watched. A client whose "
                 "list is missing or has expired is refused."},
    {"ticket_rotation_s", KEY_U64, AT(struct settings, tls.ticket_rotation_s), .min = 1,
     .max = 43200, .fallback = "43200",
     .sentence = "Session tickets get a new key this often; the one before still decrypts."},
};
static const struct schema tls_schema = SCHEMA(tls_keys, struct settings);

static const struct key_spec claim_keys[] = {
    {"tenant", KEY_STRING, AT(struct issuer_settings, claim_tenant), .min = 1, .max = 128,
     .fallback = "tenant", .sentence = "Claim that names the tenant."},
    {"user", KEY_STRING, AT(struct issuer_settings, claim_user), .min = 1, .max = 128,
     .fallback = "sub", .sentence = "Claim that names the user."},
    {"verbs", KEY_STRING, AT(struct issuer_settings, claim_verbs), .min = 1, .max = 128,
     .fallback = "verbs", .sentence = "Claim with a list of verbs that narrows the tenant's."},
    {"models", KEY_STRING, AT(struct issuer_settings, claim_models), .min = 1, .max = 128,
     .fallback = "models",
     .sentence = "Claim with a list of model patterns that narrows the tenant's."},
};
static const struct schema claim_schema = SCHEMA(claim_keys, struct issuer_settings);

static const struct key_spec issuer_keys[] = {
    {"issuer", KEY_STRING, .required = true, AT(struct issuer_settings, issuer), .min = 1,
     .max = 512,
     .sentence = "The `iss` claim, compared byte for byte."},
    {"audience", KEY_STRINGS, .required = true,
     AT_LIST(struct issuer_settings, audiences, audience_count), .min = 1, .max = 16,
     .sentence = "Accepted values of the `aud` claim."},
    {"keys_file", KEY_STRING, .required = true, AT(struct issuer_settings, keys_file), .min = 1,
     .max = 4096,
     .sentence = "JWKS (*.json), PEM public key (*.pem) or shared secret of at least 32 bytes."},
    {"kid", KEY_STRING, AT(struct issuer_settings, kid), .min = 1, .max = 256,
     .sentence = "For a PEM or secret file: the key id that tokens must carry."},
    {"algorithm", KEY_STRING, AT(struct issuer_settings, algorithm), .min = 1, .max = 16,
     .sentence = "For a PEM or secret file: the one algorithm of the key (RS256, "
                 "ES256, HS256, ...)."},
    {"tenant", KEY_STRING, AT(struct issuer_settings, tenant), .min = 1, .max = 128,
     .sentence = "One tenant for all tokens of this issuer; without it the claim decides."},
    {"max_token_lifetime_s", KEY_U64, AT(struct issuer_settings, max_token_lifetime_s), .min = 60,
     .max = 31536000, .fallback = "86400",
     .sentence = "Tokens that live longer (exp - iat) are refused."},
    {"claims", KEY_BLOCK, .inner = &claim_schema, .sentence = "Which claims say what."},
};
static const struct schema issuer_schema = SCHEMA(issuer_keys, struct issuer_settings);

static const struct key_spec rule_keys[] = {
    {"name", KEY_STRING, .required = true, AT(struct limit_rule, name), .min = 1,
     .max = LIMIT_NAME_MAX,
     .sentence = "Name in header fields, metrics and /corral/v1/usage; its count goes on over a "
                 "reload as long as the name stays."},
    {"requests", KEY_U64, AT(struct limit_rule, requests), .min = 1, .max = 1000000000,
     .sentence = "So many requests to a replica in window_s, evenly refilled. Either this or "
                 "tokens."},
    {"burst", KEY_U64, AT(struct limit_rule, burst), .min = 1, .max = 1000000000,
     .sentence = "With requests: so many at once; without it as many as requests."},
    {"tokens", KEY_U64, AT(struct limit_rule, tokens), .min = 1, .max = 1000000000000000,
     .sentence = "So many tokens, input and output together, in window_s or until the calendar's "
                 "end."},
    {"window_s", KEY_U64, AT(struct limit_rule, window_s), .min = 1, .max = 86400,
     .sentence = "Length of the window. One of tokens begins with the first request after the "
                 "last one ended."},
    {"calendar", KEY_WORD, AT(struct limit_rule, calendar), .words = "none day month",
     .fallback = "none",
     .sentence = "With tokens, instead of window_s: a budget for each day or month in UTC. It "
                 "survives a restart when state_dir is set."},
    {"per", KEY_FLAGS, AT(struct limit_rule, per), .words = "user model", .fallback = "[]",
     .sentence = "Count each user, each model, or each pair of them alone; otherwise the whole "
                 "tenant."},
    {"models", KEY_STRINGS, AT_LIST(struct limit_rule, models, model_count), .max = 64,
     .fallback = "[]",
     .sentence = "Patterns: only requests for these models count; none: all."},
    {"shadow", KEY_BOOL, AT(struct limit_rule, shadow), .fallback = "false",
     .sentence = "Count and tell in metrics what would be refused, but refuse nothing."},
};
static const struct schema rule_schema = SCHEMA(rule_keys, struct limit_rule);

static const struct key_spec tenant_keys[] = {
    {"name", KEY_STRING, .required = true, AT(struct tenant_settings, name), .min = 1, .max = 64,
     .sentence = "Name in credentials, logs and metrics: letters, digits, '.', '_' and '-'."},
    {"weight", KEY_U32, AT(struct tenant_settings, weight), .min = 1, .max = 1000, .fallback = "1",
     .sentence = "Share of the herd when tenants compete."},
    {"verbs", KEY_VERBS, AT(struct tenant_settings, verbs),
     .fallback = "[chat, generate, embed, list, show]",
     .sentence = "What the tenant may do: chat generate embed list show."},
    {"models", KEY_STRINGS, AT_LIST(struct tenant_settings, models, model_count), .max = 1024,
     .fallback = "[\"*\"]",
     .sentence = "Patterns of model names the tenant may see and use; '*' stands for anything: "
                 "llama3*, me/*, hf.co/*."},
    {"certificate_names", KEY_STRINGS,
     AT_LIST(struct tenant_settings, certificate_names, certificate_name_count), .max = 256,
     .fallback = "[]",
     .sentence = "Names in client certificates that stand for the tenant, byte for byte: a URI "
                 "(spiffe://...) or dns: and a host name. Used when a request has no "
                 "Authorization field."},
    {"max_running", KEY_U32, AT(struct tenant_settings, max_running), .min = 1, .max = 100000,
     .fallback = "64",
     .sentence = "Requests that may hold a slot at once; more wait in the queue."},
    {"max_waiting", KEY_U32, AT(struct tenant_settings, max_waiting), .max = 100000,
     .fallback = "512",
     .sentence = "Requests that may wait; more get 429. One document in Open WebUI is a hundred "
                 "requests and more at once."},
    {"limits", KEY_LIST, AT_LIST(struct tenant_settings, limits, limit_count),
     .inner = &rule_schema,
     .sentence = "How much: all of them hold together. At most 16."},
};
static const struct schema tenant_schema = SCHEMA(tenant_keys, struct tenant_settings);

static const struct key_spec option_keys[] = {
    {"num_ctx_max", KEY_U32, AT(struct model_settings, num_ctx_max), .max = 16777216,
     .fallback = "0",
     .sentence = "Clients may set num_ctx up to this, more is clamped to it; 0 drops it. A changed "
                 "num_ctx makes Ollama reload the model. The answer says so in X-Corral-Changed."},
    {"allowed", KEY_OPTIONS, AT(struct model_settings, options), .fallback = "[]",
     .sentence = "Further runner options that clients may set: num_batch num_gpu main_gpu use_mmap "
                 "num_thread draft_num_predict shift. All others are dropped."},
};
static const struct schema option_schema = SCHEMA(option_keys, struct model_settings);

static const struct key_spec model_keys[] = {
    {"name", KEY_STRING, .required = true, AT(struct model_settings, name), .min = 1, .max = 256,
     .sentence = "Model name or pattern; the first entry that covers a model counts."},
    {"options", KEY_BLOCK, .inner = &option_schema, .sentence = "Runner options."},
    {"allow_remote", KEY_BOOL, AT(struct model_settings, allow_remote), .fallback = "false",
     .sentence = "List models that run elsewhere (tags \":cloud\" and \"-cloud\", and those of "
                 "which a replica lists a remote_host), and let requests for them through. They "
                 "leave the building."},
};
static const struct schema model_schema = SCHEMA(model_keys, struct model_settings);

static const struct key_spec replica_tls_keys[] = {
    {"ca_file", KEY_STRING, AT(struct replica_settings, tls.ca_file), .min = 1, .max = 4096,
     .sentence = "PEM file of the authorities that vouch for the replica; without it the "
                 "system's."},
    {"certificate", KEY_STRING, AT(struct replica_settings, tls.certificate), .min = 1, .max = 4096,
     .sentence = "PEM file of the certificate that corral shows, each followed by its issuer."},
    {"key", KEY_STRING, AT(struct replica_settings, tls.key), .min = 1, .max = 4096,
     .sentence = "PEM file of its private key, without a passphrase."},
    {"server_name", KEY_STRING, AT(struct replica_settings, tls.server_name), .min = 1, .max = 253,
     .sentence = "Name that the replica's certificate must have; without it the host of the URL. "
                 "There is no way to leave the check out."},
};
static const struct schema replica_tls_schema = SCHEMA(replica_tls_keys, struct replica_settings);

static const struct key_spec replica_keys[] = {
    {"url", KEY_URL, .required = true,
     .sentence = "Ollama's address, like http://127.0.0.1:11434, or https:// (port 443) for TLS "
                 "1.2 or later. Every address of a name "
                 "counts. unix:/run/ollama.sock is a socket in the file system."},
    {"slots", KEY_U32, AT(struct replica_settings, slots), .min = 1, .max = 1024, .fallback = "1",
     .sentence = "Parallel requests of one model: the replica's OLLAMA_NUM_PARALLEL."},
    {"tls", KEY_BLOCK, .inner = &replica_tls_schema,
     .sentence = "For https://. The files are watched."},
};
static const struct schema replica_schema = SCHEMA(replica_keys, struct replica_settings);

static const struct key_spec queue_keys[] = {
    {"max_waiting", KEY_U32, AT(struct settings, queue.max_waiting), .max = 1000000,
     .fallback = "4096",
     .sentence = "Requests that may wait in all; more get 503."},
    {"max_wait_s", KEY_U64, AT(struct settings, queue.max_wait_s), .min = 1, .max = 86400,
     .fallback = "300", .sentence = "Longest wait for a slot; then 503."},
    {"replica_grace_s", KEY_U64, AT(struct settings, queue.replica_grace_s), .max = 86400,
     .fallback = "30",
     .sentence = "How long requests wait for a model when the last replica that has it is lost, "
                 "from that moment on; then 503 at once. A restart of Ollama takes less."},
};
static const struct schema queue_schema = SCHEMA(queue_keys, struct settings);

static const struct key_spec timeout_keys[] = {
    {"handshake_s", KEY_U64, AT(struct settings, timeouts.handshake_s), .min = 1, .max = 300,
     .fallback = "5", .sentence = "TLS handshake, from accept to its end."},
    {"head_s", KEY_U64, AT(struct settings, timeouts.head_s), .min = 1, .max = 300,
     .fallback = "10",
     .sentence = "Request head, from its first byte to its last."},
    {"body_s", KEY_U64, AT(struct settings, timeouts.body_s), .min = 1, .max = 3600,
     .fallback = "30",
     .sentence = "Request body; one second more for every 64 KiB received."},
    {"idle_s", KEY_U64, AT(struct settings, timeouts.idle_s), .min = 1, .max = 86400,
     .fallback = "75",
     .sentence = "Connection without a request. Keep it above 60: Open WebUI keeps sockets 30 s."},
    {"connect_ms", KEY_U64, AT(struct settings, timeouts.connect_ms), .min = 10, .max = 60000,
     .fallback = "2000", .sentence = "Connecting to a replica, its TLS handshake too."},
    {"replica_idle_s", KEY_U64, AT(struct settings, timeouts.replica_idle_s), .max = 86400,
     .fallback = "60",
     .sentence = "Connection to a replica without a request; 0: none is kept. Keep it below what "
                 "anything on the way to the replica allows."},
    {"load_s", KEY_U64, AT(struct settings, timeouts.load_s), .min = 1, .max = 86400,
     .fallback = "300",
     .sentence = "First byte of an answer for which the model must be loaded."},
    {"first_byte_s", KEY_U64, AT(struct settings, timeouts.first_byte_s), .min = 1, .max = 86400,
     .fallback = "600", .sentence = "First byte of an answer of a loaded model."},
    {"stream_silence_s", KEY_U64, AT(struct settings, timeouts.stream_silence_s), .min = 1,
     .max = 86400,
     .fallback = "120", .sentence = "Silence of a replica in the middle of an answer."},
    {"write_stall_s", KEY_U64, AT(struct settings, timeouts.write_stall_s), .min = 1, .max = 86400,
     .fallback = "60",
     .sentence = "A client that takes less than 16 KiB in this time is cut; one whose kernel takes "
                 "nothing at all for 30 s, or does not answer, earlier."},
    {"linger_s", KEY_U32, AT(struct settings, timeouts.linger_s), .min = 1, .max = 300,
     .fallback = "30",
     .sentence = "After an answer that came before the end of its request (an early refusal): how "
                 "long the rest is read and dropped, so that the client gets the answer. A pause "
                 "of 5 s ends it too."},
    {"drain_delay_s", KEY_U64, AT(struct settings, timeouts.drain_delay_s), .max = 3600,
     .fallback = "0",
     .sentence = "After SIGTERM: how long new connections and requests are still served, while "
                 "/readyz is 503 and every answer asks the client to close. Set it to what load "
                 "balancers need to notice, 5 in Kubernetes."},
    {"drain_s", KEY_U64, AT(struct settings, timeouts.drain_s), .max = 86400, .fallback = "300",
     .sentence = "After SIGTERM and drain_delay_s: how long running answers may go on."},
    {"cancel_grace_ms", KEY_U64, AT(struct settings, timeouts.cancel_grace_ms), .max = 60000,
     .fallback = "2000",
     .sentence = "A request that was sent to a replica less than this ago is not cut off before "
                 "its "
                 "first byte: Ollama would leak a descriptor."},
};
static const struct schema timeout_schema = SCHEMA(timeout_keys, struct settings);

static const struct key_spec limit_keys[] = {
    {"body_bytes", KEY_U64, AT(struct settings, limits.body_bytes), .min = 1024, .max = 1073741824,
     .fallback = "20971520", .sentence = "One request body; 413 above it."},
    {"body_memory_bytes", KEY_U64, AT(struct settings, limits.body_memory_bytes), .min = 1048576,
     .max = 1099511627776, .fallback = "268435456",
     .sentence = "All request bodies in memory together; 503 above it."},
    {"tenant_body_memory_bytes", KEY_U64, AT(struct settings, limits.tenant_body_memory_bytes),
     .max = 1099511627776, .fallback = "0",
     .sentence = "Request bodies of one tenant in memory; 429 above it. 0: half of "
                 "body_memory_bytes, but at least body_bytes."},
    {"answer_memory_bytes", KEY_U64, AT(struct settings, limits.answer_memory_bytes),
     .min = 1048576, .max = 1099511627776, .fallback = "268435456",
     .sentence = "Memory of answers that wait because their clients do not read, 32 KiB counted "
                 "for each; above it the next one that would wait is cut."},
    {"tenant_answer_memory_bytes", KEY_U64, AT(struct settings, limits.tenant_answer_memory_bytes),
     .max = 1099511627776, .fallback = "0",
     .sentence = "The same of one tenant. 0: half of answer_memory_bytes."},
    {"linger_bytes", KEY_U32, AT(struct settings, limits.linger_bytes), .min = 65536,
     .max = 1073741824, .fallback = "67108864",
     .sentence = "What is read and dropped of a request after its early answer; above it the "
                 "connection is closed, or the HTTP/2 stream reset. See timeouts.linger_s."},
    {"connections", KEY_U32, AT(struct settings, limits.connections), .max = 1000000,
     .restart = true,
     .fallback = "0", .sentence = "Client connections in all; 0: (descriptor limit - 256) / 2."},
    {"connections_per_address", KEY_U32, AT(struct settings, limits.connections_per_address),
     .min = 1,
     .max = 1000000, .fallback = "64",
     .sentence = "Connections of one source address that have not shown a credential yet."},
    {"connections_per_trusted_address", KEY_U32,
     AT(struct settings, limits.connections_per_trusted_address), .min = 1, .max = 1000000,
     .fallback = "1024",
     .sentence = "The same for a listener's trusted_sources and UNIX sockets. Behind them are many "
                 "clients: with a credential only connections_per_tenant holds."},
    {"connections_per_known_address", KEY_U32,
     AT(struct settings, limits.connections_per_known_address), .min = 1, .max = 1000000,
     .fallback = "512",
     .sentence = "Connections of one source address that have shown a credential; the first "
                 "request of one more gets 429."},
    {"connections_per_tenant", KEY_U32, AT(struct settings, limits.connections_per_tenant),
     .max = 1000000, .fallback = "0",
     .sentence = "Connections whose first credential was of one tenant; 429 above it. 0: half of "
                 "all. Of all connections the last tenth is kept for tenants that hold fewer than "
                 "ten."},
    {"image_bytes", KEY_U64, AT(struct settings, limits.image_bytes), .min = 1, .max = 1073741824,
     .fallback = "20971520", .sentence = "One image, decoded; 413 above it."},
    {"images_bytes", KEY_U64, AT(struct settings, limits.images_bytes), .min = 1, .max = 1073741824,
     .fallback = "20971520", .sentence = "All images of a request, decoded; 413 above it."},
    {"images", KEY_U32, AT(struct settings, limits.images), .max = 10000, .fallback = "64",
     .sentence = "Images of a request; 413 above it."},
    {"messages", KEY_U32, AT(struct settings, limits.messages), .min = 1, .max = 100000,
     .fallback = "10000", .sentence = "Messages of a request; 413 above it."},
    {"inputs", KEY_U32, AT(struct settings, limits.inputs), .min = 1, .max = 100000,
     .fallback = "2048", .sentence = "Inputs of one embedding request; 413 above it."},
    {"default_output_tokens", KEY_U32, AT(struct settings, limits.default_output_tokens), .min = 1,
     .max = 16777216, .fallback = "1024",
     .sentence = "Output that is reserved, and asked of the replica, when a token limit applies "
                 "and the request names no maximum."},
    {"counters_per_tenant", KEY_U32, AT(struct settings, limits.counters_per_tenant), .min = 64,
     .max = 16777216, .restart = true, .fallback = "262144",
     .sentence = "Counters that the limits of one tenant may have in use: one for each rule, user "
                 "and model; 76 bytes each when used. More users get 503."},
    {"auth_failures_per_10s", KEY_U32, AT(struct settings, limits.auth_failures_per_10s), .min = 1,
     .max = 1000000, .fallback = "20",
     .sentence = "Wrong credentials of one source address (and worker) in 10 s; above it only API "
                 "keys and tokens verified before are looked at, other requests get 429. A request "
                 "without a credential and an expired token do not count."},
    {"trusted_auth_failures_per_10s", KEY_U32,
     AT(struct settings, limits.trusted_auth_failures_per_10s), .min = 1, .max = 1000000,
     .fallback = "1000",
     .sentence = "The same for a listener's trusted_sources and UNIX sockets, behind which are "
                 "many clients."},
};
static const struct schema limit_schema = SCHEMA(limit_keys, struct settings);

/* A client over a rate is cut off: GOAWAY, ENHANCE_YOUR_CALM. */
static const struct key_spec http2_keys[] = {
    {"max_streams", KEY_U32, AT(struct settings, http2.max_streams),
     .min = 1, .max = 10000, .fallback = "100",
     .sentence = "Requests at once on one connection; more are refused "
                 "(REFUSED_STREAM)."},
    {"stream_window_bytes", KEY_U32, AT(struct settings, http2.stream_window_bytes),
     .min = 16384, .max = 16777216, .fallback = "65536",
     .sentence = "Request body bytes on the way for each stream."},
    {"connection_window_bytes", KEY_U32, AT(struct settings, http2.connection_window_bytes),
     .min = 65535, .max = 1073741824, .fallback = "1048576",
     .sentence = "The same for all streams of a connection together."},
    {"continuations_per_head", KEY_U32, AT(struct settings, http2.continuations_per_head),
     .min = 0, .max = 64, .fallback = "4",
     .sentence = "CONTINUATION frames of one head."},
    {"settings_ack_s", KEY_U32, AT(struct settings, http2.settings_ack_s),
     .min = 1, .max = 3600, .fallback = "10",
     .sentence = "The client's preface and its acknowledgement of our settings."},
    {"resets_received_burst", KEY_U32, AT(struct settings, http2.resets_received_burst),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "Streams that a client may reset at once."},
    {"resets_received_per_s", KEY_U32, AT(struct settings, http2.resets_received_per_s),
     .min = 1, .max = 1000000, .fallback = "20",
     .sentence = "And how fast they come back."},
    {"resets_before_response", KEY_U32, AT(struct settings, http2.resets_before_response),
     .min = 1, .max = 1000000, .fallback = "50",
     .sentence = "Streams that a client may reset before an answer began, in a "
                 "connection's life; then it is asked to open another one."},
    {"resets_sent_burst", KEY_U32, AT(struct settings, http2.resets_sent_burst),
     .min = 1, .max = 1000000, .fallback = "50",
     .sentence = "Streams that a client may make us reset by breaking rules."},
    {"resets_sent_per_s", KEY_U32, AT(struct settings, http2.resets_sent_per_s),
     .min = 1, .max = 1000000, .fallback = "5",
     .sentence = "And how fast they come back."},
    {"resets_sent_lifetime", KEY_U32, AT(struct settings, http2.resets_sent_lifetime),
     .min = 1, .max = 1000000, .fallback = "500",
     .sentence = "The same in a connection's life; then it is asked to open another "
                 "one."},
    {"empty_data_per_s", KEY_U32, AT(struct settings, http2.empty_data_per_s),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "DATA frames that hold nothing, or little but padding."},
    {"pings_per_s", KEY_U32, AT(struct settings, http2.pings_per_s),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "PING frames."},
    {"settings_per_s", KEY_U32, AT(struct settings, http2.settings_per_s),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "SETTINGS frames."},
    {"priorities_per_s", KEY_U32, AT(struct settings, http2.priorities_per_s),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "PRIORITY and PRIORITY_UPDATE frames."},
    {"window_updates_per_s", KEY_U32, AT(struct settings, http2.window_updates_per_s),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "WINDOW_UPDATE frames beyond two for each DATA frame of ours."},
    {"unknown_frames_per_s", KEY_U32, AT(struct settings, http2.unknown_frames_per_s),
     .min = 1, .max = 1000000, .fallback = "100",
     .sentence = "Frames of types that corral does not know."},
    {"stale_frames_per_s", KEY_U32, AT(struct settings, http2.stale_frames_per_s),
     .min = 1, .max = 1000000, .fallback = "1000",
     .sentence = "Frames on streams that corral has reset."},
    {"frames_lifetime", KEY_U32, AT(struct settings, http2.frames_lifetime),
     .min = 1, .max = 1000000000, .fallback = "10000",
     .sentence = "Frames of each of these kinds in a connection's life; then the "
                 "client is asked to open another one."},
};
static const struct schema http2_schema = SCHEMA(http2_keys, struct settings);

static const struct key_spec log_keys[] = {
    {"level", KEY_LOG_LEVEL, AT(struct settings, log_level), .fallback = "info",
     .sentence = "debug, info, warn or error. Access lines are info."},
    {"file", KEY_STRING, AT(struct settings, log_file), .min = 1, .max = 4096, .restart = true,
     .sentence = "Append to this file instead of standard error; SIGUSR1 opens it again."},
    {"refusals_per_10s", KEY_U32, AT(struct settings, log_refusals_per_10s), .min = 1,
     .max = 1000000, .fallback = "20",
     .sentence = "Lines about requests without a valid credential, and about failed handshakes, of "
                 "one source address (and worker) in 10 s; those above it are counted, in "
                 "corral_log_sampled_total and in one line for each source."},
};
static const struct schema log_schema = SCHEMA(log_keys, struct settings);

static const struct key_spec health_keys[] = {
    {"address", KEY_ADDRESS, AT(struct settings, health_address), .restart = true,
     .fallback = "0.0.0.0:8081",
     .sentence = "Plain HTTP for /healthz and /readyz, nothing else; \"\" turns it off."},
    {"ready_without_replicas", KEY_BOOL, AT(struct settings, ready_without_replicas),
     .fallback = "true",
     .sentence = "Whether /readyz is 200 when no replica is reachable: then clients get a sentence "
                 "that says so, and not a refused connection. The body names how many are."},
};
static const struct schema health_schema = SCHEMA(health_keys, struct settings);

static const struct key_spec metrics_keys[] = {
    {"address", KEY_ADDRESS, AT(struct settings, metrics_address), .restart = true,
     .fallback = "127.0.0.1:9464",
     .sentence = "Plain HTTP for /metrics, loopback only; \"\" turns it off."},
};
static const struct schema metrics_schema = SCHEMA(metrics_keys, struct settings);

static const struct key_spec sandbox_keys[] = {
    {"mode", KEY_WORD, AT(struct settings, sandbox_mode), .words = "auto required off",
     .restart = true, .fallback = "auto",
     .sentence = "Close corral in after its start (docs/THREAT-MODEL.md): auto uses what the "
                 "kernel has, required refuses to start without Landlock and seccomp, off is for "
                 "debugging."},
};
static const struct schema sandbox_schema = SCHEMA(sandbox_keys, struct settings);

static const struct schema listener_schema = SCHEMA(listener_keys, struct listener_settings);

static const struct key_spec top_keys[] = {
    {"listeners", KEY_LIST, .required = true, .restart = true,
     AT_LIST(struct settings, listeners, listener_count), .inner = &listener_schema,
     .sentence = "Where clients connect."},
    {"server_names", KEY_STRINGS, AT_LIST(struct settings, server_names, server_name_count),
     .max = 64, .fallback = "[]",
     .sentence = "Host names that are ours; others get 421. localhost and literal loopback "
                 "always are. A listener that a network can reach needs one."},
    {"workers", KEY_U32, AT(struct settings, workers), .max = 64, .restart = true, .fallback = "0",
     .sentence = "Threads that serve clients; 0: one for each core."},
    {"tls", KEY_BLOCK, .inner = &tls_schema, .sentence = "Certificates of the TLS listeners."},
    {"issuers", KEY_LIST, AT_LIST(struct settings, auth.issuers, auth.issuer_count),
     .inner = &issuer_schema, .sentence = "Who may sign JWTs."},
    {"state_dir", KEY_STRING, AT(struct settings, state_dir), .min = 1, .max = 4096,
     .restart = true,
     .sentence = "Folder that corral may write: token budgets are kept there over a restart. "
                 "Without it they begin anew."},
    {"api_keys_file", KEY_STRING, AT(struct settings, auth.api_keys_file), .min = 1, .max = 4096,
     .sentence = "File of API keys, made by `corral key create`. A key of a tenant that is not "
                 "configured is skipped, with a warning."},
    {"tenants", KEY_LIST,
     .required = true, AT_LIST(struct settings, auth.tenants, auth.tenant_count),
     .inner = &tenant_schema, .sentence = "Who pays, what they may do."},
    {"models", KEY_LIST, AT_LIST(struct settings, models, model_count), .inner = &model_schema,
     .sentence = "Models with settings of their own; all others are served with runner options "
                 "dropped."},
    {"replicas", KEY_LIST, .required = true, AT_LIST(struct settings, replicas, replica_count),
     .inner = &replica_schema, .sentence = "The Ollama servers."},
    {"queue", KEY_BLOCK, .inner = &queue_schema, .sentence = "Waiting for a slot."},
    {"timeouts", KEY_BLOCK, .inner = &timeout_schema, .sentence = "How long things may take."},
    {"limits", KEY_BLOCK, .inner = &limit_schema, .sentence = "How large and how many."},
    {"http2", KEY_BLOCK, .inner = &http2_schema,
     .sentence = "What a client may do to one HTTP/2 connection; each limit is a metric and a "
                 "reason in the log."},
    {"log", KEY_BLOCK, .inner = &log_schema, .sentence = "JSON lines."},
    {"health", KEY_BLOCK, .inner = &health_schema, .sentence = "For the kubelet."},
    {"sandbox", KEY_BLOCK, .inner = &sandbox_schema, .sentence = "What is left to an intruder."},
    {"metrics", KEY_BLOCK, .inner = &metrics_schema, .sentence = "For Prometheus."},
};
/* clang-format on */

const struct schema config_schema = SCHEMA(top_keys, struct settings);
