/* Lists of domains, host names and addresses as in mydestination, relay_domains or
 * mynetworks: elements separated by commas and white space, the first that matches
 * decides. "!element" excludes, "/file/name" stands for the file's contents (one
 * element or more a line, '#' comments), "type:table" matches when the key is found.
 * Case is ignored. */
#ifndef GLOBAL_MATCH_LIST_H
#define GLOBAL_MATCH_LIST_H

#include "global/config.h"
#include "util/net.h"

enum match_kind {
    MATCH_STRING, /* whole text */
    MATCH_DOMAIN, /* ".example.com" matches what is below example.com; with the
                     list's name in parent_domain_matches_subdomains "example.com"
                     does too */
    MATCH_HOST,   /* client name as MATCH_DOMAIN, or address: "192.0.2.0/24",
                     "[2001:db8::]/32", "192.0.2.1"; tables are asked for both */
};

enum match_result { MATCH_NO, MATCH_YES, MATCH_RETRY };

struct match_list;

/* name: the parameter, for messages and for parent_domain_matches_subdomains. A bad
 * element or an unreadable file or table is logged; reaching it gives MATCH_RETRY,
 * never a silent "no". cfg must outlive the list. */
struct match_list *match_list_open(const struct config *cfg, const char *name,
                                   const char *text, enum match_kind kind);
void match_list_close(struct match_list *list); /* NULL allowed */
enum match_result match_list_find(struct match_list *list, struct span text);
/* MATCH_HOST: host may be empty or "unknown". */
enum match_result match_list_find_host(struct match_list *list, struct span host,
                                       const struct net_addr *addr);
bool match_list_empty(const struct match_list *list);
/* Name of a table that has changed on disk, or NULL. */
const char *match_list_changed(const struct match_list *list);
/* Does parent_domain_matches_subdomains name this feature? */
bool match_parent_domains(const struct config *cfg, const char *feature);

#endif
