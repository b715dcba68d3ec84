/* "postfix check": what would fail or surprise at run time. Each kind of finding is one
 * row of a table of rules, and a function that looks for it; one file a subject. To add
 * one: a row and a function here, a case in tests/e2e/test_postfix_check.py, a line in
 * postfix(1). Codes are for programs and never change. */
#ifndef POSTFIX_CHECK_H
#define POSTFIX_CHECK_H

#include <sys/types.h>

#include "global/master_cf.h"
#include "util/hash.h"
#include "util/net.h"
#include "postfix/postfix.h"

enum check_severity { CHECK_WARNING, CHECK_ERROR };

/* When a rule applies besides "postfix check". */
enum check_when {
    CHECK_ONLY = 0,
    /* What start and reload refuse: master or a service that is in use would certainly
     * not run. Cheap, and nobody else is asked: no network, no names. */
    CHECK_FATAL = 1,
    CHECK_START = 2, /* start looks at it, too, and goes on */
};

struct check;

struct check_rule {
    const char *code;
    enum check_severity severity;
    unsigned when;
    void (*fn)(struct check *check);
    const char *why;
    const char *action; /* unless check_advise gives a better one */
};

/* Where something stands. */
struct check_place {
    const char *file;
    int line; /* 0: no line of its own */
    const char *parameter;
    const char *service; /* "smtp/inet" */
};

/* The settings that a service sees: views[0] are those of main.cf, the others those
 * with the -o options of one entry of master.cf. */
struct check_view {
    struct config *cfg;
    const struct master_entry *entry; /* NULL: main.cf */
    struct load_problem *problems;    /* entry: in its options */
    size_t problem_count;
};

/* A logical line of master.cf that is no good, or that a library warned of. */
struct check_line {
    int line;
    const char *text;
    bool error;
};

struct check {
    struct postfix *pf;
    struct config *cfg; /* views[0].cfg */
    const struct load *load;
    struct arena *arena;
    const char *main_cf, *master_cf; /* paths */
    struct master_cf *mcf;           /* what can be used of it, or NULL */
    const char *master_error;        /* it cannot be read */
    struct master_entry *entries;    /* all of them, duplicates too, in file order */
    size_t entry_count;
    struct check_line *master_lines;
    size_t master_line_count;
    struct check_view *views;
    size_t view_count;
    bool is_running; /* master runs */

    const struct check_rule *rule; /* at work */
    const char *advice;
    void (*on_warning)(struct check *check, struct span text); /* of a library */
    struct check_place warning_place;
    int captured_line; /* check_master.c: line in hand */
    bool speaking;
    bool creates;              /* missing directories */
    struct hash seen;          /* findings by place and text */
    unsigned errors;           /* of all rules */
    unsigned refusals;         /* of those with CHECK_FATAL */
    const char **types;        /* of tables, once asked for */
    const char *types_problem; /* a list of plug-ins is malformed */
    uid_t mail_uid;            /* check_find_owners */
    gid_t mail_gid, setgid_gid;
    const char *owner_problem; /* text about mail_owner or setgid_group */
    const char *owner_parameter;
};

/* Rules by subject; each table ends with a code of NULL. */
extern const struct check_rule check_param_rules[], check_limit_rules[],
    check_file_rules[], check_service_rules[], check_listen_rules[],
    check_chroot_rules[], check_relay_rules[], check_domain_rules[], check_host_rules[],
    check_table_rules[];

/* Report what the present rule has found: a phrase without a full stop. What has been
 * said of the same place before is dropped. */
void check_found(struct check *check, struct check_place place, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* What to do about the next finding, instead of the rule's action. */
void check_advise(struct check *check, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct check_place at_main(const struct check *check, const char *parameter);
struct check_place at_view(const struct check *check, const struct check_view *view,
                           const char *parameter);
struct check_place at_entry(const struct check *check,
                            const struct master_entry *entry);
struct check_place at_file(const char *path);

/* Does this view have something of its own to say about the parameter? Always true of
 * main.cf. */
bool view_sets(const struct check_view *view, const char *parameter);
/* Expanded; never NULL. */
const char *view_value(const struct check_view *view, const char *parameter);
/* Next option of an entry from argument *i on, as the service will see it: what follows
 * its options is the program's own. Value: ptr NULL if there is none. '?': no option of
 * services. 0: no more. */
int check_next_argument(const struct master_entry *entry, size_t *i,
                        struct span *value_out);
/* Next "-o name=value"; false: no more. */
bool check_next_option(const struct master_entry *entry, size_t *i,
                       struct span *setting_out);
bool entry_runs(const struct master_entry *entry, const char *program);
/* Turned off by master_service_disable. */
bool entry_is_off(const struct check *check, const struct master_entry *entry);
/* The settings that this entry runs with. */
const struct check_view *entry_view(const struct check *check,
                                    const struct master_entry *entry);
const struct master_entry *find_entry(const struct check *check, const char *name,
                                      enum service_type type);

/* check_master.c: master.cf and the views. */
void check_load_master(struct check *check);
void check_unload_master(struct check *check);

/* check_tables.c: can this type of table be looked into without asking a server? */
bool check_table_is_local(struct span type);

/* check_files.c */
void check_find_owners(struct check *check);

/* check_self.c: is this host (name, "[address]" or address) this mail system's own? */
bool host_is_self(const struct check *check, struct span host);
/* Does a service of ours listen on that port? 25 counts when smtp inet is there. */
bool port_is_ours(const struct check *check, struct span port);
bool addr_is_own(const struct net_addr *addr);

#endif
