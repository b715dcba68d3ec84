#include "smtp/smtp.h"

#include "util/msg.h"
#include "util/timefmt.h"

/* Certain firewalls put stars over the greeting, all but some digits of the code. */
static bool is_garbled(const char *greeting)
{
    return strspn(greeting, " *02") == strlen(greeting);
}

/* The workaround at the dot costs time: it is for mail that did not get through. */
static bool is_old(const struct smtp_delivery *d)
{
    return time_now() - d->req->env.arrival.tv_sec >= d->agent->p.pix_threshold_time;
}

bool smtp_pix_disables_esmtp(struct smtp_delivery *d, struct smtp_session *s,
                             const char *greeting)
{
    struct span rest = span_str(d->agent->p.pix_workarounds), word;
    struct strbuf sb = STRBUF_INIT;
    bool disables = false;

    if (!is_garbled(greeting))
        return false;
    while (span_token(&rest, ", \t\r\n", &word)) {
        if (span_ieq(word, SPAN_LIT("disable_esmtp")))
            disables = true;
        else if (span_ieq(word, SPAN_LIT("delay_dotcrlf")) && is_old(d))
            s->delay_dot = true;
        else
            continue;
        strbuf_addf(&sb, "%s%.*s", sb.len ? " " : "", SPAN_ARG(word));
    }
    if (sb.len > 0)
        msg_info("%s: enabling PIX workarounds: %s for %s", d->req->queue_id, sb.ptr,
                 s->relay);
    strbuf_free(&sb);
    return disables;
}
