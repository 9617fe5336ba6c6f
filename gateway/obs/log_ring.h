/**
 * The rings between threads that log and the helper that writes. Internal to obs/.
 */
#ifndef CORRAL_OBS_LOG_RING_H
#define CORRAL_OBS_LOG_RING_H

#include "obs/log.h"

enum log_level log_source_level(const struct log_source *source);

/**
 * Copy one line into the ring, or drop and count it. Only from the source's own thread.
 * `minor`: only the first half of the ring is for it.
 */
void log_source_put(struct log_source *source, struct slice line, bool minor);

#endif
