#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "smtpd/smtpd.h"

/* 421 and 521 announce that the connection is closed. */
static bool is_goodbye(const char *text)
{
    return strncmp(text, "421", 3) == 0 || strncmp(text, "521", 3) == 0;
}

/* Clients that do nothing but err are not worth a quick answer. */
static void slow_down(struct smtpd_session *s)
{
    if (s->errors_before < s->cfg->smtpd_soft_error_limit ||
        s->cfg->smtpd_error_sleep_time == 0)
        return;
    stream_flush(s->stream);
    fiber_sleep(s->cfg->smtpd_error_sleep_time * 1000);
}

/* With soft_bounce "550 5.1.1 ..." is sent as "450 4.1.1 ...". */
static void write_text(struct smtpd_session *s, const char *text)
{
    bool soften = s->cfg->soft_bounce && text[0] == '5';

    if (soften) {
        stream_write(s->stream, "4", 1);
        text++;
        if (strlen(text) > 5 && text[3] == '5' && text[4] == '.') {
            stream_write(s->stream, text, 3);
            stream_write(s->stream, "4", 1);
            text += 4;
        }
    }
    stream_write_str(s->stream, text);
}

void smtpd_reply(struct smtpd_session *s, const char *text)
{
    if (!*text) {
        s->failed = true;
        return;
    }
    slow_down(s);
    if (text[0] == '4' || text[0] == '5')
        s->failed = true;
    write_text(s, text);
    stream_write(s->stream, "\r\n", 2);
    if (is_goodbye(text) && s->end == SMTPD_GOING_ON)
        s->end = SMTPD_QUIT;
}

static char *format(const char *fmt, va_list ap)
{
    struct strbuf sb = STRBUF_INIT;

    strbuf_vaddf(&sb, fmt, ap);
    return strbuf_detach(&sb);
}

void smtpd_replyf(struct smtpd_session *s, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format(fmt, ap);
    va_end(ap);
    smtpd_reply(s, text);
    free(text);
}

void smtpd_error(struct smtpd_session *s, const char *text)
{
    s->errors++;
    smtpd_reply(s, text);
}

void smtpd_errorf(struct smtpd_session *s, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format(fmt, ap);
    va_end(ap);
    smtpd_error(s, text);
    free(text);
}
