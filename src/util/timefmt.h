/* Wall-clock time, time values of main.cf, and printed dates. */
#ifndef UTIL_TIMEFMT_H
#define UTIL_TIMEFMT_H

#include <sys/time.h>
#include <time.h>

#include "util/span.h"
#include "util/strbuf.h"

/* Wall clock, microseconds since 1970. */
int64_t time_now_us(void);
static inline time_t time_now(void)
{
    return (time_t)(time_now_us() / 1000000);
}

/* "5m", "1.5h" is not allowed; unit s m h d w, default_unit when missing. Result
 * in seconds, 0..INT32_MAX; false: malformed or too large. */
bool time_value_parse(struct span text, char default_unit, int64_t *seconds_out);
/* RFC 5322 date: "Mon, 23 Nov 2026 06:10:00 +0000 (UTC)". */
void time_rfc5322(struct strbuf *sb, time_t when);
/* Syslog stamp "Nov  3 06:10:00". */
void time_syslog(struct strbuf *sb, time_t when);
/* A delay for log lines (delay= and delays=): at least 100 s: integral; otherwise
 * two significant digits, at most max_decimals decimals; tiny is "0". */
void time_delay(struct strbuf *sb, int64_t delay_us, int max_decimals);

#endif
