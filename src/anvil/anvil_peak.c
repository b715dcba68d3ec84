#include "anvil/anvil.h"
#include "util/escape.h"
#include "util/msg.h"
#include "util/timefmt.h"

void anvil_peak_note(struct anvil_peak *peak, int64_t value, struct span ident,
                     int64_t when)
{
    if (value <= peak->value)
        return;
    peak->value = value;
    peak->when = when;
    if (ident.len >= sizeof peak->ident)
        ident.len = sizeof peak->ident - 1;
    if (ident.len)
        memcpy(peak->ident, ident.ptr, ident.len);
    peak->ident[ident.len] = '\0';
}

static void log_peak(const struct anvil *anvil, struct anvil_peak *peak,
                     const char *what, bool is_rate)
{
    struct strbuf sb = STRBUF_INIT;

    if (peak->value == 0)
        return;
    strbuf_addf(&sb, "statistics: max %s %lld", what, (long long)peak->value);
    if (is_rate)
        strbuf_addf(&sb, "/%llds", (long long)(anvil->period_ms / 1000));
    if (peak->ident[0]) {
        strbuf_add_str(&sb, " for (");
        escape_printable(&sb, span_str(peak->ident), '?', true);
        strbuf_add_char(&sb, ')');
    }
    strbuf_add_str(&sb, " at ");
    time_syslog(&sb, (time_t)peak->when);
    msg_line(MSG_INFO, strbuf_span(&sb));
    strbuf_free(&sb);
    peak->value = 0;
}

void anvil_log_peaks(struct anvil *anvil)
{
    static const char *const rates[ANVIL_RATE_COUNT] = {
        "connection rate", "message rate", "recipient rate", "newtls rate",
        "auth rate"};

    log_peak(anvil, &anvil->rate_peaks[ANVIL_RATE_CONNECT], rates[0], true);
    log_peak(anvil, &anvil->count_peak, "connection count", false);
    for (size_t i = ANVIL_RATE_MESSAGE; i < ANVIL_RATE_COUNT; i++)
        log_peak(anvil, &anvil->rate_peaks[i], rates[i], true);
    log_peak(anvil, &anvil->size_peak, "cache size", false);
}
