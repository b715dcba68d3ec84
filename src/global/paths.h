/* What is fixed when the project is built: version, places and owners. The
 * makefile passes its installation variables as -D; these are the defaults. */
#ifndef GLOBAL_PATHS_H
#define GLOBAL_PATHS_H

#define MAIL_VERSION      "3.11.0"
#define MAIL_RELEASE_DATE "20261101"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc/postfix"
#endif
#ifndef COMMAND_DIRECTORY
#define COMMAND_DIRECTORY "/usr/sbin"
#endif
#ifndef DAEMON_DIRECTORY
#define DAEMON_DIRECTORY "/usr/libexec/postfix"
#endif
#ifndef QUEUE_DIRECTORY
#define QUEUE_DIRECTORY "/var/spool/postfix"
#endif
#ifndef DATA_DIRECTORY
#define DATA_DIRECTORY "/var/lib/postfix"
#endif
#ifndef SENDMAIL_PATH
#define SENDMAIL_PATH "/usr/sbin/sendmail"
#endif
#ifndef MAILQ_PATH
#define MAILQ_PATH "/usr/bin/mailq"
#endif
#ifndef NEWALIASES_PATH
#define NEWALIASES_PATH "/usr/bin/newaliases"
#endif
#ifndef MANPAGE_DIRECTORY
#define MANPAGE_DIRECTORY "/usr/share/man"
#endif
#ifndef HTML_DIRECTORY
#define HTML_DIRECTORY "no"
#endif
#ifndef README_DIRECTORY
#define README_DIRECTORY "no"
#endif
#ifndef SHLIB_DIRECTORY
#define SHLIB_DIRECTORY "no"
#endif
#ifndef META_DIRECTORY
#define META_DIRECTORY SYSCONFDIR
#endif
#ifndef SAMPLE_DIRECTORY
#define SAMPLE_DIRECTORY SYSCONFDIR
#endif
#ifndef MAIL_OWNER
#define MAIL_OWNER "postfix"
#endif
#ifndef SETGID_GROUP
#define SETGID_GROUP "postdrop"
#endif
#ifndef DATABASE_TYPE
#define DATABASE_TYPE "lmdb"
#endif
#ifndef CACHE_DB_TYPE
#define CACHE_DB_TYPE "lmdb"
#endif

#endif
