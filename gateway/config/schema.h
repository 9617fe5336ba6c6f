/**
 * The schema table: every key of the configuration file, once. It checks the file, fills the
 * settings and prints docs/CONFIGURATION.md.
 */
#ifndef CORRAL_CONFIG_SCHEMA_H
#define CORRAL_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum key_kind {
    KEY_U32,
    KEY_U64,
    KEY_BOOL,
    KEY_STRING,   /* char * */
    KEY_STRINGS,  /* char ** and a count */
    KEY_ADDRESS,  /* char *, an address to listen on; "" turns it off where that is allowed */
    KEY_LISTEN,   /* char *, an address or a socket in the file system to listen on */
    KEY_PREFIXES, /* struct net_prefix * and a count */
    KEY_URL,      /* fills struct replica_settings host and port */
    KEY_VERBS,    /* unsigned mask */
    KEY_OPTIONS,  /* unsigned mask of runner options */
    KEY_LOG_LEVEL,
    KEY_WORD,  /* one of `words`: uint32_t, its index */
    KEY_FLAGS, /* a list of `words`: uint32_t, a mask of 1 << index */
    KEY_BLOCK, /* a mapping of `inner`, into the same struct */
    KEY_LIST,  /* a sequence of mappings of `inner`: pointer and count */
};

struct schema;

struct key_spec {
    const char *name;
    enum key_kind kind;
    bool required;
    bool restart; /* a change needs a restart; else a reload takes it */
    size_t offset;
    size_t count_offset;
    uint64_t min;
    uint64_t max;
    const char *fallback; /* as it would be written; NULL: nothing is set */
    const struct schema *inner;
    const char *words; /* separated by one space */
    const char *sentence;
};

struct schema {
    const struct key_spec *keys;
    size_t count;
    size_t item_size; /* of KEY_LIST elements */
};

extern const struct schema config_schema;

#endif
