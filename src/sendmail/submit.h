/* Running postdrop, the only way into the maildrop queue. */
#ifndef SENDMAIL_SUBMIT_H
#define SENDMAIL_SUBMIT_H

#include "global/config.h"
#include "util/strbuf.h"

struct submit {
    const char *command; /* path of postdrop */
    pid_t pid;
    int to, from; /* its standard input and output */
};

/* False: errno. The environment is passed on as it is. */
bool submit_start(struct submit *s, const char *command, unsigned verbose);
/* More records; false once postdrop takes no more. */
bool submit_write(void *s, struct span records);

enum submit_result {
    SUBMIT_OK,
    SUBMIT_NOT_RUN, /* postdrop did not get as far as making a file */
    SUBMIT_REFUSED, /* reason_out says why */
    SUBMIT_ABORTED, /* by us: it got no end record */
};
/* Close its input, hear its answer, wait for its end. */
enum submit_result submit_finish(struct submit *s, struct strbuf *reason_out);

#endif
