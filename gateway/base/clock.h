/**
 * The two clocks. Deadlines use the monotonic one; only token times and log stamps use wall time.
 */
#ifndef CORRAL_BASE_CLOCK_H
#define CORRAL_BASE_CLOCK_H

#include <stdint.h>

/** CLOCK_MONOTONIC in milliseconds / microseconds. Never goes back. */
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);

/** CLOCK_REALTIME_COARSE in milliseconds since 1970 (5 ns to read, good to 4 ms). */
uint64_t clock_wall_ms(void);

enum { CLOCK_STAMP_BYTES = 25 };

/** "2026-11-21T13:22:27.349Z" and a NUL, from wall milliseconds. */
void clock_stamp(uint64_t wall_ms, char out[static CLOCK_STAMP_BYTES]);

#endif
