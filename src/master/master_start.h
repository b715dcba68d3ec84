/* The steps from exec to a running master: environment, terminal, locks, limits. */
#ifndef MASTER_MASTER_START_H
#define MASTER_MASTER_START_H

#include "master/master.h"

/* "master [-Ddistvw] [-c dir] [-e seconds]"; exits with a usage text. */
void start_options(struct master *master, int argc, char **argv);
/* Keep only what import_environment names, and what services need. */
void start_environment(const struct config *cfg);
/* -w: go on in a child; the parent exits 0 when start_ready is called, else 1. */
void start_background(void);
void start_ready(struct master *master);
/* One master an instance: pid/master.pid and data_directory/master.lock; fatal when
 * another one runs. */
void start_locks(struct master *master, const struct config *cfg);
/* -t: does not return; exit status 0 means that no master runs. */
_Noreturn void start_test(const struct config *cfg);
/* Raise the limit of open files to what the sessions of the configuration need. */
void start_limits(const struct master_set *set);

#endif
