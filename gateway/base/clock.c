#include "base/clock.h"

#include <string.h>
#include <time.h>

#include "base/decimal.h"

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

/*
 * Every log line has one: gmtime_r and strftime would cost as much as the rest of it. Years begin
 * on 1 March here, so that the leap day is a year's last day, and the months before any month have
 * (153 x month + 2) / 5 days.
 */
void clock_stamp(uint64_t wall_ms, char out[static CLOCK_STAMP_BYTES])
{
    enum { DAY_S = 86400, YEAR = 365, FOUR_YEARS = 1461, CENTURY = 36524, FOUR_CENTURIES = 146097 };
    uint64_t seconds = wall_ms / 1000u;
    unsigned of_day = (unsigned)(seconds % DAY_S);
    uint64_t days = seconds / DAY_S + 719468; /* since 1 March of the year 0 */
    unsigned era_day = (unsigned)(days % FOUR_CENTURIES);
    unsigned century = era_day / CENTURY < 4 ? era_day / CENTURY : 3;
    unsigned rest = era_day - century * CENTURY;
    unsigned quad = rest / FOUR_YEARS;
    unsigned single = rest % FOUR_YEARS / YEAR < 4 ? rest % FOUR_YEARS / YEAR : 3;
    unsigned of_year = rest % FOUR_YEARS - single * YEAR;
    unsigned year = (unsigned)(days / FOUR_CENTURIES) * 400 + century * 100 + quad * 4 + single;
    unsigned month = (5 * of_year + 2) / 153;

    memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_STAMP_BYTES);
    year += month >= 10 ? 1 : 0;
    decimal_pair(out, year / 100 % 100);
    decimal_pair(out + 2, year % 100);
    decimal_pair(out + 5, (month + 2) % 12 + 1);
    decimal_pair(out + 8, of_year - (153 * month + 2) / 5 + 1);
    decimal_pair(out + 11, of_day / 3600);
    decimal_pair(out + 14, of_day / 60 % 60);
    decimal_pair(out + 17, of_day % 60);
    decimal_fixed(out + 20, wall_ms % 1000u, 3);
}
