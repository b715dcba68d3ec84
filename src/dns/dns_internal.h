/* Between the files of src/dns. */
#ifndef DNS_DNS_INTERNAL_H
#define DNS_DNS_INTERNAL_H

#include "dns/dns.h"

/* -- dns_parse.c -- */

/* Fill in *result_out from a reply to the question name (valid, no final dot) and type;
 * its texts are left NULL but for a CNAME loop. reply is hostile and is not kept.
 * notes: what was wrong with records, at most a few, printable, for the log. */
#define DNS_NOTES_MAX 3
struct dns_notes {
    const char *text[DNS_NOTES_MAX];
    size_t count;
};
void dns_parse_reply(struct arena *arena, struct span reply, enum dns_type type,
                     struct span name, struct dns_result *result_out,
                     struct dns_notes *notes_out);

/* -- dns_channel.c -- */

/* reply: empty when there was no useful one. rcode: NXDOMAIN for names that must not
 * be asked, or 0. */
typedef void dns_answer_fn(void *arg, struct span reply, int rcode);

/* Send a question; fn is called once, from the loop or from within this call. */
void dns_channel_send(const char *name, enum dns_type type, bool want_dnssec,
                      dns_answer_fn *fn, void *arg);
/* Look at resolv.conf now and then; true when servers have changed. */
bool dns_channel_refresh(void);
bool dns_channel_set_servers(const char *servers, struct err *err);
void dns_channel_shutdown(void);

#endif
