/* The attribute "domain" of data base clients: a list of domain names, "/file" with
 * such a list, and "type:name" tables, separated by commas and white space; the first
 * that matches decides, "!" excludes. Names match whole, in any case. */
#ifndef TABLE_BACKEND_DOMAIN_H
#define TABLE_BACKEND_DOMAIN_H

#include "table/table_type.h"

struct backend_domains;

/* NULL with err: a file or table cannot be opened. */
struct backend_domains *backend_domains_open(const struct table *table,
                                             const char *list, struct err *err);
void backend_domains_free(struct backend_domains *domains); /* NULL allowed */
/* FOUND, NOT_FOUND, or RETRY with err. On any thread. */
enum table_status backend_domains_find(struct backend_domains *domains,
                                       struct span domain, struct err *err);

#endif
