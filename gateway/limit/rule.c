#include "limit/rule.h"

#include <stdlib.h>
#include <time.h>

void limit_rule_finish(struct limit_rule *r)
{
    for (size_t i = 0; i < r->model_count; i++) {
        free(r->models[i]);
    }
    free(r->models);
    free(r->name);
    *r = (struct limit_rule){0};
}

static uint64_t next_month_ms(uint64_t now_ms)
{
    time_t now_s = (time_t)(now_ms / 1000);
    struct tm tm;

    gmtime_r(&now_s, &tm);
    tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + 1, .tm_mday = 1};
    return (uint64_t)timegm(&tm) * 1000; /* month 12 is January of the next year */
}

uint64_t limit_rule_end_ms(const struct limit_rule *r, uint64_t now_ms)
{
    switch (r->calendar) {
    case LIMIT_DAY:
        return (now_ms / LIMIT_DAY_MS + 1) * LIMIT_DAY_MS;
    case LIMIT_MONTH:
        return next_month_ms(now_ms);
    default:
        return now_ms + r->window_s * 1000;
    }
}
