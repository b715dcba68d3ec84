"""Restriction lists: what is refused, permitted and logged, as with the peer."""
import re

import pytest

import gp

HELLO = ["EHLO h.x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>"]
TALK = [*HELLO, "QUIT"]
TO_DATA = [*HELLO, "DATA", "RSET", "QUIT"]
RELAY = {"relayhost": "[127.0.0.2]:25"}


def rule(stage, text, **more):
    return {f"smtpd_{stage}_restrictions": text, **more}


def addresses(*rows):
    """An access table of recipients c@d with each of the results."""
    return "inline:{" + ",".join("{%s=%s}" % row for row in rows) + "}"


def recipient(result):
    return rule("recipient", addresses(("c@d", result)))


CASES = {
    "reject": (rule("recipient", "reject"), TALK),
    "reject client": (rule("client", "reject"), TALK),
    "reject helo": (rule("helo", "reject"), TALK),
    "helo rules wait for helo": (rule("helo", "reject"), TALK[1:]),
    "defer sender": (rule("sender", "defer"), TALK),
    "defer null sender": (rule("sender", "defer"), [HELLO[0], "MAIL FROM:<>", *TALK[2:]]),
    "data": (rule("data", "reject"), TO_DATA),
    "data, two recipients": (rule("data", "reject"),
                             [*HELLO, "RCPT TO:<e@d>", "DATA", "RSET", "QUIT"]),
    "end of data": (rule("end_of_data", "reject"),
                    [*HELLO, "DATA", ("data", "x\n"), "QUIT"]),
    "warn": (rule("client", "warn_if_reject, reject"), TALK),
    "warn once": (rule("client", "warn_if_reject, reject, reject"), TALK),
    "defer_if_permit": (rule("client", "defer_if_permit"), TALK),
    "defer_if_permit loses": (rule("client", "defer_if_permit",
                                   **rule("recipient", "reject")), TALK),
    "defer_if_permit, warned": (rule("recipient", "warn_if_reject, defer_if_permit"), TALK),
    "defer_if_permit at data": (rule("data", "defer_if_permit"), TO_DATA),
    "defer_if_reject": (rule("recipient", "defer_if_reject, reject"), TALK),
    "defer_if_reject ends with its list": (rule("client", "defer_if_reject",
                                                **rule("recipient", "reject")), TALK),
    "both deferrals": (rule("recipient", "defer_if_reject, defer_if_permit, reject"), TALK),
    "typing error": (rule("recipient", "foobar"), TALK),
    "sleep": (rule("recipient", "sleep 1"), TALK),
    "sleep how long": (rule("recipient", "sleep, permit"), TALK),
    "table missing": (rule("recipient", "check_client_access"), TALK),
    "table malformed": (rule("recipient", "check_client_access permit"), TALK),
    "bare table, recipient": (recipient("reject"), TALK),
    "bare table, client": (rule("client", "inline:{127.0.0.1=reject}"), TALK),
    "bare table, parent network": (rule("client", "inline:{127.0=reject}"), TALK),
    "bare table, helo": (rule("helo", "inline:{x=reject}"), TALK),
    "bare table, sender": (rule("sender", "inline:{b=reject}"), TALK),
    "bare table, null sender": (rule("sender", "inline:{<>=reject}"),
                                [HELLO[0], "MAIL FROM:<>", *TALK[2:]]),
    "bare table, data": (rule("data", "inline:{b=reject}"), TO_DATA),
    "class": (rule("recipient", "strict", smtpd_restriction_classes="strict",
                   strict="reject"), TALK),
    "class permits": (rule("recipient", "lax, reject", smtpd_restriction_classes="lax",
                           lax="permit"), TALK),
    "class from table": ({**recipient("strict"), "smtpd_restriction_classes": "strict",
                          "strict": "reject"}, TALK),
    "text": (recipient("reject go away"), TALK),
    "text with status": (recipient("reject 5.1.1 go away"), TALK),
    "code": (recipient("450 4.9.9 go away"), TALK),
    "code alone is ok": (rule("recipient", addresses(("c@d", "550")) + ", reject"), TALK),
    "421": (recipient("421 bye"), HELLO),
    "521": (recipient("521 bye"), HELLO),
    "defer": (recipient("defer"), TALK),
    "defer with text": (recipient("defer come back"), TALK),
    "defer_if_permit with text": (recipient("defer_if_permit come back"), TALK),
    "dunno": (rule("recipient", addresses(("c@d", "dunno")) + ", reject"), TALK),
    "ok": (rule("recipient", addresses(("c@d", "ok")) + ", reject"), TALK),
    "warn action": (recipient("warn foo bar"), TALK),
    "info action": (recipient("info"), TALK),
    "unknown action": (recipient("gaga"), TALK),
    "table in table": (recipient("check_sender_access inline:{a=b}"), TALK),
    "list in table": (rule("recipient",
                           addresses(("c@d", "permit_mynetworks")) + ", reject"), TALK),
    "status of another class": (rule("client", "inline:{{localhost=reject 5.1.1 x}}"), TALK),
    "user@": (rule("recipient", "inline:{c@=reject}"), TALK),
    "filter malformed": (recipient("filter foo"), TALK),
    "redirect malformed": (recipient("redirect foo"), TALK),
    "prepend malformed": (recipient("prepend foo"), TALK),
    "hangup": (recipient("hangup"), HELLO),
    "permits logged": (rule("client", "permit_mynetworks",
                            smtpd_log_access_permit_actions="static:all"), TALK),
    "early client": (rule("client", "reject", smtpd_delay_reject="no"),
                     ["NOOP", "EHLO x", "MAIL FROM:<a@b>", "RSET", "QUIT"]),
    "early helo": (rule("helo", "reject", smtpd_delay_reject="no"),
                   ["EHLO x", "MAIL FROM:<a@b>", "QUIT"]),
    "early sender": (rule("sender", "reject", smtpd_delay_reject="no"),
                     [*HELLO[:2], "MAIL FROM:<a@b>", "QUIT"]),
    "early defer_if_permit": (rule("client", "defer_if_permit", smtpd_delay_reject="no"),
                              TALK),
    "soft bounce": (rule("recipient", "reject", soft_bounce="yes"), TALK),
}


def replies_and_log(m, script):
    """The dialogue, and what smtpd logged of it."""
    with m.smtp() as client:
        replies = gp.converse(client, script)
    m.wait_log("disconnect from")
    log = [line for line in m.normal_log("smtpd") if "restriction `" not in line]
    # The peer logs a lost connection without the id of the message.
    return replies, sorted(re.sub(r"(QID|NOQUEUE): (lost connection|timeout|too many errors)", r"\2", line)
                           for line in log)


@pytest.mark.parametrize("name", CASES)
def test_decision(like_peer, name):
    settings, script = CASES[name]
    like_peer(lambda m: replies_and_log(m, script), {**RELAY, **settings})


def test_status_details_fit_the_class(like_peer):
    """X.1.N says something about senders or recipients: each class has its own N."""
    rows = [(f"{n}@b", f"reject 5.1.{n} x") for n in range(10)]
    script = ["EHLO h.x"]
    for n in range(10):
        script += [f"MAIL FROM:<{n}@b>", "RCPT TO:<c@d>", "RSET"]
    script += ["MAIL FROM:<a@x>", *[f"RCPT TO:<{n}@b>" for n in range(10)], "QUIT"]
    like_peer(lambda m: replies_and_log(m, script), {
        **RELAY, **rule("sender", addresses(*rows)), **rule("recipient", addresses(*rows)),
        "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "100"})


NAMES = ["h", "a..b", "[1.2.3]", "[1.2.3.4]", "1.2.3.4", "a_b.c", "a#b.c", "[::1]",
         "[IPv6:::1]", "-a.b", "a.b.", "12", "1.2.3", "a" * 64 + ".b", "x.y"]


@pytest.mark.parametrize("restriction", ["reject_invalid_helo_hostname",
                                         "reject_non_fqdn_helo_hostname"])
def test_helo_names(like_peer, restriction):
    script = []
    for name in NAMES:
        script += ["RSET", f"HELO {name}", "MAIL FROM:<>", "RCPT TO:<c@d.e>"]
    like_peer(lambda m: replies_and_log(m, script), {
        **RELAY, **rule("helo", restriction),
        "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "100"})


def test_non_fqdn_addresses(like_peer):
    script = ["EHLO h.x"]
    for sender in ("a@b", "a", "", "a@b.c", "a@[1.2.3.4]"):
        script += [f"MAIL FROM:<{sender}>", "RCPT TO:<c@d>", "RCPT TO:<c>",
                   "RCPT TO:<c@d.e>", "RCPT TO:<c@[1.2.3.4]>", "RSET"]
    like_peer(lambda m: replies_and_log(m, [*script, "QUIT"]), {
        **RELAY, **rule("recipient", "reject_non_fqdn_recipient, reject_non_fqdn_sender"),
        "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "100"})


@pytest.mark.parametrize("settings, clue", [
    ({"smtpd_recipient_restrictions": "permit", "smtpd_relay_restrictions": ""},
     "specify at least one working instance of"),
    ({"smtpd_restriction_classes": "strict"}, "restriction class `strict' needs a definition"),
])
def test_unsafe_or_undefined_lists_stop_the_server(mta, settings, clue):
    m = mta(settings, start=False)
    m.allow("fatal: |bad command startup|exit status 1")
    m.start(*(["-f"] if isinstance(m, gp.Gatepost) else []))  # ours looks before it starts
    with m.smtp(read_banner=False):
        m.wait_log(clue)


def test_classes_that_name_each_other_end(gatepost):
    m = gatepost({"smtpd_restriction_classes": "one two", "one": "two", "two": "one",
                  **rule("recipient", "one")})
    with m.smtp() as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@b>", 250)
        assert client.cmd("RCPT TO:<c@d>").text == "451 4.3.5 Server configuration error"
        client.cmd("NOOP", 250)
    m.wait_log("nested too deep")


def envelope(m):
    """Recipients, filter, redirect and first headers of the only queue file."""
    m.wait_queue(lambda files: [f.queue for f in files] in (["deferred"], ["hold"]))
    (entry,) = m.queue()
    records = [(kind, data.decode("latin-1")) for kind, data in gp.records(entry.path)]
    wanted = [(kind, re.sub(r"\w{3}, \d.*|id \w+;?", "X", text)) for kind, text in records
              if kind in "R>LON" or (kind == "A" and text.startswith("dsn_orig"))]
    return entry.queue, [w for w in wanted if not w[1].startswith(("Message-Id:", "Date:"))]


ACTIONS = {
    "hold": addresses(("c@d", "hold")),
    "hold, late": addresses(("e@d", "hold")),
    "filter": addresses(("c@d", "filter smtp:[127.0.0.9]:9")),
    "redirect": addresses(("c@d", "redirect x@y")),
    "bcc": addresses(("c@d", "bcc x@y"), ("e@d", "bcc z@y")),
    "prepend": addresses(("c@d", "prepend X-Foo: bar"), ("e@d", "prepend X-Bar: baz")),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_action_on_the_message(like_peer, name):
    script = [*HELLO, "RCPT TO:<e@d>", "DATA", ("data", "Subject: x\n\nhi\n"), "QUIT"]

    def scenario(m):
        return replies_and_log(m, script), envelope(m)

    like_peer(scenario, {"defer_transports": "smtp, relay", **RELAY,
                         **rule("recipient", ACTIONS[name])})


@pytest.mark.parametrize("victim", ["c@d", "e@d"])
def test_discard(like_peer, victim):
    script = [*HELLO, "RCPT TO:<e@d>", "RCPT TO:<nouser@mx.gate.test>", "DATA",
              ("data", "Subject: x\n\nhi\n"), "QUIT"]

    def scenario(m):
        got = replies_and_log(m, script)
        m.wait_empty()
        return got

    like_peer(scenario, {**RELAY, "local_recipient_maps": "inline:{u=x}",
                         **rule("recipient", addresses((victim, "discard")))})
