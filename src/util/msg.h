/* Log lines: "<syslog_name>/<program>[pid]: warning: text". Text that stems from
 * outside must already be escaped (escape.h, printable). Lines are collected
 * and written once a loop tick (loop.h calls msg_flush), before a fatal exit,
 * and at once in programs without a loop.
 *
 * Sinks: standard error, syslog (/dev/log datagrams), postlogd (a datagram
 * socket, several newline-separated complete lines in one datagram), a file.
 * A program that cannot reach its sink falls back to standard error. */
#ifndef UTIL_MSG_H
#define UTIL_MSG_H

#include "util/span.h"

enum msg_level { MSG_INFO, MSG_WARN, MSG_ERROR, MSG_FATAL, MSG_PANIC };

enum msg_sink_type {
    MSG_SINK_STDERR,  /* "<program>: text", for commands */
    MSG_SINK_SYSLOG,  /* target: facility name such as "mail" */
    MSG_SINK_POSTLOG, /* target: path of postlogd's socket */
    MSG_SINK_FILE,    /* target: path, opened O_APPEND; "/dev/stdout" allowed */
};

extern int msg_verbose; /* 0 quiet; -v raises it; see msg_debug */

/* ident is "postfix/smtpd" on log sinks; the part behind the last '/' is what
 * standard error shows. Copies. Before msg_init, lines go to standard error. */
void msg_init(const char *ident);
const char *msg_ident(void);
/* Host name in lines for postlogd and files, up to its first dot; NULL: the
 * system's node name (also the default). */
void msg_set_host(const char *name);
void msg_set_sink(enum msg_sink_type type, const char *target);
/* Also copy every line to standard error (commands run from a terminal). */
void msg_also_stderr(bool on);
/* Batch lines until msg_flush (set by the loop while it runs). */
void msg_set_batching(bool on);
void msg_flush(void);
/* See each line below fatal first; false: it goes no further. NULL for none. For
 * programs that turn the warnings of a library into reports of their own. */
void msg_set_filter(bool (*fn)(void *arg, enum msg_level level, struct span text),
                    void *arg);
/* Called by fatal and panic before exit, at most once; NULL for none. */
void msg_on_exit(void (*fn)(void));
/* Exit status of msg_fatal; 1 unless set (sendmail and postqueue need others). */
void msg_set_fatal_status(int status);

void msg_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void msg_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void msg_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
_Noreturn void msg_fatal(const char *fmt, ...) PRINTF_LIKE(1, 2);
void msg_line(enum msg_level level, struct span text); /* preformatted, no newline */
#define msg_debug(...) (msg_verbose > 0 ? msg_info(__VA_ARGS__) : (void)0)

#endif
