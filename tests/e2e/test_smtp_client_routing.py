"""From the next hop to hosts: DNS answers of all kinds, relay hosts, fallback relays,
address families: fate and log lines as the peer's."""
import collections

import pytest

import gp
from test_smtp_client_trouble import MESSAGE, log_by_name, send

ZONES = {
    "far.test": """
mx        MX 10 h1.mx
mx        MX 20 h2.mx
h1.mx     A 192.0.2.11
h2.mx     A 192.0.2.12
only-a    A 192.0.2.13
two-a     A 192.0.2.14
two-a     A 192.0.2.13
null      MX 0 .
null-and  MX 0 .
null-and  MX 10 h1.mx
text      TXT "nothing here"
mx-gone   MX 10 h1.mx-gone
mx-gone2  MX 10 h1.mx-gone2
mx-gone2  MX 20 h2.mx
mx-number MX 10 192.0.2.13.
mx-empty  MX 10 txt.mx-empty
txt.mx-empty TXT "x"
mx-alias  MX 10 alias.mx-alias
alias.mx-alias CNAME h1.mx
alias     CNAME mx.far.test.
alias-gone CNAME nowhere.far.test.
loop      MX 10 here.loop
here.loop A 127.0.0.1
loop-worse MX 10 here.loop
loop-worse MX 20 h1.mx
loop-better MX 5 h1.mx
loop-better MX 10 here.loop
loop-a    A 127.0.0.1
six       MX 10 h.six
h.six     AAAA 2001:db8::5
mx-broken MX 10 host.broken.test.
mx-broken2 MX 10 host.broken.test.
mx-broken2 MX 20 h2.mx
under_score MX 10 h1.mx
""",
    "broken.test": None,
}
NAMES = ["mx", "only-a", "null", "null-and", "text", "mx-gone", "mx-gone2", "mx-number",
         "mx-empty", "mx-alias", "alias", "alias-gone", "loop", "loop-worse", "loop-better",
         "loop-a", "six", "mx-broken", "mx-broken2", "under_score", "missing"]


@pytest.fixture
def hosts(sink, dns):
    dns(ZONES)
    return [sink(f"192.0.2.{number}", 25) for number in range(11, 15)]


def fates(m, names, wait=None):
    """One after another, so that lines without a queue id keep their order."""
    for number, name in enumerate(names, 1):
        send(m, name, ["one"])
        m.wait_log(r"postfix/(smtp|error)\[.*status=", count=number, timeout=90)
    m.wait_log(r"postfix/(smtp|error)\[.*status=", count=wait or len(names), timeout=90)
    return log_by_name(m, names)


def test_answers(like_peer, hosts):
    like_peer(lambda m: fates(m, NAMES))


def test_answers_defer_without_mx_address(like_peer, hosts):
    like_peer(lambda m: fates(m, ["mx-gone", "mx-empty", "missing", "text"]),
              {"smtp_defer_if_no_mx_address_found": "yes"})


def test_broken_domain(like_peer, hosts):
    def scenario(m):
        with m.smtp() as client:
            client.mail("", "one@broken.test", MESSAGE)
            client.quit()
        m.wait_log("status=")
        return [line for line in m.normal_log("smtp")]
    like_peer(scenario)


@pytest.mark.parametrize("relay", [
    "[192.0.2.12]", "[192.0.2.12]:25", "[h1.mx.far.test]", "mx.far.test", "mx.far.test:25",
    "[h1.mx.far.test]:smtp", "only-a.far.test", "missing.far.test", "[missing.far.test]",
    "null.far.test", "[192.0.2.99]", "[192.0.2.12]:26", "loop.far.test",
    "[127.0.0.1]:26", "text.far.test"])
def test_relayhost(like_peer, hosts, relay):
    like_peer(lambda m: fates(m, ["mx"]), {"relayhost": relay, "smtp_connect_timeout": "3s"})


@pytest.mark.parametrize("fallback", [
    "[192.0.2.12]", "only-a.far.test", "[192.0.2.99] [192.0.2.12]", "missing.far.test",
    "missing.far.test, [h2.mx.far.test]"])
def test_fallback_relay(like_peer, hosts, fallback):
    names = ["mx", "missing", "null", "mx-gone", "mx-broken", "loop", "text"]
    like_peer(lambda m: fates(m, names), {"smtp_fallback_relay": fallback})


@pytest.mark.parametrize("main", [
    {"disable_dns_lookups": "yes"}, {"smtp_host_lookup": "native"},
    {"smtp_host_lookup": "dns, native"}], ids=["no-dns", "native", "both"])
@pytest.mark.hosts("192.0.2.13 hosts-only.far.test\n192.0.2.14 only-a.far.test\n")
def test_host_lookup(like_peer, hosts, main):
    like_peer(lambda m: fates(m, ["hosts-only", "only-a", "missing"]), main)


def test_unknown_port(gatepost, hosts):
    m = gatepost({"relayhost": "mx.far.test:nosuch"})
    send(m, "mx", ["one"])
    line = m.wait_log("status=")
    assert (line.status, line.dsn, line.reason) == ("deferred", "4.3.5",
                                                    "unknown service: nosuch/tcp")


def test_both_families(like_peer, sink, dns):
    """IPv6 without a server, IPv4 with one; the preferred family goes first."""
    dns({"far.test": "dual MX 10 h.dual\nh.dual AAAA 2001:db8::7\nh.dual A 192.0.2.7\n"})
    sink("192.0.2.7", 25)
    like_peer(lambda m: fates(m, ["dual"]),
              {"inet_protocols": "all", "smtp_address_preference": "ipv6",
               "inet_interfaces": "127.0.0.1, ::1"})


def test_bind_address(mta, hosts):
    m = mta({"smtp_bind_address": "192.0.2.77"})
    send(m, "mx", ["one"])
    hosts[0].wait(1)
    assert hosts[0].sessions[0].peer[0] == "192.0.2.77"


def test_equal_preferences_share_the_load(mta, sink, dns):
    dns({"far.test": "".join(f"even MX 10 h{n}.even\nh{n}.even A 192.0.2.{20 + n}\n"
                             for n in range(3))})
    servers = [sink(f"192.0.2.{20 + n}", 25) for n in range(3)]
    m = mta({"smtp_connection_cache_on_demand": "no"})
    for _ in range(30):
        send(m, "even", ["one"])
    m.wait_log("status=sent", count=30)
    share = [len(server.messages) for server in servers]
    assert sum(share) == 30 and min(share) >= 2, share


def test_address_limit(like_peer, sink, dns):
    """Five addresses that refuse, and a sixth that is not tried any more."""
    dns({"far.test": "".join(f"many MX {n} h{n}.many\nh{n}.many A 192.0.2.{30 + n}\n"
                             for n in range(7))})
    sink("192.0.2.35", 25)
    like_peer(lambda m: fates(m, ["many"]))


def test_mail_is_spread_over_addresses_of_one_host(gatepost, hosts):
    m = gatepost({"smtp_connection_cache_on_demand": "no"})
    for _ in range(20):
        send(m, "two-a", ["one"])
    m.wait_log("status=sent", count=20)
    used = collections.Counter(line.relay for line in m.log("smtp", "status=sent"))
    assert len(used) == 2, used
