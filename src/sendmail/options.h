/* The command line of sendmail, mailq and newaliases, as programs have used it for
 * decades. */
#ifndef SENDMAIL_OPTIONS_H
#define SENDMAIL_OPTIONS_H

#include "util/arena.h"
#include "util/err.h"

enum sendmail_mode {
    MODE_DELIVER,    /* -bm */
    MODE_VERIFY,     /* -bv: as MODE_DELIVER, but only report what would happen */
    MODE_SMTP,       /* -bs: SMTP on standard input and output */
    MODE_LIST,       /* -bp, mailq */
    MODE_ALIASES,    /* -bi, -I, newaliases */
    MODE_DAEMON,     /* -bd, -bl */
    MODE_FLUSH,      /* -q */
    MODE_FLUSH_ID,   /* -qI<id> */
    MODE_FLUSH_SITE, /* -qR<site> */
    MODE_NOTHING,    /* -bh -bH -q<interval> */
};

struct sendmail_options {
    enum sendmail_mode mode;
    bool extract;                /* -t: recipients from headers */
    bool dots_are_text;          /* -i, -oi */
    bool remote;                 /* -G: do not complete headers */
    const char *sender;          /* -f, -r; NULL: not given */
    const char *full_name;       /* -F; NULL: not given */
    const char *encoding;        /* "8bit", "7bit", or NULL */
    const char *envid;           /* -V, or NULL */
    int notify;                  /* enum dsn_notify bits; 0: not given */
    int ret;                     /* enum dsn_ret; 0: not given */
    int sendopts;                /* enum sendopt */
    bool verp;                   /* -XV */
    const char *verp_delimiters; /* NULL: default_verp_delimiters */
    unsigned verbose;            /* how many -v */
    const char *config;          /* -C: file or directory, or NULL */
    const char *alias_database;  /* -oA, or NULL */
    const char *argument;        /* of MODE_FLUSH_ID and MODE_FLUSH_SITE */
    char **recipients;           /* NULL-terminated rest of the command line */
};

#define SENDMAIL_WARNINGS_MAX 8

/* Texts for msg_warn. */
struct sendmail_warnings {
    const char *text[SENDMAIL_WARNINGS_MAX];
    size_t count;
};

/* program: the name it was called by. False with err: the text for msg_fatal. */
bool sendmail_options_parse(const char *program, int argc, char **argv,
                            struct arena *arena, struct sendmail_options *options_out,
                            struct sendmail_warnings *warnings_out, struct err *err);

#endif
