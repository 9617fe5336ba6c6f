/**
 * How many connections each source address holds: one table for those that have not shown a
 * credential yet, another for those that have.
 *
 * Shared by all workers: 64 shards, a mutex each, never held over I/O. A source without connections
 * takes no memory. Sources are net_peer_source() keys.
 */
#ifndef CORRAL_NET_SOURCE_COUNT_H
#define CORRAL_NET_SOURCE_COUNT_H

#include <stdbool.h>
#include <stdint.h>

struct source_count;

struct source_count *source_count_create(void);
void source_count_destroy(struct source_count *s);

/** Count one more unless the source holds `cap` already. */
bool source_count_take(struct source_count *s, uint64_t source, uint32_t cap);
void source_count_release(struct source_count *s, uint64_t source);

#endif
