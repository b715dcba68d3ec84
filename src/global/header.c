#include <stdlib.h>

#include "global/header.h"

#define ADDR_FROM (HEADER_ADDRESS | HEADER_SENDER)
#define ADDR_RCPT (HEADER_ADDRESS | HEADER_RECIPIENT)
#define ADDR_TO   (ADDR_RCPT | HEADER_EXTRACT)

/* Sorted by name, and in the order of enum header_id. */
static const struct header_info headers[] = {
    {"Apparently-To", HEADER_APPARENTLY_TO, ADDR_TO},
    {"Bcc", HEADER_BCC, ADDR_TO},
    {"Cc", HEADER_CC, ADDR_TO},
    {"Content-Description", HEADER_CONTENT_DESCRIPTION, HEADER_MIME},
    {"Content-Disposition", HEADER_CONTENT_DISPOSITION, HEADER_MIME},
    {"Content-ID", HEADER_CONTENT_ID, HEADER_MIME},
    {"Content-Length", HEADER_CONTENT_LENGTH, 0},
    {"Content-Transfer-Encoding", HEADER_CONTENT_TRANSFER_ENCODING, HEADER_MIME},
    {"Content-Type", HEADER_CONTENT_TYPE, HEADER_MIME},
    {"Date", HEADER_DATE, HEADER_UNIQUE},
    {"Delivered-To", HEADER_DELIVERED_TO, 0},
    {"Disposition-Notification-To", HEADER_DISPOSITION_NOTIFICATION_TO, ADDR_FROM},
    {"Errors-To", HEADER_ERRORS_TO, ADDR_FROM},
    {"From", HEADER_FROM, ADDR_FROM | HEADER_UNIQUE},
    {"Mail-Followup-To", HEADER_MAIL_FOLLOWUP_TO, ADDR_FROM},
    {"Message-ID", HEADER_MESSAGE_ID, HEADER_UNIQUE},
    {"MIME-Version", HEADER_MIME_VERSION, HEADER_MIME},
    {"Received", HEADER_RECEIVED, 0},
    {"Reply-To", HEADER_REPLY_TO, ADDR_FROM | HEADER_UNIQUE},
    {"Resent-Bcc", HEADER_RESENT_BCC, ADDR_TO | HEADER_RESENT},
    {"Resent-Cc", HEADER_RESENT_CC, ADDR_TO | HEADER_RESENT},
    {"Resent-Date", HEADER_RESENT_DATE, HEADER_RESENT},
    {"Resent-From", HEADER_RESENT_FROM, ADDR_FROM | HEADER_RESENT},
    {"Resent-Message-ID", HEADER_RESENT_MESSAGE_ID, HEADER_RESENT},
    {"Resent-Reply-To", HEADER_RESENT_REPLY_TO, ADDR_FROM | HEADER_RESENT},
    {"Resent-Sender", HEADER_RESENT_SENDER, ADDR_FROM | HEADER_RESENT},
    {"Resent-To", HEADER_RESENT_TO, ADDR_TO | HEADER_RESENT},
    {"Return-Path", HEADER_RETURN_PATH, ADDR_FROM | HEADER_UNIQUE},
    {"Return-Receipt-To", HEADER_RETURN_RECEIPT_TO, ADDR_FROM},
    {"Sender", HEADER_SENDER_FIELD, ADDR_FROM | HEADER_UNIQUE},
    {"Subject", HEADER_SUBJECT, HEADER_UNIQUE},
    {"TLS-Required", HEADER_TLS_REQUIRED, 0},
    {"To", HEADER_TO, ADDR_TO},
};

static int compare(const void *key, const void *entry)
{
    const struct span *name = key;
    const char *other = ((const struct header_info *)entry)->name;

    for (size_t i = 0; i < name->len; i++) {
        int diff = ascii_lower(name->ptr[i]) - ascii_lower(other[i]);
        if (diff != 0)
            return diff;
    }
    return other[name->len] ? -1 : 0;
}

const struct header_info *header_lookup(struct span name)
{
    return bsearch(&name, headers, ARRAY_LEN(headers), sizeof(headers[0]), compare);
}

const struct header_info *header_by_id(enum header_id id)
{
    return id == HEADER_OTHER ? NULL : &headers[id - 1];
}

bool header_parse_line(struct span line, struct span *name_out, struct span *value_out)
{
    size_t len = 0, pos;

    while (len < line.len && line.ptr[len] > 32 && line.ptr[len] < 127 &&
           line.ptr[len] != ':')
        len++;
    for (pos = len; pos < line.len && (line.ptr[pos] == ' ' || line.ptr[pos] == '\t');)
        pos++;
    if (len == 0 || pos >= line.len || line.ptr[pos] != ':')
        return false;
    *name_out = span_first(line, len);
    *value_out = span_skip(line, pos + 1);
    return true;
}
