#include "util/timefmt.h"

/* Not strftime: these forms are fixed, whatever locale a library has set. */
static const char day_names[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

int64_t time_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 60 * 60;
    case 'd':
        return 24 * 60 * 60;
    case 'w':
        return 7 * 24 * 60 * 60;
    default:
        return 0;
    }
}

bool time_value_parse(struct span text, char default_unit, int64_t *seconds_out)
{
    char unit = default_unit;
    uint32_t count;
    int64_t seconds;

    if (text.len > 0 && !ascii_digit(text.ptr[text.len - 1]))
        unit = text.ptr[--text.len];
    if (!unit_seconds(unit) || !span_u32(text, &count))
        return false;
    seconds = count * unit_seconds(unit);
    if (seconds > INT32_MAX)
        return false;
    *seconds_out = seconds;
    return true;
}

void time_rfc5322(struct strbuf *sb, time_t when)
{
    struct tm tm;
    long offset;
    char sign;

    localtime_r(&when, &tm);
    sign = tm.tm_gmtoff < 0 ? '-' : '+';
    offset = (tm.tm_gmtoff < 0 ? -tm.tm_gmtoff : tm.tm_gmtoff) / 60;
    strbuf_addf(sb, "%s, %2d %s %d %02d:%02d:%02d %c%02ld%02ld (%s)",
                day_names[tm.tm_wday], tm.tm_mday, month_names[tm.tm_mon],
                tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, sign, offset / 60,
                offset % 60, tm.tm_zone);
}

void time_syslog(struct strbuf *sb, time_t when)
{
    struct tm tm;

    localtime_r(&when, &tm);
    strbuf_addf(sb, "%s %2d %02d:%02d:%02d", month_names[tm.tm_mon], tm.tm_mday,
                tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void time_delay(struct strbuf *sb, int64_t delay_us, int max_decimals)
{
    int64_t unit_us = 1000000, steps;
    int decimals = 0;

    if (delay_us < 0)
        delay_us = 0;
    if (max_decimals > 6)
        max_decimals = 6;
    /* Finer steps as long as they leave less than three digits. */
    while (decimals < max_decimals && delay_us / (unit_us / 10) < 100) {
        unit_us /= 10;
        decimals++;
    }
    steps = delay_us / unit_us + (delay_us % unit_us >= (unit_us + 1) / 2);
    while (decimals > 0 && steps % 10 == 0) {
        steps /= 10;
        unit_us *= 10;
        decimals--;
    }
    if (decimals == 0)
        strbuf_addf(sb, "%lld", (long long)steps);
    else
        strbuf_addf(sb, "%lld.%0*lld", (long long)(steps / (1000000 / unit_us)),
                    decimals, (long long)(steps % (1000000 / unit_us)));
}
