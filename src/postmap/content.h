/* Message text taken apart into what header_checks and body_checks look at. */
#ifndef POSTMAP_CONTENT_H
#define POSTMAP_CONTENT_H

#include "util/span.h"

struct content_want {
    bool headers; /* whole fields: lines joined by '\n', no space before the colon */
    bool body;    /* lines, those between parts too, and the one before the body */
    bool mime;    /* also the headers of MIME parts and of attached messages */
};

/* Calls emit for each piece of text, in order; text is borrowed during the call. A NUL
 * ends its line. */
void content_scan(struct span message, const struct content_want *want,
                  void (*emit)(void *arg, struct span text), void *arg);

#endif
