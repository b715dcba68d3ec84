/* master.cf: parsed entries, for the master daemon and postconf. */
#ifndef GLOBAL_MASTER_CF_H
#define GLOBAL_MASTER_CF_H

#include "global/config.h"

enum service_type {
    SERVICE_INET,
    SERVICE_UNIX,
    SERVICE_UNIX_DGRAM,
    SERVICE_FIFO,
    SERVICE_PASS
};
const char *service_type_name(enum service_type type); /* "inet", "unix-dgram", ... */
bool service_type_parse(struct span name, enum service_type *type_out);

#define MASTER_FIELD_COUNT 8

struct master_entry {
    const char *name; /* first field: "smtp", "127.0.0.1:10025", "cleanup" */
    enum service_type type;
    bool is_private;
    bool unprivileged;
    bool chroot;
    int64_t wakeup_s;      /* 0: never */
    bool wakeup_if_used;   /* "?" suffix: only if the service has been used */
    int64_t process_limit; /* 0: no limit; "-": default_process_limit */
    const char *command;   /* program name */
    const char *fields[MASTER_FIELD_COUNT]; /* name, type, ..., command as written */
    const char *const *argv; /* arguments after the command, braces removed, "-o"
                                settings kept as two elements; NULL-terminated */
    size_t argc;
    int line; /* where the entry starts */
};

struct master_cf {
    struct arena *arena;
    const char *path;
    struct master_entry *entries; /* file order; of duplicates (name and type) only
                                     the last, which takes the first one's place */
    size_t count;
};

/* Errors name file, line and field. Duplicates are logged as a warning. */
struct master_cf *master_cf_load(const struct config *cfg, struct err *err);
/* The same from memory; path is for messages. Without cfg "-" as process limit is
 * 100. */
struct master_cf *master_cf_parse(const struct config *cfg, const char *path,
                                  struct span text, struct err *err);
void master_cf_free(struct master_cf *mcf);

#endif
