"""Broken configurations: name -> (text, what the message says). `@` marks line and column (F29)."""

L = 'listeners: [{address: "127.0.0.1:8443"}]\n'
T = "tenants: [{name: acme}]\n"
R = 'replicas: [{url: "http://127.0.0.1:11434"}]\n'
BASE = L + T + R
CLIENTS = "tls: {client_auth: optional, client_ca_dir: /x}\n"


def base(extra):
    return BASE + extra + "\n"


def listener(fields):
    return "listeners: [{%s}]\n" % fields + T + R


def rules(text):
    return tenant("name: acme, limits: [%s]" % text)


def tenant(fields):
    return L + "tenants: [{%s}]\n" % fields + R


def replica(fields):
    return L + T + "replicas: [{%s}]\n" % fields


BROKEN = {
    # YAML
    "no-yaml": ("listeners: [\n@", "not YAML"),
    "tab": ("listeners:\n@\t- a: b", "not YAML"),
    "empty": ("@", "empty"),
    "scalar": ("@hello", "must be a block of keys"),
    "list": ("@- a\n- b", "must be a block of keys"),
    "anchor": (base("queue: @&a {max_waiting: 1}"), "anchors and aliases"),
    "alias": (base("queue: @*a"), "anchors and aliases"),
    "tag": (base("workers: @!!int 3"), "tags (!) are not allowed"),
    "two-documents": (BASE + "@---\na: b\n", "only one document"),
    # keys
    "unknown": (base("@nonsense: 1"), "nonsense: unknown key"),
    "misspelled": (base("@worker: 2"), 'did you mean "workers"?'),
    "misspelled-inner": (base("queue: {@max_wating: 2}"), 'did you mean "max_waiting"?'),
    "misspelled-tenant": (tenant("name: acme, @wieght: 2"), 'did you mean "weight"?'),
    "misspelled-listener": (listener('@adress: "127.0.0.1:1", address: "127.0.0.1:2"'),
                            'did you mean "address"?'),
    "twice": (base("workers: 1\n@workers: 2"), "a second time"),
    "twice-inner": (base("log: {level: info, @level: warn}"), "a second time"),
    "no-listeners": ("@" + T + R, 'the key "listeners" is missing'),
    "no-tenants": ("@" + L + R, 'the key "tenants" is missing'),
    "no-replicas": ("@" + L + T, 'the key "replicas" is missing'),
    "no-url": (L + T + "replicas: [@{slots: 2}]\n", 'the key "url" is missing'),
    "no-name": (L + "tenants: [@{weight: 2}]\n" + R, 'the key "name" is missing'),
    "no-address": ("listeners: [@{tls: false}]\n" + T + R, 'the key "address" is missing'),
    # kinds
    "null": (base("@workers:"), "has no value"),
    "block-for-number": (base("@workers: {a: 1}"), "must not be a block"),
    "list-for-number": (base("@workers: [1]"), "must be one value, not a list"),
    "value-for-block": (base("@queue: 3"), "must be a block of keys"),
    "value-for-list": (base("@server_names: a"), "must be a list"),
    "nested-list": (base("@server_names: [[a]]"), "list of plain values"),
    "entry-not-block": (L + T + "replicas: [@a]\n", "must be a block of keys"),
    "empty-listeners": ("@listeners: []\n" + T + R, "at least one entry"),
    "empty-tenants": (L + "@tenants: []\n" + R, "at least one entry"),
    "empty-replicas": (L + T + "@replicas: []\n", "at least one entry"),
    # values
    "unit": (base("timeouts: {@head_s: 5m}"), "not a whole number in digits"),
    "negative": (base("@workers: -1"), "not a whole number"),
    "decimal": (base("timeouts: {@idle_s: 1.5}"), "not a whole number"),
    "hex": (base("@workers: 0x2"), "not a whole number"),
    "underscore": (base("limits: {@body_bytes: 1_000_000}"), "not a whole number"),
    "too-large": (base("@workers: 65"), "65 is out of range: 0 to 64"),
    "too-small": (base("timeouts: {@head_s: 0}"), "out of range: 1 to 300"),
    "overflow": (base("limits: {@body_bytes: 99999999999999999999}"), "not a whole number"),
    "bool": (listener('address: "127.0.0.1:1", @tls: yes'), "neither true nor false"),
    "level": (base("log: {@level: loud}"), '"loud" is not a level'),
    "verb": (tenant("name: acme, @verbs: [chat, fly]"), "fly"),
    "admin-verb": (tenant("name: acme, @verbs: [pull]"), "pull"),
    "option": (base("models: [{name: a, options: {@allowed: [temperature]}}]"), "temperature"),
    "protocol": (listener('address: "127.0.0.1:1", @protocols: [spdy]'), "spdy"),
    "no-protocol": (listener('address: "127.0.0.1:1", @protocols: []'), "at least one of: h2 http/1.1"),
    "prefix": (listener('address: "127.0.0.1:1", @trusted_sources: ["10.0.0.0/33"]'),
               "10.0.0.0/33"),
    "address": (listener('@address: "localhost"'), "not an address and port"),
    "address-name": (listener('@address: "corral.local:80"'), "not an address and port"),
    "address-port": (listener('@address: "127.0.0.1:99999"'), "not an address and port"),
    "url-https-path": (replica('@url: "https://a:1/x"'), "without a path"),
    "replica-tls-plain": (replica('url: "http://a", @tls: {ca_file: /x}'), "begins with https://"),
    "replica-tls-path": (replica('url: "unix:/a", @tls: {ca_file: /x}'), "begins with https://"),
    "replica-tls-half": (replica('url: "https://a", @tls: {certificate: /x}'), "belong together"),
    "replica-tls-other": (replica('url: "https://a", tls: {@insecure: true}'), "unknown key"),
    "url-path": (replica('@url: "http://a:1/x"'), "without a path"),
    "url-scheme": (replica('@url: "a:1"'), "not a replica's address"),
    "url-port": (replica('@url: "http://a:70000"'), "not a replica's address"),
    "url-user": (replica('@url: "http://u:p@@a"'), "not a replica's address"),
    "slots": (replica('url: "http://a", @slots: 0'), "out of range: 1 to 1024"),
    # together
    "open-plain": (listener('@address: "0.0.0.0:8443"'), "needs tls: true"),
    "open-no-auth": (listener('@address: "0.0.0.0:8443", tls: true'), "needs api_keys_file"),
    "tls-no-certificate": (listener('@address: "127.0.0.1:1", tls: true'),
                           "needs an entry under tls.certificates"),
    "listener-twice": ('listeners: [{address: "127.0.0.1:1"}, {@address: "127.0.0.1:1"}]\n' + T + R,
                       "listed twice"),
    "replica-twice": (L + T + 'replicas: [{url: "http://a"}, {@url: "http://a:11434"}]\n',
                      "listed twice"),
    "tenant-twice": (L + "tenants: [{name: a}, {@name: a}]\n" + R, "defined twice"),
    "tenant-name": (tenant('@name: "a b"'), "only letters"),
    "tenant-other": (tenant("@name: other"), "reserved"),
    "client-auth-word": (base("tls: {@client_auth: maybe}"), "none of: off optional required"),
    "client-auth-alone": (base("tls: {@client_auth: required}"), "needs tls.client_ca_dir"),
    "client-ca-alone": (base("tls: {@client_ca_dir: /x}"), "of no use without tls.client_auth"),
    "client-crl-alone": (base("tls: {@client_crl_dir: /x}"), "of no use without tls.client_auth"),
    "unknown-name": (base("tls: {@unknown_name: last}"), "none of: first refuse"),
    "ticket-rotation": (base("tls: {@ticket_rotation_s: 43201}"), "out of range: 1 to 43200"),
    "names-no-auth": (tenant('name: a, @certificate_names: ["dns:a.b"]'), "needs tls.client_auth"),
    "names-cn": (tenant('name: a, @certificate_names: ["CN=a"]') + CLIENTS, "neither a URI"),
    "names-wildcard": (tenant('name: a, @certificate_names: ["dns:*.a.b"]') + CLIENTS,
                       "wildcards are not allowed"),
    "names-uri-star": (tenant('name: a, @certificate_names: ["spiffe://a/*"]') + CLIENTS,
                       "wildcards are not allowed"),
    "names-twice": (L + 'tenants: [{name: a, certificate_names: ["dns:a.b"]}, '
                    '{name: b, @certificate_names: ["dns:a.b"]}]\n' + R + CLIENTS,
                    'stands for the tenant "a" already'),
    "proxy-no-sources": (listener('address: "127.0.0.1:1", @proxy_protocol: true'),
                         "needs trusted_sources"),
    "unix-relative": (listener('@address: "unix:run/a"'), "not a socket's path"),
    "unix-long": (listener('@address: "unix:/%s"' % ("a" * 107)), "at most 107 bytes"),
    "unix-metrics": (base('metrics: {@address: "unix:/run/a"}'), "not an address and port"),
    "unix-replica": (replica('@url: "unix:run/a"'), "not a replica's address"),
    "unix-replica-twice": (L + T + 'replicas: [{url: "unix:/a"}, {@url: "unix:/a"}]\n',
                           "listed twice"),
    "server-name": (base("@server_names: [\"https://a\"]"), "not a host name"),
    "metrics-open": (base('metrics: {@address: "0.0.0.0:9464"}'), "only loopback"),
    "limit-no-name": (rules("@{requests: 1, window_s: 1}"), 'the key "name" is missing'),
    "limit-name": (rules('@{name: "a b", requests: 1, window_s: 1}'), "only letters"),
    "limit-name-long": (rules('{@name: "%s", requests: 1, window_s: 1}' % ("a" * 33)), "1 to 32 bytes"),
    "limit-neither": (rules("@{name: a, window_s: 1}"), "either requests or tokens"),
    "limit-both": (rules("@{name: a, requests: 1, tokens: 1, window_s: 1}"),
                   "either requests or tokens"),
    "limit-no-window": (rules("@{name: a, tokens: 1}"), "either window_s or calendar"),
    "limit-two-windows": (rules("@{name: a, tokens: 1, window_s: 1, calendar: day}"),
                          "either window_s or calendar"),
    "limit-calendar-requests": (rules("@{name: a, requests: 1, calendar: day}"),
                                "calendar is for tokens"),
    "limit-calendar": (rules("{name: a, tokens: 1, @calendar: week}"), "none of: none day month"),
    "limit-burst": (rules("@{name: a, requests: 2, burst: 3, window_s: 1}"), "at most as many"),
    "limit-burst-tokens": (rules("@{name: a, tokens: 2, burst: 1, window_s: 1}"),
                           "burst goes with requests"),
    "limit-per": (rules("{name: a, tokens: 1, window_s: 1, @per: [team]}"), "none of: user model"),
    "limit-zero": (rules("{name: a, @tokens: 0, window_s: 1}"), "out of range"),
    "limit-twice": (rules("{name: a, tokens: 1, window_s: 1}, {@name: a, requests: 1, window_s: 1}"),
                    'two limits of the name "a"'),
    "limit-many": (tenant("name: acme, @limits: [%s]" % ", ".join(
        "{name: a%d, tokens: 1, window_s: 1}" % i for i in range(17))), "more than 16"),
    "body-memory": (base("limits: {body_bytes: 2000000, @body_memory_bytes: 1048576}"),
                    "must not be less than limits.body_bytes"),
    "body-memory-tenant": (base("limits: {body_bytes: 2000000, @tenant_body_memory_bytes: 1048576}"),
                           "must not be less than limits.body_bytes"),
    "trusted-less": (base("limits: {@connections_per_trusted_address: 1}"), "must not be less"),
    "issuer-tenant": (base("issuers: [{issuer: i, audience: [a], keys_file: /x, @tenant: zed}]"),
                      'no tenant "zed"'),
    "issuer-no-audience": (base("issuers: [@{issuer: i, keys_file: /x}]"),
                           'the key "audience" is missing'),
}


def split(text):
    """(text without the mark, line, column); `@@` stands for one @."""
    text = text.replace("@@", "\0")
    before, _, after = text.partition("@")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return (before + after).replace("\0", "@"), line, column
