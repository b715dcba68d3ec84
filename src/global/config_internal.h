/* What stands behind struct config: raw settings, and values evaluated once, when
 * first asked for. For config*.c and postconf only. */
#ifndef GLOBAL_CONFIG_INTERNAL_H
#define GLOBAL_CONFIG_INTERNAL_H

#include "global/config.h"
#include "global/param.h"
#include "param_gen.h"
#include "util/hash.h"

/* One "name = value" of main.cf or -o. */
struct setting {
    struct hash_node node; /* keyed by name */
    const char *name;
    const char *raw;   /* as written, continuation lines joined */
    const char *value; /* expanded, once asked for; built-in names use
                          config_store.value instead */
    int line;          /* in main.cf; 0: from -o or the environment */
    bool busy;         /* being expanded: a reference to it is a loop */
};

struct config_store {
    struct hash settings;
    struct setting *builtin[PARAM_COUNT]; /* the setting of that row, or NULL */
    const char *value[PARAM_COUNT];       /* expanded text, or NULL: not yet */
    bool busy[PARAM_COUNT];
    const char *path;    /* of main.cf */
    bool located;        /* the error in hand has its place */
    const char *culprit; /* reports: the name at fault */
    void (*report)(void *arg, const char *name, const char *text); /* or NULL */
    void *report_arg;
};

/* Empty configuration with defaults only: no main.cf, no fields filled. */
struct config *config_new(const struct config_source *source);
void config_set(struct config *cfg, struct span name, struct span value, int line);
const struct setting *config_setting(const struct config *cfg, struct span name);

/* Text of main.cf; file is for messages. False with err: "file, line N: ...". */
bool config_parse(struct config *cfg, const char *file, struct span text,
                  struct err *err);

/* "name = value" apart. False: *why_out says what is missing. */
bool config_split_line(struct span line, struct span *name_out, struct span *value_out,
                       const char **why_out);

/* Text as written or the default as postconf -d shows it, unexpanded. Computed
 * defaults are worked out. NULL with err if that fails. */
const char *config_raw(struct config *cfg, const struct param_row *row,
                       struct err *err);
/* *value_out is NULL for an unknown or unset name. */
bool config_lookup(struct config *cfg, struct span name, const char **value_out,
                   struct err *err);
/* Built-in parameters only. NULL with err. */
const char *config_row_value(struct config *cfg, const struct param_row *row,
                             struct err *err);

/* Put "main.cf, line N" before an error about that name, unless one deeper down
 * did. Returns false. */
bool config_locate(struct config *cfg, const char *name, struct err *err);

/* myhostname, mydomain, mynetworks, process_id, ...: NULL with err. */
const char *config_host_default(struct config *cfg, const struct param_row *row,
                                struct err *err);
/* "127.0.0.0/8 [::1]/128" by style "class", "subnet" or "host". */
const char *config_host_networks(struct config *cfg, const char *style,
                                 struct err *err);
/* Values that types cannot describe: hostnames, compatibility level, ... Ends with a
 * name of NULL. */
extern const struct config_value_check {
    const char *name;
    bool (*ok)(struct config *cfg, struct err *err);
} config_value_checks[];

/* One value of a numerical or boolean parameter. Text without file and line. */
bool config_parse_number(const struct param_row *row, const char *name,
                         const char *text, int64_t *value_out, struct err *err);
bool config_check_length(const struct param_row *row, const char *name,
                         const char *text, struct err *err);

/* May a set-id program be told to read dir? */
bool config_dir_allowed(const char *dir, struct err *err);

#endif
