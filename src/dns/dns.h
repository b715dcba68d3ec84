/* DNS look-ups for fibers, on c-ares in the event loop. Servers and options come
 * from /etc/resolv.conf, which is read again when it changes. Names are absolute:
 * search domains are not applied; NSS (hosts files) is not consulted (see
 * client_name.h and net_name_to_addrs for that).
 *
 * The same question asked by several fibers goes out once. Answers are kept for
 * their TTL, at most a minute, at most 1,000 of them; failures to get an answer are
 * not kept. The resolver is one a process, like the loop it lives in. */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "util/arena.h"
#include "util/err.h"
#include "util/net.h"

/* Values of the protocol. */
enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_TLSA = 52,
};
const char *dns_type_text(enum dns_type type);

enum dns_status {
    DNS_OK,           /* there are records */
    DNS_NOTFOUND,     /* the name does not exist */
    DNS_NODATA,       /* the name exists without records of this type */
    DNS_RETRY,        /* no answer, or the server failed: try again later */
    DNS_FAIL,         /* the answer makes no sense */
    DNS_INVALID_NAME, /* the name cannot exist; nothing was asked */
};

/* Ask for DNSSEC validation by the name server: see dns_result.validated. */
#define DNS_WANT_DNSSEC 1u
/* Neither use nor keep a cached answer. */
#define DNS_NO_CACHE 2u

struct dns_record {
    struct dns_record *next;
    enum dns_type type;
    uint32_t ttl;          /* seconds, at most 2^31 - 1 */
    struct span name;      /* owner, at the end of a CNAME chain; no final dot */
    uint16_t pref;         /* MX preference, SRV priority */
    uint16_t weight, port; /* SRV */
    struct net_addr addr;  /* A, AAAA; port 0 */
    /* MX, SRV, PTR, CNAME: a valid host name, no final dot, empty for the root
     * ("null MX", RFC 7505). An MX target may also be numeric, by a mistake that
     * is common: take "192.0.2.1" for the address. TXT: all strings joined; may
     * hold any byte. */
    struct span target;
    struct span data; /* the record's data as received; TLSA: RFC 6698, 2.1 */
};

struct dns_result {
    enum dns_status status;
    int rcode;         /* of the reply; 0 when there was none but of failed servers */
    bool validated;    /* AD bit, with DNS_WANT_DNSSEC only: trust it as far as the
                          way to the name server can be trusted */
    struct span cname; /* canonical name when a CNAME led there, or empty */
    struct dns_record *records; /* in the order received */
    size_t count;
    uint32_t ttl;       /* the least of the answer, seconds; also if negative */
    const char *reason; /* "Host not found, try again"; NULL for DNS_OK */
    /* "Host or domain name not found. Name service error for name=N type=T: reason";
     * without the first sentence for DNS_FAIL. Printable; NULL for DNS_OK. */
    const char *text;
};

/* Waits until there is an answer or resolv.conf's timeouts (at most 60 s in all) have
 * passed. One final dot of name is ignored. Everything in *result_out lives in arena.
 * A cancelled fiber gets DNS_RETRY. An A question for an IPv4 address in numbers is
 * answered by that address. Bad records are logged as warnings. Returns
 * result_out->status. */
enum dns_status dns_query(struct arena *arena, enum dns_type type, struct span name,
                          unsigned flags, struct dns_result *result_out);

/* The name under which an address is looked up: "1.2.0.192.in-addr.arpa", or with
 * zone "bl.example" instead of the arpa zone "1.2.0.192.bl.example" (DNS lists). zone
 * may be empty for the arpa zone. */
struct span dns_reverse_name(struct arena *arena, const struct net_addr *addr,
                             struct span zone);

/* Sort by ascending preference (MX, SRV), keeping the order received within equals. */
void dns_sort_by_pref(struct dns_result *result);

/* Servers to use instead of those of resolv.conf: "192.0.2.1:53,[::1]:5353"; NULL
 * goes back to resolv.conf. Drops the cache. For tests and special set-ups. */
bool dns_set_servers(const char *servers, struct err *err);
/* How long and how often each server is asked; 0: as resolv.conf says. */
void dns_set_timeouts(int timeout_ms, int attempts);
void dns_set_cache(bool on); /* default: on */
/* End the resolver: fails what is in flight, closes sockets, drops the cache. The
 * next query starts it anew. */
void dns_shutdown(void);

#endif
