/* What the parts of postconf share. */
#ifndef POSTCONF_POSTCONF_H
#define POSTCONF_POSTCONF_H

#include "global/config_internal.h"
#include "global/config_usage.h"
#include "util/strbuf.h"

enum name_class { CLASS_BUILTIN = 1, CLASS_SERVICE = 2, CLASS_USER = 4, CLASS_ALL = 7 };

struct options {
    char mode;        /* 'd', 'e', 'l', 'm', 'n', 'X', '#', or 0: actual values */
    char subject;     /* 'p' main.cf, 'M' entries, 'F' fields, 'P' -o settings */
    bool fold;        /* -f */
    bool values_only; /* -h */
    bool names_only;  /* -H */
    bool expand;      /* -x */
    bool quiet;       /* -q */
    unsigned classes; /* -C: enum name_class */
    const char *dir;  /* -c */
    struct config_override *overrides;
    size_t override_count;
};

struct postconf {
    struct options options;
    struct config *cfg;    /* main.cf; with -d: the defaults alone */
    struct master_cf *mcf; /* NULL: not readable */
    struct config_usage *usage;
};

#define FOLD_COLUMN 80
#define FOLD_INDENT "    "

/* -- print.c: one item, white space runs as one blank, folded with fold -- */
void print_text(const char *text, bool fold);

/* -- parameters.c -- */
/* All parameters, or those named. */
void parameters_show(struct postconf *pc, char **names);

/* -- master.c: -M, -F and -P queries; patterns are "service/type[/item]" with "*" -- */
void master_show_entries(struct postconf *pc, char **patterns);
void master_show_fields(struct postconf *pc, char **patterns);
void master_show_settings(struct postconf *pc, char **patterns);
int master_field(struct span name); /* its number, or -1 */
void master_format_entry(struct strbuf *out, const struct master_entry *entry,
                         bool fold);
/* Each with a blank or, when folded, a line break before it. */
void master_put_arguments(struct strbuf *out, const char *const *argv, size_t argc,
                          bool fold);

/* -- edit.c: -e, -X and -# on main.cf -- */
bool edit_main_cf(const struct postconf *pc, char **args, struct err *err);
/* The new text of main.cf. path is for warnings. */
bool edit_text(struct strbuf *out, struct span text, const char *path, char mode,
               char **args, struct err *err);

/* -- master_edit.c: -M, -F and -P with -e, -X and -# -- */
bool edit_master_cf(const struct postconf *pc, char **args, struct err *err);
/* The new text of master.cf; it refuses what would not parse. */
bool master_edit_text(struct strbuf *out, struct span text, const char *path,
                      char subject, char mode, char **args, struct err *err);

/* -- edit_file.c: a file that is locked while it is edited and replaced in one step,
 * with its owner and mode -- */
struct edit_file {
    char *real, *temp;
    int fd; /* of temp, which is the lock */
    bool replaced;
    struct strbuf text;
};
/* edit_file_close in either case. */
bool edit_file_open(struct edit_file *file, const char *path, struct err *err);
bool edit_file_replace(struct edit_file *file, struct span text, struct err *err);
void edit_file_close(struct edit_file *file);

#endif
