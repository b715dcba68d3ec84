/* Configuration: main.cf, overrides ("-o name=value") and the built-in table, as
 * one read-only typed structure. Programs read cfg->smtpd_timeout; there are no
 * globals and no second copies of a default.
 *
 * Field types by parameter kind (src/global/param/README):
 *   str, raw, str-fn  const char *   expanded (raw: unexpanded, for macro.h, but for
 *                                    "$other_raw_name" alone), never NULL
 *   int, long, nint   int64_t
 *   bool, nbool       bool
 *   time              int64_t seconds
 * Field names are parameter names; 2bounce_notice_recipient is p_2bounce_... */
#ifndef GLOBAL_CONFIG_H
#define GLOBAL_CONFIG_H

#include "util/arena.h"
#include "util/err.h"
#include "util/span.h"

struct config_store; /* the name -> raw value map behind a config; opaque */

struct config {
    struct arena *arena; /* owns everything below */
    struct config_store *store;
    const char *dir;     /* configuration directory */
    const char *program; /* process_name, such as "smtpd" */
    const char *service; /* service_name of master.cf, "" in commands */
#define CONFIG_FIELDS
#include "param_gen.h"
#undef CONFIG_FIELDS
};

struct config_override {
    const char *name, *value;
};

struct config_source {
    const char *dir;     /* NULL: MAIL_CONFIG, else the compiled-in sysconfdir */
    const char *program; /* argv[0]'s last part */
    const char *service; /* master.cf service name, or NULL */
    const struct config_override *overrides; /* -o settings, later ones win */
    size_t override_count;
    struct span main_cf; /* text of main.cf when it was read before (services get it
                            from master); with ptr NULL the file is read */
};

/* Read main.cf (a missing one is an error that names it), apply overrides, check
 * types and bounds of every parameter, fill the structure. Warnings (overriding
 * an earlier entry, deprecated names) go to msg_warn. NULL with err: file, line,
 * parameter and value. Free with config_free. */
struct config *config_load(const struct config_source *source, struct err *err);
/* main.cf and overrides only: nothing evaluated or checked, no field filled. For
 * postconf, which has to work on configurations that programs refuse. */
struct config *config_open(const struct config_source *source, struct err *err);
/* As config_load, but a bad setting does not end it: each goes to report (name: the
 * parameter at fault; text: what is wrong, without file and line), and what cannot be
 * used counts as its built-in default. NULL with err only when main.cf cannot be read.
 * For programs that have to find every error, or to work in spite of them. */
struct config *config_load_all(const struct config_source *source,
                               void (*report)(void *arg, const char *name,
                                              const char *text),
                               void *arg, struct err *err);
void config_free(struct config *cfg);
/* Line of main.cf where the setting in force stands; 0: it does not come from there. */
int config_line(const struct config *cfg, const char *name);

/* Expanded value of any parameter: built-in, patterned or user-defined. NULL when
 * undefined. Lives as long as cfg. */
const char *config_value(const struct config *cfg, const char *name);
/* Expand $name, ${name?..}, ${{a} op {b} ? {x} : {y}} ... in text. */
const char *config_expand(const struct config *cfg, struct arena *arena,
                          const char *text, struct err *err);

/* Patterned parameters: <prefix><suffix> when set, else the pattern's default,
 * e.g. config_prefix_int(cfg, "smtp", "_destination_concurrency_limit").
 * The suffix must be one of the generated pattern table: panic otherwise. A bad
 * value was refused by config_load when it stood in main.cf. */
int64_t config_prefix_int(const struct config *cfg, const char *prefix,
                          const char *suffix); /* int and time (seconds) */
const char *config_prefix_str(const struct config *cfg, const char *prefix,
                              const char *suffix);

/* Warn about deprecated or unused settings as postconf does. */
void config_warn_unused(const struct config *cfg);

#endif
