"""Addresses are read, rewritten and routed as the peer does with the same configuration."""
import re
import time

import pytest

TABLES = {
    "compatibility_level": "3.6",
    "append_dot_mydomain": "yes",
    "mydestination": "here.test, localhost",
    "relay_domains": "relay.test",
    "parent_domain_matches_subdomains": "relay_domains",
    "virtual_alias_domains": "va.test",
    "virtual_alias_maps": "inline:{ {known@va.test=u@here.test} }",
    "virtual_mailbox_domains": "vm.test",
    "virtual_mailbox_maps": "static:x",
    "local_recipient_maps": "",
    "recipient_delimiter": "+",
    "smtpd_reject_unlisted_recipient": "no",
    "proxy_interfaces": "192.0.2.9",
    "relayhost": "[127.0.0.9]:26",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "transport_maps": "inline:{ {user@full.test = xmap:fullhost} {dom.test=xmap:domhost} "
                      "{.sub.test=xmap:subhost} {only.test=xmap:} {nh.test= :[nh.example]:26} "
                      "{err.test=error:5.1.2 no way} {plus@ext.test=xmap:ext} {blank.test=:} "
                      "{smtp.test=smtp} {user@here.test=xmap:loc} {retry.test=retry:4.0.0 later} "
                      "{err2.test=error:mail for this site not deliverable} "
                      "{err0.test=error:} {retry0.test=retry:}}",
    "relocated_maps": "inline:{ {moved@here.test=new@x.example} {@movdom.test=gone}}",
    "sender_dependent_relayhost_maps": "inline:{ {s1@b.example=[sdr.example]} {<>=nullrelay}}",
    "sender_dependent_default_transport_maps": "inline:{ {s2@b.example=xdef:sdt} "
                                               "{s4@b.example=xdef} {s5@b.example=DUNNO}}",
}
SERVICES = {f"{name}/unix": f"{name} unix - - n - - discard -o syslog_name=T{name}"
            for name in ("local", "virtual", "relay", "smtp", "xmap", "xdef")}

RECIPIENTS = """
<u@here.test> <u@HERE.test> <u@relay.test> <u@a.relay.test> <u@va.test> <known@va.test> <u@vm.test>
<u@other.test> <u> <u@[127.0.0.1]> <u@[192.0.2.9]> <u@[192.0.2.10]> <u@here.test.> <u@other.test.>
<u@other> <a%other.test> <a%other.test@here.test> <other.test!a@here.test> <other.test!a>
<a@other.test@here.test> <"a@other.test"@here.test> <a%b%other.test@here.test> <a!b!c@here.test>
<a%other.test@far.test> <a!b@far.test> <a@b@far.test> <user@full.test> <x@full.test> <x@dom.test>
<x@a.dom.test> <x@a.sub.test> <x@sub.test> <x@only.test> <x@nh.test> <x@err.test> <x@err2.test>
<plus+e@ext.test> <x@blank.test> <x@smtp.test> <user@here.test> <user+x@here.test> <x@retry.test>
<x@err0.test> <x@retry0.test>
<moved@here.test> <moved+e@here.test> <x@movdom.test> <@here.test> <@far.test> <"a_b."@here.test>
<a@[IPv6:2001:db8::1]> <%b> <a!>
""".split()

PATHS = """
<> <u@d.test> u@d.test u <@a.b,@c.d:u@d.test> <@a.b> <"j_d"@d.test> <"a\\"b"@d.test> <u(c)@d.test>
<u@d.test>SIZE=10 <u@d.test u@d.test> <<u@d.test>> <u@d.test>> <u@[1.2.3.4]> <u@[foo]> <u@[1.2.3.4>
<u@> <u@.d.test> <u@d..test> <u@-d.test> <u@d_x.test> <u@d!x.test> <.u@d.test> <us"e"r@d.test>
<""@d.test> <a@b@d.test> <a\\@b@d.test> <a,b@d.test> <a:b@d.test> <a;b@d.test> <a[b]@d.test>
<u@d.test>,<b@c.test> g:a@b.test; <"open@d.test> <u@"d".test> x<a@b.test> <a(c@b.test> <a)c@b.test>
<>a@b.test "a <a:;> <u@127.1> <u@b.1> <a@[IPv6:::1]> <a@[::1]> -u@d.test
""".split()

HEADERS = [
    "John Doe", "John Doe <jd>", "a b@c.example", '"Doe, J" <jd@host>, (c) other@x.example (d)',
    'grp: a, b@c.example, "x y"@d;, last', "undisclosed-recipients:;", "a;b",
    "<@r.example:u@d.example>", "a.b@d.example", "x <a> <b>", "a@b (John)\n\tfolded,\n  c@d",
    "<>", '""', "u@[1.2.3.4], <u2@[IPv6:::1]>", "=?utf-8?q?J=C3=B6rg?= <j@x>", "a!b, c%d, e@f%g",
    "foo:bar", "a@", "a@b.", "a..c@b", "a b <c@d>", "@b", "a@.b", "x y: b;",
]


def send(client, sender, recipient, header="Subject: x"):
    """The refusal of the recipient, or the queue id."""
    client.cmd(f"MAIL FROM:<{sender}>")
    reply = client.cmd(f"RCPT TO:{recipient}")
    if reply.code != 250:
        client.cmd("RSET")
        return None, reply.text
    client.cmd("DATA")
    client.send(header.replace("\n", "\r\n") + "\r\n\r\nx\r\n.\r\n")
    return re.search(r"queued as (\w+)", client.reply().text).group(1), None


def where(m, qid):
    """Transport, recipient and next hop of each delivery (the discard agent logs it)."""
    pattern = (rf"(\S+)\[\d+\]: {qid}: (to=<.*?>), (?:orig_to=(<.*?>), )?.*"
               r"dsn=(\S+), status=(.*)")
    m.wait_log(f"{qid}: to=")
    lines = re.findall(pattern, m.log_text())
    return sorted((service.removesuffix("/error"), *rest) for service, *rest in lines)


def routes(m, sender, recipients):
    with m.smtp() as client:
        client.cmd("EHLO client.test")
        sent = [(rcpt, *send(client, sender, rcpt)) for rcpt in recipients]
    return [(sender, rcpt, refusal or where(m, qid)) for rcpt, qid, refusal in sent]


def test_paths(like_peer):
    def scenario(m):
        seen = []
        for port in (25, 26):
            with m.smtp(port=port) as client:
                client.cmd("HELO client.test")
                for path in PATHS:
                    first = client.cmd(f"MAIL FROM:{path}").text
                    client.cmd("RSET")
                    client.cmd("MAIL FROM:<a@b.test>")
                    seen.append((port, path, first, client.cmd(f"RCPT TO:{path}").text))
                    client.cmd("RSET")
        return seen

    like_peer(scenario, {"smtpd_relay_restrictions": "reject", "smtpd_error_sleep_time": "0",
                         "smtpd_recipient_restrictions": "", "compatibility_level": "3.6",
                         "smtpd_hard_error_limit": "10000", "smtpd_soft_error_limit": "10000",
                         "smtpd_junk_command_limit": "10000"},
              {"26/inet": "26 inet n - n - - smtpd -o strict_rfc821_envelopes=yes"})


def test_routes(like_peer):
    def scenario(m):
        return routes(m, "s@b.example", RECIPIENTS)

    like_peer(scenario, TABLES, SERVICES)


def test_routes_by_sender(like_peer):
    def scenario(m):
        some = ["<u@other.test>", "<u@relay.test>", "<u@here.test>", "<u@nh.test>"]
        senders = ["s1@b.example", "s1+e@b.example", "s2@b.example", "s4@b.example",
                   "s5@b.example", ""]
        return [row for sender in senders for row in routes(m, sender, some)]

    like_peer(scenario, TABLES | {"default_transport": "xdef:defnh"}, SERVICES)


@pytest.mark.parametrize("append", ["yes", "no"])
def test_header_addresses(like_peer, append):
    def scenario(m):
        seen = []
        for port in (25, 26):
            with m.smtp(port=port) as client:
                client.cmd("EHLO client.test")
                for header in HEADERS:
                    qid, _ = send(client, "s@b.example", "<z@z.example>", f"To: {header}")
                    found = addresses(m, qid)
                    if append == "no":  # an address that is complete stays as it came
                        found = [address.replace('"', "") for address in found]
                    seen.append((port, header, found))
        return seen

    like_peer(scenario, TABLES | {"defer_transports": "smtp",
                                  "append_dot_mydomain": append, "append_at_myorigin": append,
                                  "remote_header_rewrite_domain": "remote.test"},
              SERVICES | {"26/inet": "26 inet n - n - - smtpd -o local_header_rewrite_clients="})


def addresses(m, qid):
    """The To: header of a queued message, white space and commas aside: only the
    addresses are ours to change, Gatepost leaves the rest as it came."""
    text = m.run("postcat", "-hq", qid).stdout
    header = re.search(r"(?ms)^To:.*?\n(?=\S|\Z)", text).group(0)
    return sorted(re.findall(r'<.*?>|(?:"[^"]*"|[^\s,;()<>"])+', header[3:]))


def test_a_changed_table_is_noticed(gatepost):
    m = gatepost(TABLES | {"transport_maps": "lmdb:$config_directory/transport"}, SERVICES,
                 start=False)
    m.table("transport", "far.test xmap:one\n", "lmdb")
    m.start()
    assert routes(m, "s@b.example", ["<u@far.test>"])[0][2][0][-1] == "sent (one)"
    m.table("transport", "far.test xmap:two\n", "lmdb")
    deadline = time.time() + 20
    while routes(m, "s@b.example", ["<u@far.test>"])[0][2][0][-1] != "sent (two)":
        assert time.time() < deadline, "the new table was never used"
        time.sleep(0.5)
    assert not m.log(pattern="restarting")  # nor did anyone's session end
