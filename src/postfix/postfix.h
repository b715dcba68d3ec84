/* The command postfix: checks, starts, stops and informs the mail system. */
#ifndef POSTFIX_POSTFIX_H
#define POSTFIX_POSTFIX_H

#include "global/config.h"

struct postfix {
    struct config *cfg;
    bool rootless; /* run by an ordinary user that owns the queue */
    bool debug;    /* -D */
    unsigned verbose;
};

/* check.c: create what is missing, warn about what is odd. False, with the problem
 * logged, when the mail system could not work. */
bool check_system(struct postfix *pf);
/* Can main.cf and master.cf be read, and can their programs be run? */
bool check_configuration(struct postfix *pf);

/* control.c; exit statuses */
pid_t control_master_pid(const struct postfix *pf); /* 0: does not run; -1: unknown */
int control_start(struct postfix *pf);
int control_start_foreground(struct postfix *pf);
int control_stop(struct postfix *pf);
int control_quick_stop(struct postfix *pf);
int control_abort(struct postfix *pf);
int control_drain(struct postfix *pf);
int control_reload(struct postfix *pf);
int control_status(struct postfix *pf);
int control_flush(struct postfix *pf);

/* logrotate.c */
int logrotate(struct postfix *pf);

/* Run a program and wait: its exit status, or 128 plus the signal number. */
int run_program(char *const *argv);

#endif
