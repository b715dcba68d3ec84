/* EHLO keywords that can be kept from clients. */
#ifndef SMTPD_SMTPD_EHLO_H
#define SMTPD_SMTPD_EHLO_H

#include "smtpd/smtpd.h"

enum smtpd_ehlo {
    SMTPD_EHLO_8BITMIME = 1,
    SMTPD_EHLO_AUTH = 2,
    SMTPD_EHLO_CHUNKING = 4,
    SMTPD_EHLO_DSN = 8,
    SMTPD_EHLO_ENHANCEDSTATUSCODES = 16,
    SMTPD_EHLO_ETRN = 32,
    SMTPD_EHLO_PIPELINING = 64,
    SMTPD_EHLO_REQUIRETLS = 128,
    SMTPD_EHLO_SIZE = 256,
    SMTPD_EHLO_SMTPUTF8 = 512,
    SMTPD_EHLO_STARTTLS = 1024,
    SMTPD_EHLO_VRFY = 2048,
    SMTPD_EHLO_XCLIENT = 4096,
    SMTPD_EHLO_XFORWARD = 8192,
    SMTPD_EHLO_XVERP = 16384,
    SMTPD_EHLO_SILENT = 32768, /* "silent-discard": do not log it */
};

/* Names separated by commas and white space, in any case; unknown ones are logged
 * with the place where they stand. */
unsigned smtpd_ehlo_parse(const char *text, const char *where);
/* "ETRN SIZE" */
void smtpd_ehlo_names(unsigned mask, struct strbuf *out);

#endif
