#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "trivial-rewrite/resolve.h"
#include "trivial-rewrite/rewrite.h"

static const char main_cf[] =
    "compatibility_level = 3.6\n"
    "myhostname = mx.peer.test\nmydomain = peer.test\ninet_interfaces = 127.0.0.1\n"
    "inet_protocols = ipv4\nproxy_interfaces = 192.0.2.9\nappend_dot_mydomain = yes\n"
    "mydestination = peer.test, localhost, both1.test\nrelayhost = [127.0.0.1]:3102\n"
    "parent_domain_matches_subdomains = relay_domains\n"
    "relay_domains = relay.test\nvirtual_alias_domains = va.test, both1.test\n"
    "virtual_mailbox_domains = vm.test\nrecipient_delimiter = +\n"
    "transport_maps = inline:{ {user@full.test = xmap:fullhost} "
    "{dom.test=xmap:domhost}\n"
    "  {.sub.test=xmap:subhost} {only.test=xmap:} {nh.test= :[nh.example]:26}\n"
    "  {err.test=error:5.1.2 no way} {plus@ext.test=xmap:ext} "
    "{full@[1.2.3.4]=xmap:lit}\n"
    "  {blank.test=:} {smtp.test=smtp} {user@peer.test=xmap:loc} {@at.test=xmap:at}}\n"
    "relocated_maps = inline:{ {moved@peer.test=new@x.example} {@movdom.test=gone}}\n"
    "sender_dependent_relayhost_maps = inline:{ {s1@b.example=[sdr.example]}\n"
    "  {@sdom.example=sdomrelay} {s3@b.example=DUNNO} {<>=nullrelay}}\n"
    "sender_dependent_default_transport_maps = inline:{ {s2@b.example=xdef:sdt}\n"
    "  {s4@b.example=xdef} {s5@b.example=DUNNO}}\n";

static char dir[] = "/tmp/resolve_test.XXXXXX";
static struct arena *arena;

static struct config *load(const char *extra)
{
    char path[64];
    struct err err;
    struct config_source source = {.dir = dir, .program = "trivial-rewrite"};

    snprintf(path, sizeof(path), "%s/main.cf", dir);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "%s%s", main_cf, extra);
    fclose(out);
    struct config *cfg = config_load(&source, &err);
    if (!cfg)
        fail_msg("%s", err.text);
    unlink(path);
    return cfg;
}

struct resolve_case {
    const char *sender, *address;
    const char *transport, *nexthop, *recipient; /* recipient NULL: as address */
    int flags;
};

#define LOCAL     RESOLVE_CLASS_LOCAL
#define DEFAULT   RESOLVE_CLASS_DEFAULT
#define RELAY     RESOLVE_CLASS_RELAY
#define RELAYHOST "[127.0.0.1]:3102"

/* What the peer does with the same configuration. */
static const struct resolve_case cases[] = {
    {"s", "u@peer.test", "local", "mx.peer.test", NULL, LOCAL},
    {"s", "u@PEER.test", "local", "mx.peer.test", NULL, LOCAL},
    {"s", "u@localhost", "local", "mx.peer.test", NULL, LOCAL},
    {"s", "u@relay.test", "relay", RELAYHOST, NULL, RELAY},
    {"s", "u@a.relay.test", "relay", RELAYHOST, NULL, RELAY},
    {"s", "u@va.test", "error", "5.1.1 User unknown in virtual alias table", NULL,
     RESOLVE_CLASS_ALIAS},
    {"s", "u@vm.test", "virtual", "vm.test", NULL, RESOLVE_CLASS_VIRTUAL},
    {"s", "u@other.test", "smtp", RELAYHOST, NULL, DEFAULT},
    {"s", "u@[127.0.0.1]", "local", "mx.peer.test", NULL, LOCAL},
    {"s", "u@[192.0.2.9]", "local", "mx.peer.test", NULL, LOCAL},
    {"s", "u@[192.0.2.10]", "smtp", RELAYHOST, NULL, DEFAULT},
    {"s", "u@peer.test.", "local", "mx.peer.test", "u@peer.test", LOCAL},
    {"s", "a%other.test@peer.test", "smtp", RELAYHOST, "a@other.test", DEFAULT},
    {"s", "other.test!a@peer.test", "smtp", RELAYHOST, "a@other.test", DEFAULT},
    {"s", "a@other.test@peer.test", "smtp", RELAYHOST, "a@other.test", DEFAULT},
    {"s", "a%b%other.test@peer.test", "smtp", RELAYHOST, "a%b@other.test",
     DEFAULT | RESOLVE_ROUTED},
    {"s", "a!b!c@peer.test", "smtp", RELAYHOST, "b!c@a.peer.test",
     DEFAULT | RESOLVE_ROUTED},
    {"s", "a%b%peer.test@localhost", "smtp", RELAYHOST, "a@b.peer.test", DEFAULT},
    {"s", "a!b@far.test", "smtp", RELAYHOST, NULL, DEFAULT | RESOLVE_ROUTED},
    {"s", "a@b@far.test", "smtp", RELAYHOST, NULL, DEFAULT | RESOLVE_ROUTED},
    {"s", "user@full.test", "xmap", "fullhost", NULL, DEFAULT},
    {"s", "x@dom.test", "xmap", "domhost", NULL, DEFAULT},
    {"s", "x@a.sub.test", "xmap", "subhost", NULL, DEFAULT},
    {"s", "x@b.a.sub.test", "xmap", "subhost", NULL, DEFAULT},
    {"s", "x@only.test", "xmap", "only.test", NULL, DEFAULT},
    {"s", "x@nh.test", "smtp", "[nh.example]:26", NULL, DEFAULT},
    {"s", "x@err.test", "error", "5.1.2 no way", NULL, DEFAULT},
    {"s", "plus+e@ext.test", "xmap", "ext", NULL, DEFAULT},
    {"s", "full@[1.2.3.4]", "xmap", "lit", NULL, DEFAULT},
    {"s", "x@blank.test", "smtp", RELAYHOST, NULL, DEFAULT},
    {"s", "x@smtp.test", "smtp", "smtp.test", NULL, DEFAULT},
    {"s", "user@peer.test", "xmap", "loc", NULL, LOCAL},
    {"s", "user+x@peer.test", "xmap", "loc", NULL, LOCAL},
    {"s", "moved+e@peer.test", "error", "5.1.6 User has moved to new@x.example", NULL,
     LOCAL},
    {"s", "x@movdom.test", "error", "5.1.6 User has moved to gone", NULL, DEFAULT},
    {"s", "@peer.test", "local", "mx.peer.test", "MAILER-DAEMON@peer.test", LOCAL},
    {"s", "@far.test", "smtp", RELAYHOST, NULL, DEFAULT},
    {"s", "", "smtp", RELAYHOST, "MAILER-DAEMON@mx.peer.test", DEFAULT},
    {"s1@b.example", "u@other.test", "smtp", "[sdr.example]", NULL, DEFAULT},
    {"s1+e@b.example", "u@relay.test", "relay", "[sdr.example]", NULL, RELAY},
    {"s1@b.example", "u@peer.test", "local", "mx.peer.test", NULL, LOCAL},
    {"x@sdom.example", "u@other.test", "smtp", "sdomrelay", NULL, DEFAULT},
    {"s3@b.example", "u@other.test", "smtp", RELAYHOST, NULL, DEFAULT},
    {"", "u@other.test", "smtp", "nullrelay", NULL, DEFAULT},
    {"s2@b.example", "u@other.test", "xdef", "sdt", NULL, DEFAULT},
    {"s2@b.example", "u@nh.test", "xdef", "[nh.example]:26", NULL, DEFAULT},
    {"s4@b.example", "u@other.test", "xdef", RELAYHOST, NULL, DEFAULT},
    {"s5@b.example", "u@other.test", "smtp", RELAYHOST, NULL, DEFAULT},
};

static void check(struct resolver *rs, const struct resolve_case *c)
{
    struct resolve out;
    const char *recipient = c->recipient ? c->recipient : c->address;

    resolver_resolve(rs, false, span_str(c->sender), span_str(c->address), arena, &out);
    if (strcmp(out.transport, c->transport) != 0 ||
        strcmp(out.nexthop, c->nexthop) != 0 || strcmp(out.recipient, recipient) != 0 ||
        out.flags != c->flags)
        fail_msg("%s from %s: %s %s %s %d", c->address, c->sender, out.transport,
                 out.nexthop, out.recipient, out.flags);
}

static struct resolver *open_ok(const struct config *cfg)
{
    struct err err;
    struct resolver *rs = resolver_open(cfg, &err);

    if (!rs)
        fail_msg("%s", err.text);
    return rs;
}

static void mail_goes_where_the_peer_sends_it(void **state)
{
    struct config *cfg = load("");
    struct resolver *rs = open_ok(cfg);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(rs, &cases[i]);
    resolver_close(rs);
    config_free(cfg);
}

static void given_next_hops_come_first(void **state)
{
    static const struct resolve_case some[] = {
        {"s", "u@relay.test", "relay", "relnh", NULL, RELAY},
        {"s1@b.example", "u@other.test", "xdef", "defnh", NULL, DEFAULT},
        {"s4@b.example", "u@other.test", "xdef", RELAYHOST, NULL, DEFAULT},
        {"s", "u@nh.test", "xdef", "[nh.example]:26", NULL, DEFAULT},
    };
    struct config *cfg =
        load("default_transport = xdef:defnh\nrelay_transport = relay:relnh\n");
    struct resolver *rs = open_ok(cfg);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        check(rs, &some[i]);
    resolver_close(rs);
    config_free(cfg);
}

static void bad_addresses_resolve_to_error(void **state)
{
    static const char *const bad[] = {"a@",     "a%@peer.test", "!b@peer.test",
                                      "a@b..c", "-a@b.ex",      "a@1.2.3.4",
                                      "a@x y"};
    struct config *cfg = load("");
    struct resolver *rs = open_ok(cfg);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct resolve out;
        resolver_resolve(rs, false, SPAN_LIT("s"), span_str(bad[i]), arena, &out);
        if (!(out.flags & RESOLVE_ERROR) || strcmp(out.transport, "error") != 0)
            fail_msg("%s: %s %d", bad[i], out.transport, out.flags);
    }
    resolver_close(rs);
    config_free(cfg);
}

static void table_trouble_means_later(void **state)
{
    struct config *cfg = load("virtual_mailbox_domains = lmdb:/nonexistent/x\n");
    struct resolver *rs = open_ok(cfg);
    struct resolve out;

    (void)state;
    resolver_resolve(rs, false, SPAN_LIT("s"), SPAN_LIT("u@other.test"), arena, &out);
    assert_true(out.flags & RESOLVE_FAIL);
    resolver_resolve(rs, false, SPAN_LIT("s"), SPAN_LIT("u@peer.test"), arena, &out);
    assert_false(out.flags & RESOLVE_FAIL);
    resolver_close(rs);
    config_free(cfg);
}

static void switches_for_odd_domains(void **state)
{
    static const struct resolve_case some[] = {
        {"s", "u@127.0.0.1", "local", "mx.peer.test", "u@[127.0.0.1]", LOCAL},
        {"s", "u@", "smtp", RELAYHOST, "u@mx.peer.test", DEFAULT},
        {"s", "a%far.test@peer.test", "local", "mx.peer.test", NULL, LOCAL},
        {"s", "-a@peer.test", "local", "mx.peer.test", NULL, LOCAL},
    };
    struct config *cfg =
        load("resolve_numeric_domain = yes\nresolve_null_domain = yes\n"
             "allow_percent_hack = no\nallow_min_user = yes\n");
    struct resolver *rs = open_ok(cfg);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        check(rs, &some[i]);
    resolver_close(rs);
    config_free(cfg);
}

static void standard_form(void **state)
{
    static const char *const pairs[][3] = {
        {"a", "a@mx.peer.test", "a@remote.test"},
        {"a@b", "a@b.peer.test", "a@b.remote.test"},
        {"a%b", "a@b.peer.test", "a@b.remote.test"},
        {"b!a", "a@b.peer.test", "a@b.remote.test"},
        {"a@b.", "a@b", "a@b"},
        {"a@b.c", "a@b.c", "a@b.c"},
        {"a@", "a@", "a@"},
        {"@", "", ""},
        {"@b", "@b.peer.test", "@b.remote.test"},
        {"!b", "b@", "b@"},
        {"a!", "@a.peer.test", "@a.remote.test"},
        {"a%b!c", "c@a%b.peer.test", "c@a%b.remote.test"},
        {"b!a%c", "a%c@b.peer.test", "a%c@b.remote.test"},
        {"a@b..", "a@b..", "a@b.."},
        {"a@[x]", "a@[x]", "a@[x]"},
        {"b!a@peer.test", "b!a@peer.test", "b!a@peer.test"},
        {"@x,@y:a@b.c", "a@b.c", "a@b.c"},
        {"", "", ""},
    };
    struct config *cfg = load("remote_header_rewrite_domain = remote.test\n");
    struct rewrite_context local = rewrite_context_local(cfg),
                           remote = rewrite_context_remote(cfg);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct span in = span_str(pairs[i][0]);
        struct span a = rewrite_standard_form(cfg, &local, in, arena);
        struct span b = rewrite_standard_form(cfg, &remote, in, arena);
        if (!span_eq_str(a, pairs[i][1]) || !span_eq_str(b, pairs[i][2]))
            fail_msg("%s: %.*s %.*s", pairs[i][0], SPAN_ARG(a), SPAN_ARG(b));
    }
    config_free(cfg);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_goes_where_the_peer_sends_it),
        cmocka_unit_test(given_next_hops_come_first),
        cmocka_unit_test(bad_addresses_resolve_to_error),
        cmocka_unit_test(table_trouble_means_later),
        cmocka_unit_test(switches_for_odd_domains),
        cmocka_unit_test(standard_form),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
