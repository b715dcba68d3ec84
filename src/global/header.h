/* Message header fields (RFC 5322 and its relatives): which of them hold addresses,
 * whose, and what else the mail system must know of a name. */
#ifndef GLOBAL_HEADER_H
#define GLOBAL_HEADER_H

#include "util/span.h"

enum header_flag {
    HEADER_ADDRESS = 1,   /* the value is an address list: rewrite it */
    HEADER_SENDER = 2,    /* addresses of class header_sender */
    HEADER_RECIPIENT = 4, /* addresses of class header_recipient */
    HEADER_EXTRACT = 8,   /* sendmail -t takes recipients from here */
    HEADER_RESENT = 16,   /* belongs to a Resent- block */
    HEADER_UNIQUE = 32,   /* should occur once */
    HEADER_MIME = 64,     /* says how the content is to be read */
};

enum header_id {
    HEADER_OTHER, /* not in the table */
    HEADER_APPARENTLY_TO,
    HEADER_BCC,
    HEADER_CC,
    HEADER_CONTENT_DESCRIPTION,
    HEADER_CONTENT_DISPOSITION,
    HEADER_CONTENT_ID,
    HEADER_CONTENT_LENGTH,
    HEADER_CONTENT_TRANSFER_ENCODING,
    HEADER_CONTENT_TYPE,
    HEADER_DATE,
    HEADER_DELIVERED_TO,
    HEADER_DISPOSITION_NOTIFICATION_TO,
    HEADER_ERRORS_TO,
    HEADER_FROM,
    HEADER_MAIL_FOLLOWUP_TO,
    HEADER_MESSAGE_ID,
    HEADER_MIME_VERSION,
    HEADER_RECEIVED,
    HEADER_REPLY_TO,
    HEADER_RESENT_BCC,
    HEADER_RESENT_CC,
    HEADER_RESENT_DATE,
    HEADER_RESENT_FROM,
    HEADER_RESENT_MESSAGE_ID,
    HEADER_RESENT_REPLY_TO,
    HEADER_RESENT_SENDER,
    HEADER_RESENT_TO,
    HEADER_RETURN_PATH,
    HEADER_RETURN_RECEIPT_TO,
    HEADER_SENDER_FIELD,
    HEADER_SUBJECT,
    HEADER_TLS_REQUIRED,
    HEADER_TO,
};

struct header_info {
    const char *name; /* as written in a header that we add */
    enum header_id id;
    unsigned flags;
};

/* NULL: a name that means nothing to us. Case does not matter. */
const struct header_info *header_lookup(struct span name);
const struct header_info *header_by_id(enum header_id id);

/* "Name: value". The name is printable ASCII without space and colon (RFC 5322
 * section 2.2), white space before the colon is tolerated. The value keeps the white
 * space that follows the colon. False: the line begins no header. */
bool header_parse_line(struct span line, struct span *name_out, struct span *value_out);

#endif
