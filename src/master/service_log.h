/* Where log lines go, as main.cf says: postlogd when maillog_file is set, else
 * syslog. The identity is syslog_name/program. */
#ifndef MASTER_SERVICE_LOG_H
#define MASTER_SERVICE_LOG_H

#include "global/config.h"

/* For services: call in queue_directory, before chroot. */
void service_log_open(const struct config *cfg, const char *program);
/* For commands, which may run while the mail system is down: without a listening
 * postlogd, lines go straight to maillog_file when its directory is listed in
 * maillog_file_prefixes and the user may write there, else to standard error. Does
 * not depend on the working directory. */
void service_log_open_command(const struct config *cfg, const char *program);
/* maillog_file lies under one of maillog_file_prefixes, as it must. */
bool service_log_file_allowed(const struct config *cfg);

#endif
