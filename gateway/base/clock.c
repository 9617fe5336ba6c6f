#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000u;
}

uint64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME_COARSE) / 1000u;
}

void clock_stamp(uint64_t wall_ms, char out[static CLOCK_STAMP_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000u);
    struct tm t;
    char text[64];

    gmtime_r(&seconds, &t);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(text + n, sizeof(text) - n, ".%03uZ", (unsigned)(wall_ms % 1000u));
    snprintf(out, CLOCK_STAMP_BYTES, "%.24s", text);
}
