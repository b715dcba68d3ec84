/* What the clients of data bases and directories share: their settings, query
 * templates, and putting results together. Used by kinds of tables in this library and
 * by plug-ins (plugin.h), so nothing here waits as a fiber, logs, or keeps state
 * outside its arguments; after opening, everything is safe on several threads at once.
 *
 * A client is "type:/path.cf" (a file of "name = value" like main.cf, values taken as
 * they are) or "type:name" (parameters name_ATTRIBUTE of main.cf). */
#ifndef TABLE_BACKEND_H
#define TABLE_BACKEND_H

#include "table/table_type.h"

/* -- settings -- */

struct backend_conf;

/* NULL with err, which names the file. A readable file with a password that everybody
 * can read gives a conf and leaves a warning (backend_conf_ok). */
struct backend_conf *backend_conf_open(const struct table *table, struct err *err);
void backend_conf_free(struct backend_conf *conf); /* NULL allowed; wipes the values */

/* Values live as long as conf; otherwise (may be NULL) when the attribute is not set.
 * An attribute that is set to nothing is "". */
const char *backend_conf_str(struct backend_conf *conf, const char *name,
                             const char *otherwise);
/* A bad value or one out of bounds is remembered for backend_conf_ok. */
int64_t backend_conf_num(struct backend_conf *conf, const char *name, int64_t otherwise,
                         int64_t min, int64_t max);
/* Seconds; units s m h d w are allowed. */
int64_t backend_conf_time(struct backend_conf *conf, const char *name,
                          int64_t otherwise, int64_t min, int64_t max);
bool backend_conf_bool(struct backend_conf *conf, const char *name, bool otherwise);
/* The attribute must be there and not empty; "" after an error. */
const char *backend_conf_need(struct backend_conf *conf, const char *name);
/* A template for backend_expand; a wrong one is an error. */
const char *backend_conf_template(struct backend_conf *conf, const char *name,
                                  const char *otherwise);
/* For what a client finds wrong itself: "FILE: bad value of: NAME: " is put before. The
 * first error stays. */
void backend_conf_bad(struct backend_conf *conf, const char *name, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* After the last attribute: were all of them good? True leaves a warning in err (see
 * table_type.h) or empties it. */
bool backend_conf_ok(const struct backend_conf *conf, struct err *err);
/* The file or the prefix, for messages. */
const char *backend_conf_source(const struct backend_conf *conf);

/* -- queries and results -- */

/* Common attributes: domain, result_format (or result_filter), expansion_limit. */
struct backend;

/* Reads the common attributes of conf; errors go there. Never NULL. The tables of
 * "domain" are opened now. Keeps nothing of conf. */
struct backend *backend_new(const struct table *table, struct backend_conf *conf);
void backend_free(struct backend *backend); /* NULL allowed */

/* Append text, which came from outside, quoted for where it will stand in a query.
 * false: it cannot be asked for, which is "not found". */
struct backend_quote {
    bool (*add)(void *arg, struct strbuf *out, struct span text);
    void *arg;
};

/* Append template to out: %s %u %d are value, its local part, its domain; %S %U %D the
 * same of key; %1 to %9 the parts of key's domain from the right; %% a percent sign.
 * Everything put in is quoted (quote NULL: as it is). False: something has no such
 * part, or cannot be quoted; out is then as before. */
bool backend_expand(const char *template, struct span value, struct span key,
                    const struct backend_quote *quote, struct strbuf *out);
/* Is this a template at all? */
bool backend_template_ok(const char *template, struct err *err);

/* FOUND: out holds the query for key. NOT_FOUND: key is not to be asked for: not in
 * the listed domains, without the parts that the template needs, or not UTF-8. RETRY:
 * a table of "domain" failed. */
enum table_status backend_query(const struct backend *backend, const char *template,
                                struct span key, const struct backend_quote *quote,
                                struct strbuf *out, struct err *err);
/* The part of backend_query that looks at "domain" and the encoding alone. */
enum table_status backend_wanted(const struct backend *backend, struct span key,
                                 struct err *err);

/* Collects the values that a store returned for one key. */
struct backend_result {
    const struct backend *backend;
    struct span key;
    struct strbuf *value; /* the answer: formatted values separated by commas */
    size_t count;
};

struct backend_result backend_result_start(const struct backend *backend,
                                           struct span key, struct strbuf *value);
/* Empty values (err gets a warning), and those without a part that result_format needs,
 * are left out; leave out NULL of a data base without a call. False:
 * more than expansion_limit, or too long altogether; err says so, the answer is
 * TABLE_RETRY. */
bool backend_result_add(struct backend_result *result, struct span value,
                        struct err *err);
/* FOUND or NOT_FOUND. */
enum table_status backend_result_status(const struct backend_result *result);
/* expansion_limit; 0: none. */
int64_t backend_expansion_limit(const struct backend *backend);

#endif
