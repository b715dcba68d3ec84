#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dns/dns.h"
#include "util/strbuf.h"
#include "util/stream.h"

#define QUESTION_NAME "\xc0\x0c" /* pointer to the name in the question */
#define TYPE_SOA      6

/* A name server on loopback, UDP and TCP, whose answer depends on the question. */
static struct name_server {
    struct evfd udp, tcp;
    unsigned questions, by_tcp;
    bool want_dnssec; /* of the latest question */
    char servers[32];
} ns;

struct reply {
    struct strbuf text;
    unsigned rcode, flags;
    unsigned answers, authorities;
    char name[256];
    int type;
};

static void put_u16(struct strbuf *sb, unsigned value)
{
    strbuf_add_char(sb, (char)(value >> 8));
    strbuf_add_char(sb, (char)(value & 0xff));
}

static void put_name(struct strbuf *sb, const char *name)
{
    struct span rest = span_str(name);

    if ((unsigned char)name[0] >= 0xc0) {
        strbuf_add_str(sb, name);
        return;
    }
    while (rest.len > 0) {
        struct span label = span_cut(&rest, '.');

        strbuf_add_char(sb, (char)label.len);
        strbuf_add_span(sb, label);
    }
    strbuf_add_char(sb, '\0');
}

static void add_rr(struct reply *reply, const char *owner, int type, unsigned ttl,
                   struct span data)
{
    struct strbuf *sb = &reply->text;

    put_name(sb, owner);
    put_u16(sb, (unsigned)type);
    put_u16(sb, 1);
    put_u16(sb, ttl >> 16);
    put_u16(sb, ttl & 0xffff);
    put_u16(sb, (unsigned)data.len);
    strbuf_add_span(sb, data);
    reply->answers++;
}

static void add_a(struct reply *reply, const char *owner, const char *addr,
                  unsigned ttl)
{
    struct in_addr in;

    inet_pton(AF_INET, addr, &in);
    add_rr(reply, owner, DNS_A, ttl, span_of((const char *)&in, 4));
}

/* MX, CNAME, PTR: numbers in front of a name. */
static void add_named(struct reply *reply, const char *owner, int type,
                      const unsigned *numbers, size_t count, const char *target)
{
    struct strbuf data = STRBUF_INIT;

    for (size_t i = 0; i < count; i++)
        put_u16(&data, numbers[i]);
    put_name(&data, target);
    add_rr(reply, owner, type, 300, strbuf_span(&data));
    strbuf_free(&data);
}

static void add_mx(struct reply *reply, unsigned pref, const char *target)
{
    add_named(reply, QUESTION_NAME, DNS_MX, &pref, 1, target);
}

static void add_cname(struct reply *reply, const char *owner, const char *target)
{
    add_named(reply, owner, DNS_CNAME, NULL, 0, target);
}

static void add_soa(struct reply *reply, unsigned minimum)
{
    struct strbuf data = STRBUF_INIT;

    put_name(&data, "ns.test");
    put_name(&data, "root.test");
    for (int i = 0; i < 4; i++) {
        put_u16(&data, 0);
        put_u16(&data, 1000);
    }
    put_u16(&data, 0);
    put_u16(&data, minimum);
    add_rr(reply, "test", TYPE_SOA, 900, strbuf_span(&data));
    reply->answers--;
    reply->authorities++;
    strbuf_free(&data);
}

static void answer_mx(struct reply *reply)
{
    const char *name = reply->name;

    if (strcmp(name, "mx.test") == 0) {
        add_mx(reply, 20, "backup.test");
        add_mx(reply, 10, "Mail.test");
        add_mx(reply, 20, "second.test");
    } else if (strcmp(name, "nullmx.test") == 0) {
        add_mx(reply, 0, "");
    } else if (strcmp(name, "badmx.test") == 0) {
        add_mx(reply, 10, "bad+host.test");
    } else if (strcmp(name, "somebadmx.test") == 0) {
        add_mx(reply, 10, "bad host.test");
        add_mx(reply, 20, "good.test");
        add_mx(reply, 30, "192.0.2.9");
    }
}

static void answer_txt(struct reply *reply, bool tcp)
{
    char text[200];

    if (strcmp(reply->name, "txt.test") == 0) {
        add_rr(reply, QUESTION_NAME, DNS_TXT, 300,
               span_of("\x03"
                       "one\x00\x04two\xff",
                       10));
    } else if (strcmp(reply->name, "big.test") == 0) {
        memset(text, 'x', sizeof text);
        text[0] = (char)(sizeof text - 1);
        for (int i = 0; tcp && i < 200; i++)
            add_rr(reply, QUESTION_NAME, DNS_TXT, 300, span_of(text, sizeof text));
        reply->flags |= tcp ? 0 : 0x0200;
    }
}

static void answer_a(struct reply *reply)
{
    const char *name = reply->name;

    if (strcmp(name, "a.test") == 0 || strcmp(name, "secure.test") == 0) {
        add_a(reply, QUESTION_NAME, "192.0.2.1", 300);
        add_a(reply, QUESTION_NAME, "192.0.2.2", 200);
    } else if (strcmp(name, "brief.test") == 0) {
        add_a(reply, QUESTION_NAME, "192.0.2.1", 0);
    } else if (strcmp(name, "chain.test") == 0) { /* out of order */
        add_a(reply, "end.test", "192.0.2.3", 300);
        add_cname(reply, "Middle.test", "end.test");
        add_cname(reply, QUESTION_NAME, "middle.test");
    } else if (strcmp(name, "loop.test") == 0) {
        add_cname(reply, QUESTION_NAME, "loop2.test");
        add_cname(reply, "loop2.test", "loop.test");
    } else if (strcmp(name, "stranger.test") == 0) {
        add_a(reply, "other.test", "192.0.2.66", 300);
    } else if (strncmp(name, "many", 4) == 0) {
        add_a(reply, QUESTION_NAME, "192.0.2.7", 300);
    } else if (strcmp(name, "cut.test") == 0) {
        add_a(reply, QUESTION_NAME, "192.0.2.1", 300);
        strbuf_truncate(&reply->text, reply->text.len - 2);
    }
}

static void answer_others(struct reply *reply)
{
    static const unsigned srv[] = {1, 2, 587};
    static const char tlsa[] = "\x03\x01\x01hash";
    struct in6_addr in6;

    switch (reply->type) {
    case DNS_AAAA:
        inet_pton(AF_INET6, "2001:db8::5", &in6);
        if (strcmp(reply->name, "a.test") == 0)
            add_rr(reply, QUESTION_NAME, DNS_AAAA, 300,
                   span_of((const char *)&in6, 16));
        break;
    case DNS_SRV:
        add_named(reply, QUESTION_NAME, DNS_SRV, srv, 3, "submit.test");
        break;
    case DNS_TLSA:
        add_rr(reply, QUESTION_NAME, DNS_TLSA, 300, span_of(tlsa, 7));
        break;
    case DNS_PTR:
        add_named(reply, QUESTION_NAME, DNS_PTR, NULL, 0, "host.test");
        break;
    case DNS_CNAME:
        if (strcmp(reply->name, "chain.test") == 0)
            add_cname(reply, QUESTION_NAME, "middle.test");
        break;
    }
}

/* False: no answer at all. */
static bool compose(struct reply *reply, bool tcp)
{
    if (strcmp(reply->name, "silent.test") == 0)
        return false;
    if (strcmp(reply->name, "servfail.test") == 0) {
        reply->rcode = 2;
    } else if (strcmp(reply->name, "nx.test") == 0) {
        reply->rcode = 3;
        add_soa(reply, 30);
    } else if (strcmp(reply->name, "gone.test") == 0) {
        reply->rcode = 3;
        add_cname(reply, QUESTION_NAME, "nx.test");
    } else if (reply->type == DNS_A) {
        answer_a(reply);
    } else if (reply->type == DNS_MX) {
        answer_mx(reply);
    } else if (reply->type == DNS_TXT) {
        answer_txt(reply, tcp);
    } else {
        answer_others(reply);
    }
    if (strcmp(reply->name, "secure.test") == 0 && ns.want_dnssec)
        reply->flags |= 0x20;
    return true;
}

/* query -> reply. Returns false for silence. */
static bool serve(struct span query, struct reply *reply, bool tcp)
{
    const unsigned char *q = (const unsigned char *)query.ptr;
    size_t at = 12;

    memset(reply, 0, sizeof *reply);
    strbuf_init(&reply->text);
    ns.questions++;
    ns.by_tcp += tcp;
    while (q[at]) {
        if (reply->name[0])
            strncat(reply->name, ".", 2);
        strncat(reply->name, query.ptr + at + 1, q[at]);
        at += 1 + q[at];
    }
    reply->type = q[at + 1] << 8 | q[at + 2];
    ns.want_dnssec = (q[query.len - 4] & 0x80) != 0;
    strbuf_add(&reply->text, query.ptr, at + 5);
    if (!compose(reply, tcp))
        return false;
    reply->flags |= 0x8180 | reply->rcode;
    reply->text.ptr[2] = (char)(reply->flags >> 8);
    reply->text.ptr[3] = (char)(reply->flags & 0xff);
    reply->text.ptr[7] = (char)reply->answers;
    reply->text.ptr[9] = (char)reply->authorities;
    reply->text.ptr[11] = 0; /* no EDNS in replies */
    return true;
}

static void udp_ready(struct evfd *ev, void *arg UNUSED)
{
    char query[1500];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    struct reply reply;
    ssize_t got;

    while ((got = recvfrom(ev->fd, query, sizeof query, 0, (struct sockaddr *)&from,
                           &from_len)) > 12) {
        if (serve(span_of(query, (size_t)got), &reply, false))
            sendto(ev->fd, reply.text.ptr, reply.text.len, 0, (struct sockaddr *)&from,
                   from_len);
        strbuf_free(&reply.text);
    }
    evfd_read_blocked(ev);
}

static void serve_tcp(void *arg)
{
    struct stream *s = arg;
    unsigned char len[2];
    char query[1500];
    struct reply reply;

    while (stream_read_full(s, len, 2) == STREAM_OK) {
        size_t size = (size_t)(len[0] << 8 | len[1]);

        if (size > sizeof query || stream_read_full(s, query, size) != STREAM_OK)
            break;
        if (serve(span_of(query, size), &reply, true)) {
            len[0] = (unsigned char)(reply.text.len >> 8);
            len[1] = (unsigned char)reply.text.len;
            stream_write(s, len, 2);
            stream_flush(s); /* in two pieces, as the network may do */
            fiber_sleep(2);
            stream_write_span(s, strbuf_span(&reply.text));
        }
        strbuf_free(&reply.text);
    }
    stream_free(s);
}

static void tcp_ready(struct evfd *ev, void *arg UNUSED)
{
    int fd;

    while ((fd = accept(ev->fd, NULL, NULL)) >= 0)
        fiber_spawn("name server", serve_tcp, stream_new(fd));
}

static void ns_start(void)
{
    struct net_addr addr;
    struct err err;
    int tcp, udp;

    memset(&ns, 0, sizeof ns);
    net_addr_parse(SPAN_LIT("127.0.0.1"), 0, &addr);
    tcp = net_listen(&addr, 10, &err);
    assert_true(tcp >= 0);
    getsockname(tcp, &addr.sa, &addr.len);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(udp, &addr.sa, addr.len), 0);
    evfd_init(&ns.udp, udp);
    evfd_watch(&ns.udp, udp_ready, NULL);
    evfd_init(&ns.tcp, tcp);
    evfd_watch_listener(&ns.tcp, tcp_ready, NULL);
    snprintf(ns.servers, sizeof ns.servers, "127.0.0.1:%d", net_addr_port(&addr));
    dns_set_timeouts(200, 1);
    assert_true(dns_set_servers(ns.servers, &err));
}

static void ns_stop(void)
{
    dns_shutdown();
    evfd_forget(&ns.udp);
    evfd_forget(&ns.tcp);
    close(ns.udp.fd);
    close(ns.tcp.fd);
    while (fiber_count() > 1)
        fiber_sleep(1);
}

typedef void test_fn(void);

static int test_main(void *arg)
{
    test_fn *const *test = arg;

    ns_start();
    (*test)();
    ns_stop();
    return 0;
}

static void in_fiber(void **state)
{
    fiber_main(test_main, *state);
}
#define TEST(fn)                                                                       \
    {                                                                                  \
#fn, in_fiber, NULL, NULL, &(test_fn *[1])                                     \
        {                                                                              \
            fn                                                                         \
        }                                                                              \
    }

static struct arena *arena;

static struct dns_result ask_flags(enum dns_type type, const char *name, unsigned flags)
{
    struct dns_result result;

    dns_query(arena, type, span_str(name), flags, &result);
    return result;
}

static struct dns_result ask(enum dns_type type, const char *name)
{
    return ask_flags(type, name, 0);
}

static void assert_host(const struct dns_record *rec, const char *host)
{
    char text[NET_ADDR_STRLEN];

    assert_non_null(rec);
    net_addr_host(&rec->addr, text);
    assert_string_equal(text, host);
}

static void addresses_are_found(void)
{
    struct dns_result result = ask(DNS_A, "A.Test.");

    assert_int_equal(result.status, DNS_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(result.ttl, 200);
    assert_host(result.records, "192.0.2.1");
    assert_host(result.records->next, "192.0.2.2");
    assert_true(span_ieq_str(result.records->name, "a.test"));
    assert_int_equal(result.cname.len, 0);
    assert_null(result.text);
    result = ask(DNS_AAAA, "a.test");
    assert_int_equal(result.status, DNS_OK);
    assert_host(result.records, "2001:db8::5");
}

static void mail_exchangers_are_sorted(void)
{
    struct dns_result result = ask(DNS_MX, "mx.test");
    struct dns_record *rec;

    assert_int_equal(result.status, DNS_OK);
    dns_sort_by_pref(&result);
    rec = result.records;
    assert_int_equal(rec->pref, 10);
    assert_true(span_eq_str(rec->target, "Mail.test"));
    rec = rec->next;
    assert_true(span_eq_str(rec->target, "backup.test"));
    rec = rec->next;
    assert_true(span_eq_str(rec->target, "second.test"));
    assert_null(rec->next);
    result = ask(DNS_MX, "nullmx.test");
    assert_int_equal(result.status, DNS_OK);
    assert_int_equal(result.records->target.len, 0);
}

static void other_types_are_read(void)
{
    struct dns_result result = ask(DNS_TXT, "txt.test");

    assert_int_equal(result.status, DNS_OK);
    assert_true(span_eq(result.records->target, span_of("onetwo\xff", 7)));
    result = ask(DNS_SRV, "_submission._tcp.test");
    assert_int_equal(result.records->pref, 1);
    assert_int_equal(result.records->weight, 2);
    assert_int_equal(result.records->port, 587);
    assert_true(span_eq_str(result.records->target, "submit.test"));
    result = ask(DNS_TLSA, "_25._tcp.mx.test");
    assert_true(span_eq_str(result.records->data, "\x03\x01\x01hash"));
    result = ask(DNS_PTR, "1.2.0.192.in-addr.arpa");
    assert_true(span_eq_str(result.records->target, "host.test"));
    result = ask(DNS_CNAME, "chain.test");
    assert_true(span_eq_str(result.records->target, "middle.test"));
}

static void aliases_are_followed_in_any_order(void)
{
    struct dns_result result = ask(DNS_A, "chain.test");

    assert_int_equal(result.status, DNS_OK);
    assert_int_equal(result.count, 1);
    assert_host(result.records, "192.0.2.3");
    assert_true(span_eq_str(result.cname, "end.test"));
    assert_int_equal(ask(DNS_A, "gone.test").status, DNS_NOTFOUND);
    result = ask(DNS_A, "loop.test");
    assert_int_equal(result.status, DNS_FAIL);
    assert_string_equal(result.text, "Name server loop for loop.test");
}

static void operators_see_the_texts_they_know(void)
{
    assert_string_equal(ask(DNS_MX, "nx.test").text,
                        "Host or domain name not found. Name service error for "
                        "name=nx.test type=MX: Host not found");
    assert_string_equal(ask(DNS_A, "nodata.test").text,
                        "Host or domain name not found. Name service error for "
                        "name=nodata.test type=A: Host found but no data record of "
                        "requested type");
    assert_string_equal(ask(DNS_A, "servfail.test").text,
                        "Host or domain name not found. Name service error for "
                        "name=servfail.test type=A: Host not found, try again");
    assert_string_equal(ask(DNS_MX, "badmx.test").text,
                        "Name service error for name=badmx.test type=MX: Malformed or "
                        "unexpected name server reply");
}

static void failures_are_told_apart(void)
{
    struct dns_result result = ask(DNS_A, "nx.test");

    assert_int_equal(result.status, DNS_NOTFOUND);
    assert_int_equal(result.rcode, 3);
    assert_int_equal(result.ttl, 30);
    assert_int_equal(ask(DNS_A, "nodata.test").status, DNS_NODATA);
    assert_int_equal(ask(DNS_A, "servfail.test").status, DNS_RETRY);
    assert_int_equal(ask(DNS_A, "x.onion").status, DNS_NOTFOUND);
    assert_int_equal(ask(DNS_A, "silent.test").status, DNS_RETRY);
    assert_int_equal(ask(DNS_A, "cut.test").status, DNS_FAIL);
    assert_int_equal(ask(DNS_A, "stranger.test").status, DNS_NODATA);
}

static void invalid_names_are_not_asked(void)
{
    static const char *const bad[] = {"",        ".",     "a..b", "a b",
                                      "-a.test", "a\\.b", "b\xc3"};

    ns.questions = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ask(DNS_A, bad[i]).status, DNS_INVALID_NAME);
    assert_int_equal(ns.questions, 0);
    assert_host(ask(DNS_A, "192.0.2.55").records, "192.0.2.55");
    assert_int_equal(ns.questions, 0);
}

static void invalid_names_in_replies_are_dropped(void)
{
    struct dns_result result = ask(DNS_MX, "somebadmx.test");

    assert_int_equal(result.status, DNS_OK);
    assert_int_equal(result.count, 2);
    assert_true(span_eq_str(result.records->target, "good.test"));
    assert_true(span_eq_str(result.records->next->target, "192.0.2.9"));
    result = ask(DNS_MX, "badmx.test");
    assert_int_equal(result.status, DNS_FAIL);
    assert_int_equal(result.count, 0);
    assert_int_equal(result.ttl, 0);
}

static void large_answers_come_by_tcp(void)
{
    for (int i = 1; i <= 3; i++) {
        struct dns_result result = ask_flags(DNS_TXT, "big.test", DNS_NO_CACHE);

        assert_int_equal(result.status, DNS_OK);
        assert_int_equal(result.count, 200);
        assert_int_equal(ns.by_tcp, i);
    }
}

static void validation_is_reported_when_asked_for(void)
{
    assert_false(ask(DNS_A, "secure.test").validated);
    assert_false(ns.want_dnssec);
    assert_true(ask_flags(DNS_A, "secure.test", DNS_WANT_DNSSEC).validated);
    assert_true(ns.want_dnssec);
    assert_false(ask_flags(DNS_A, "a.test", DNS_WANT_DNSSEC).validated);
    /* From the cache, each kind from its own entry. */
    ns.questions = 0;
    assert_false(ask(DNS_A, "secure.test").validated);
    assert_true(ask_flags(DNS_A, "secure.test", DNS_WANT_DNSSEC).validated);
    assert_int_equal(ns.questions, 0);
}

static void answers_are_kept_for_their_ttl(void)
{
    ns.questions = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(DNS_A, "a.test").count, 2);
        assert_int_equal(ask(DNS_A, "nx.test").status, DNS_NOTFOUND);
    }
    assert_int_equal(ns.questions, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(DNS_A, "brief.test").count, 1); /* TTL 0 */
        assert_int_equal(ask(DNS_A, "servfail.test").status, DNS_RETRY);
        assert_int_equal(ask(DNS_A, "nodata.test").status, DNS_NODATA); /* no SOA */
        assert_int_equal(ask_flags(DNS_A, "a.test", DNS_NO_CACHE).count, 2);
    }
    assert_int_equal(ns.questions, 2 + 12);
    dns_set_cache(false);
    ask(DNS_A, "a.test");
    ask(DNS_A, "a.test");
    dns_set_cache(true);
    assert_int_equal(ns.questions, 2 + 12 + 2);
}

struct asker {
    char name[32];
    enum dns_status status;
    struct fiber *fiber;
};

static void ask_in_fiber(void *arg)
{
    struct asker *asker = arg;
    struct arena *own = arena_new();
    struct dns_result result;

    asker->status = dns_query(own, DNS_A, span_str(asker->name), 0, &result);
    arena_free(own);
}

static void the_same_question_goes_out_once(void)
{
    struct asker askers[50];

    ns.questions = 0;
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        strcpy(askers[i].name, "brief.test");
        fiber_spawn("ask", ask_in_fiber, &askers[i]);
    }
    fiber_sleep(50);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        assert_int_equal(askers[i].status, DNS_OK);
    assert_int_equal(ns.questions, 1);
}

static void many_questions_at_once_are_answered(void)
{
    static struct asker askers[1500];

    ns.questions = 0;
    for (size_t i = 0; i < ARRAY_LEN(askers); i++) {
        askers[i].status = DNS_FAIL;
        snprintf(askers[i].name, sizeof askers[i].name, "many%zu.test", i);
        fiber_spawn("ask", ask_in_fiber, &askers[i]);
        if (i % 100 == 99)
            fiber_sleep(2);
    }
    while (fiber_count() > 1)
        fiber_sleep(5);
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
        assert_int_equal(askers[i].status, DNS_OK);
    /* The bounded cache has forgotten the first ones and kept the last ones. */
    ns.questions = 0;
    ask(DNS_A, "many1499.test");
    assert_int_equal(ns.questions, 0);
    ask(DNS_A, "many0.test");
    assert_int_equal(ns.questions, 1);
}

static void a_cancelled_fiber_leaves_the_others_alone(void)
{
    struct asker askers[2] = {{.name = "silent.test"}, {.name = "silent.test"}};

    for (size_t i = 0; i < 2; i++)
        askers[i].fiber = fiber_spawn("ask", ask_in_fiber, &askers[i]);
    fiber_sleep(10);
    fiber_cancel(askers[0].fiber);
    fiber_sleep(10);
    assert_int_equal(askers[0].status, DNS_RETRY);
    assert_int_equal(fiber_count(), 2);
    while (fiber_count() > 1)
        fiber_sleep(5);
    assert_int_equal(askers[1].status, DNS_RETRY);
}

static void a_server_that_is_away_means_retry(void)
{
    struct err err;

    assert_true(dns_set_servers("127.0.0.1:1", &err));
    assert_int_equal(ask(DNS_A, "a.test").status, DNS_RETRY);
    assert_true(dns_set_servers(ns.servers, &err));
    assert_int_equal(ask(DNS_A, "a.test").status, DNS_OK);
    assert_false(dns_set_servers("not an address", &err));
    assert_int_equal(ask(DNS_A, "a.test").status, DNS_OK);
}

static void servers_may_change_while_a_question_is_out(void)
{
    struct asker asker = {.name = "silent.test"};
    struct err err;

    fiber_spawn("ask", ask_in_fiber, &asker);
    fiber_sleep(10);
    assert_true(dns_set_servers(ns.servers, &err));
    assert_int_equal(ask(DNS_A, "a.test").status, DNS_OK);
    while (fiber_count() > 1)
        fiber_sleep(5);
    assert_int_equal(asker.status, DNS_RETRY);
}

static void addresses_are_reversed(void)
{
    struct net_addr addr;

    net_addr_parse(SPAN_LIT("192.0.2.1"), 0, &addr);
    assert_true(span_eq_str(dns_reverse_name(arena, &addr, SPAN_EMPTY),
                            "1.2.0.192.in-addr.arpa"));
    assert_true(span_eq_str(dns_reverse_name(arena, &addr, SPAN_LIT("bl.example")),
                            "1.2.0.192.bl.example"));
    net_addr_parse(SPAN_LIT("2001:db8::f1"), 0, &addr);
    assert_true(span_eq_str(
        dns_reverse_name(arena, &addr, SPAN_EMPTY),
        "1.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"));
}

static int setup_arena(void **state UNUSED)
{
    arena = arena_new();
    return 0;
}

static int free_arena(void **state UNUSED)
{
    arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses_are_found),
        TEST(mail_exchangers_are_sorted),
        TEST(other_types_are_read),
        TEST(aliases_are_followed_in_any_order),
        TEST(operators_see_the_texts_they_know),
        TEST(failures_are_told_apart),
        TEST(invalid_names_are_not_asked),
        TEST(invalid_names_in_replies_are_dropped),
        TEST(large_answers_come_by_tcp),
        TEST(validation_is_reported_when_asked_for),
        TEST(answers_are_kept_for_their_ttl),
        TEST(the_same_question_goes_out_once),
        TEST(many_questions_at_once_are_answered),
        TEST(a_cancelled_fiber_leaves_the_others_alone),
        TEST(a_server_that_is_away_means_retry),
        TEST(servers_may_change_while_a_question_is_out),
        TEST(addresses_are_reversed),
    };

    loop_init();
    return cmocka_run_group_tests(tests, setup_arena, free_arena);
}
