#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "smtpd/smtpd.h"

/* 421 and 521 announce that the connection is closed. */
static bool is_goodbye(const char *text)
{
    return strncmp(text, "421", 3) == 0 || strncmp(text, "521", 3) == 0;
}

void smtpd_reply(struct smtpd_session *s, const char *text)
{
    if (s->errors > s->cfg->smtpd_soft_error_limit && s->cfg->smtpd_error_sleep_time > 0)
        fiber_sleep(s->cfg->smtpd_error_sleep_time * 1000);
    if (text[0] == '4' || text[0] == '5')
        s->failed = true;
    stream_write_str(s->stream, text);
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
