"""Servers and name servers that misbehave at every stage: what the log says, what the
recipient's fate is, what was said to the server: as the peer."""
import re

import pytest

import gp

MESSAGE = ("From: a@client.test\nTo: b@far.test\nSubject: one\nMessage-ID: <1@client.test>\n"
           "Date: Mon, 23 Nov 2026 06:00:00 +0000\n\nhello\n")
NO_PIPELINING = ("SIZE 10240000", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN")
TIMES = {f"smtp_{stage}_timeout": "2s" for stage in
         ("helo", "mail", "rcpt", "data_init", "data_done", "rset", "quit")}
MAIN = {**TIMES, "smtp_connect_timeout": "3s"}


def stage(verb, what, keywords=None):
    """A server that fails at one verb: a reply, "" to hang up, a number to be silent."""
    options = {"delays": {verb: what}} if isinstance(what, int) else {"replies": {verb: what}}
    if keywords:
        options["ehlo"] = keywords
    return options


def by_recipient(**answers):
    """RCPT is answered by the local part: nouser="550 5.1.1 unknown"."""
    return lambda _, argument: next((text for name, text in answers.items()
                                     if f"<{name}@" in argument), None)


OK = {}
GREETING = {
    "4xx": [stage("CONNECT", "450 4.3.2 busy")],
    "4xx-then-ok": [stage("CONNECT", "450 4.3.2 busy"), OK],
    "4xx-twice": [stage("CONNECT", "450 4.3.2 busy"), stage("CONNECT", "451 other")],
    "5xx": [stage("CONNECT", "554 5.7.1 go away")],
    "5xx-then-ok": [stage("CONNECT", "554 5.7.1 go away"), OK],
    "421": [stage("CONNECT", "421 4.7.0 closing")],
    "421-bare": [stage("CONNECT", "421 closing"), OK],
    "several-lines": [stage("CONNECT", "220-hello\n220-world\n220 sink ESMTP")],
    "5xx-lines": [stage("CONNECT", "554-no\n554 5.7.1 service")],
    "hangs-up": [stage("CONNECT", "")],
    "hangs-up-then-ok": [stage("CONNECT", ""), OK],
    "silent": [stage("CONNECT", 4)],
    "not-esmtp": [stage("CONNECT", "220 sink ready")],
    "garbage": [stage("CONNECT", "hello there")],
    "bare-code": [stage("CONNECT", "220")],
    "3xx": [stage("CONNECT", "354 what")],
    "ehlo-4xx": [stage("EHLO", "450 4.3.2 busy")],
    "ehlo-5xx": [stage("EHLO", "502 5.5.1 what")],
    "ehlo-421": [stage("EHLO", "421 4.3.2 closing")],
    "ehlo-421-then-ok": [stage("EHLO", "421 4.3.2 closing"), OK],
    "ehlo-hangs-up": [stage("EHLO", "")],
    "ehlo-silent": [stage("EHLO", 4)],
    "helo-5xx": [{"replies": {"EHLO": "502 what", "HELO": "550 5.7.1 no"}}],
    "helo-4xx": [{"replies": {"EHLO": "502 what", "HELO": "450 later"}}],
    "helo-5xx-then-ok": [{"replies": {"EHLO": "502 what", "HELO": "550 5.7.1 no"}}, OK],
    "helo-hangs-up": [{"replies": {"EHLO": "502 what", "HELO": ""}}],
    "refused": [None],
    "refused-then-ok": [None, OK],
    "refused-twice": [None, None],
    "4xx-then-refused": [stage("CONNECT", "450 4.3.2 busy"), None],
    "4xx-twice-then-ok": [stage("CONNECT", "450 4.3.2 a"), stage("CONNECT", "450 4.3.2 b"), OK],
    "refused-twice-then-ok": [None, None, OK],
    "status-on-first-line": [stage("CONNECT", "450-4.3.2 busy\n450 really")],
}
DEEP = {f"{verb.replace('.', 'dot').lower()}-{name}": (verb, what) for verb in
        ("MAIL", "RCPT", "DATA", ".") for name, what in {
            "4xx": "450 4.2.0 later", "5xx": "550 5.2.0 never", "421": "421 4.3.0 closing",
            "plain": "550 never", "lines": "451-4.3.0 first\n451 4.3.0 second",
            "hangs-up": "", "silent": 4, "garbage": "what?", "2xx-or-3xx": "354 2.0.0 odd",
            "class": "450 5.2.0 odd"}.items()}
# Other than the peer, we do not take the reply to QUIT for that to the dot.
PIPELINED = {name: [stage(*how)] for name, how in DEEP.items() if name != "dot-garbage"}
STEPWISE = {name: [stage(*how, NO_PIPELINING)] for name, how in DEEP.items()}
SECOND = {**{name: [stage(*how), OK] for name, how in DEEP.items() if name != "dot-garbage"},
          "rcpt-then-refused": [stage("RCPT", "450 4.2.0 later"), None],
          "dot-then-greeting": [stage(".", "450 4.2.0 later"), stage("CONNECT", "450 busy")],
          "data-250": [stage("DATA", "250 2.0.0 odd"), OK]}
MIXED = {
    f"{form}-{name}": [{**server, **({} if form == "p" else {"ehlo": NO_PIPELINING})}
                       for server in servers]
    for form in "ps" for name, servers in {
        "4xx-5xx": [{"replies": {"RCPT": by_recipient(refused="550 5.1.1 no", unlucky="450 4.2.0 full")}}],
        "4xx-moves-on": [{"replies": {"RCPT": by_recipient(refused="550 5.1.1 no",
                                                           unlucky="450 4.2.0 full")}}, OK],
        "all-refused": [{"replies": {"RCPT": "550 5.1.1 no"}}],
        "all-refused-354": [{"replies": {"RCPT": "550 5.1.1 no", "DATA": "354 go"}}],
        "all-put-off": [{"replies": {"RCPT": "450 4.1.1 no"}}, OK],
        "552": [{"replies": {"RCPT": by_recipient(unlucky="552 5.5.3 too many")}}, OK],
        "452": [{"replies": {"RCPT": by_recipient(unlucky="452 4.5.3 too many")}}],
        "421-at-rcpt": [{"replies": {"RCPT": by_recipient(refused="421 4.3.2 closing")}}, OK],
        "data-4xx-after-one": [{"replies": {"RCPT": by_recipient(refused="550 5.1.1 no"),
                                            "DATA": "451 4.3.0 no"}}],
        "rset-5xx": [{"replies": {"RCPT": "550 5.1.1 no", "RSET": "502 no"}}],
        "rset-hangs-up": [{"replies": {"RCPT": "550 5.1.1 no", "RSET": ""}}],
        "dot-4xx-moves-on": [{"replies": {".": "451 4.3.0 no", "RCPT": by_recipient(
            refused="550 5.1.1 no")}}, OK],
        "hangs-up-at-two": [{"replies": {"RCPT": by_recipient(refused="")}}],
        "three-hosts": [{"replies": {"RCPT": "450 4.2.0 a"}}, {"replies": {"RCPT": "450 4.2.0 b"}},
                        OK],
    }.items()}
SIZES = {
    "size-small": [{"ehlo": ("PIPELINING", "SIZE 100")}],
    "size-zero": [{"ehlo": ("PIPELINING", "SIZE 0", "DSN", "8BITMIME")}],
    "size-none": [{"ehlo": ("PIPELINING", "SIZE", "8BITMIME")}],
    **{f"size-bare-{n}": [{"ehlo": words}] for n, words in enumerate([
        ("SIZE", "8BITMIME"), ("8BITMIME", "SIZE"), ("SIZE 99999", "8BITMIME")])},
    "size-odd": [{"ehlo": ("PIPELINING", "SIZE lots", "8BITMIME")}],
    "size-small-then-ok": [{"ehlo": ("PIPELINING", "SIZE 100")}, OK],
    "no-keywords": [{"ehlo": ()}],
    "lower-case": [{"ehlo": ("pipelining", "size 100000", "8bitmime", "dsn")}],
    "quit-hangs-up": [stage("QUIT", "")],
    "quit-silent": [stage("QUIT", 4)],
}
GROUPS = {"greeting": GREETING, "pipelined": PIPELINED, "stepwise": STEPWISE,
          "second": SECOND, "mixed": MIXED, "sizes": SIZES}


def prepare(sink, dns, scenarios):
    """Servers on addresses of their own and a zone with an MX row for each."""
    zone, servers, number = "", {}, 10
    for name, hosts in scenarios.items():
        for preference, options in enumerate(hosts):
            number += 1
            zone += (f"{name} MX {preference + 1}0 h{preference}.{name}\n"
                     f"h{preference}.{name} A 192.0.2.{number}\n")
            if options is not None:
                servers[f"{name} {preference}"] = sink(f"192.0.2.{number}", 25, **options)
    dns({"far.test": zone})
    return servers


def send(m, name, users, text=MESSAGE):
    with m.smtp() as client:
        client.mail("", [f"{user}@{name}.far.test" for user in users], text)
        client.quit()


def log_by_name(m, names):
    """The client's lines by scenario, in the order written. A line that names nothing of
    the scenario (lost connections name hosts, so all do) would be seen in "other"."""
    rows = {name: [] for name in [*names, "other"]}
    for line in m.log("smtp"):
        text = gp.normal(line)
        found = re.search(r"[@.]([\w-]+)\.far\.test", text)
        rows[found.group(1) if found else "other"].append(text)
    return rows


def dialogue(key, session):
    """What was said, but for the end: the peer sends QUIT together with the dot, and in
    some cases RSET after 421."""
    return [row for row in session.commands
            if row != "QUIT" and (row != "RSET" or "421" not in key)]


def run(m, scenarios, servers, users):
    before = {key: len(server.sessions) for key, server in servers.items()}
    for name in scenarios:
        send(m, name, users)
    m.wait_log(r"postfix/smtp\[.*status=", count=len(scenarios) * len(users), timeout=60)
    for server in servers.values():
        server.wait_for(lambda s=server: all(session.ended for session in s.sessions))
    said = {key: [dialogue(key, session) for session in server.sessions[before[key]:]]
            for key, server in servers.items()}
    return log_by_name(m, scenarios), said


@pytest.mark.parametrize("group", GROUPS)
def test_trouble(like_peer, sink, dns, group):
    scenarios = GROUPS[group]
    servers = prepare(sink, dns, scenarios)
    users = ["fine", "refused", "unlucky"] if group == "mixed" else ["one"]
    log, _ = like_peer(lambda m: run(m, scenarios, servers, users), MAIN)
    assert all("to prevent loss of mail" in line for line in log["other"])
    assert all(log[name] for name in scenarios)


def test_noise_at_the_dot(gatepost, sink, dns):
    """Something that is no reply, after the dot: nothing is taken for success."""
    prepare(sink, dns, {"noise": [stage(".", "what?")]})
    m = gatepost(MAIN)
    send(m, "noise", ["one"])
    line = m.wait_log("status=")
    assert line.status == "deferred" and line.dsn == "4.4.2"
    assert "timed out while sending end of data -- message may be sent more than once" \
        in line.reason
