/* Host names as they may be used in mail and DNS: syntax checks only. */
#ifndef DNS_DNS_NAME_H
#define DNS_DNS_NAME_H

#include "util/span.h"

#define DNS_NAME_MAX  253 /* without the final dot */
#define DNS_LABEL_MAX 63

enum dns_name_check {
    DNS_NAME_OK,
    DNS_NAME_EMPTY,
    DNS_NAME_TOO_LONG,
    DNS_NAME_BAD_CHARACTER, /* other than letters, digits, '-', '_', '.' */
    DNS_NAME_BAD_LABEL,     /* empty or too long, or '-' at its start or end */
    DNS_NAME_NUMERIC,       /* digits and dots only */
};

/* A host name (RFC 1123, and '_' as found in practice). No final dot. */
enum dns_name_check dns_hostname_check(struct span name);
static inline bool dns_hostname_valid(struct span name)
{
    return dns_hostname_check(name) == DNS_NAME_OK;
}
/* Like a host name, but a name of digits only will do: zones, PTR owners. */
bool dns_domain_valid(struct span name);
/* "bad host name syntax", ...; for messages. */
const char *dns_name_check_text(enum dns_name_check check);

/* Numeric addresses without brackets. */
bool dns_ipv4_valid(struct span text); /* dotted quad, no leading zeros */
bool dns_ipv6_valid(struct span text); /* no "IPv6:", no scope */
/* An address literal with brackets: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
bool dns_literal_valid(struct span text);

#endif
