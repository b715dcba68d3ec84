/* A queue file's message as text, the way mailboxes, commands and files get it: the
 * headers that delivery adds, then the content with line ends. Pulled piece by piece.
 * Blocking file reads; no logging: usable in children and worker threads. */
#ifndef GLOBAL_MAILBOX_COPY_H
#define GLOBAL_MAILBOX_COPY_H

#include "global/rec.h"

enum mailbox_copy_flag {
    MAILBOX_FROM_LINE = 1,  /* begin with "From sender  date" */
    MAILBOX_QUOTE_FROM = 2, /* write ">From " for content lines that begin "From " */
    MAILBOX_BLANK_END = 4,  /* an empty line at the end */
};

/* What delivery adds, in this order. Addresses are in internal form. */
struct mailbox_message {
    int fd;                   /* queue file; stays the caller's */
    int64_t data_offset;      /* of the first content record */
    const char *sender;       /* Return-Path:, and the From line */
    const char *original_to;  /* X-Original-To:; NULL: none */
    const char *delivered_to; /* Delivered-To:; NULL: none */
    time_t when;              /* of the From line */
};

struct mailbox_copy {
    struct rec_reader reader;
    struct strbuf buf;
    unsigned flags;
    bool started; /* the added headers were handed out */
    bool in_line; /* the last record did not end its line */
    bool done;
    bool failed; /* the queue file could not be read to its end */
};

void mailbox_copy_init(struct mailbox_copy *copy, const struct mailbox_message *message,
                       unsigned flags);
void mailbox_copy_free(struct mailbox_copy *copy);
/* Next piece, borrowed until the next call; empty at the end and on failure. */
struct span mailbox_copy_next(struct mailbox_copy *copy);

#endif
