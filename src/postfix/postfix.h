/* The command postfix: checks, starts, stops and informs the mail system. */
#ifndef POSTFIX_POSTFIX_H
#define POSTFIX_POSTFIX_H

#include "postfix/load.h"

struct postfix {
    struct config *cfg;
    struct load *load; /* what stands in main.cf, and what is wrong with it */
    bool rootless;     /* run by an ordinary user that owns the queue */
    bool debug;        /* -D */
    bool json;         /* command option -j: check, status */
    bool force;        /* command option -f: start, start-fg, reload */
    unsigned verbose;
    int argc; /* of the command, whose name is argv[0] */
    char **argv;
};

/* check.c: exit status of "postfix check". */
int check_command(struct postfix *pf);
/* What start does first: create missing directories, warn of doubtful owners, and
 * refuse (false, logged) what would not run. */
bool check_before_start(struct postfix *pf);
/* The part that a running system has to be spared. */
bool check_before_reload(struct postfix *pf);

/* control.c; exit statuses */
pid_t control_master_pid(const struct postfix *pf); /* 0: does not run; -1: unknown */
int control_start(struct postfix *pf);
int control_start_foreground(struct postfix *pf);
int control_stop(struct postfix *pf);
int control_quick_stop(struct postfix *pf);
int control_abort(struct postfix *pf);
int control_drain(struct postfix *pf);
int control_reload(struct postfix *pf);
int control_flush(struct postfix *pf);

/* status.c */
int status_command(struct postfix *pf);

/* logrotate.c */
int logrotate(struct postfix *pf);

/* Run a program and wait: its exit status, or 128 plus the signal number. */
int run_program(char *const *argv);

#endif
