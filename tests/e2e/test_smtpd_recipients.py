"""Who may be written to, and from where: relay control and unknown users."""
import time

import pytest

import gp
from test_smtpd_policy import replies_and_log

SITES = {
    "mydestination": "mx.gate.test",
    "local_recipient_maps": "inline:{u=x}",
    "relay_domains": "relay.test, open.test",
    "relay_recipient_maps": "inline:{{u@relay.test=x},{@open.test=x}}",
    "virtual_alias_domains": "va.test",
    "virtual_alias_maps": "inline:{{u@va.test=u@elsewhere.test}}",
    "virtual_mailbox_domains": "vm.test",
    "virtual_mailbox_maps": "inline:{u@vm.test=x}",
    "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "100",
}
RECIPIENTS = ["x@y", "z@relay.test", "u@relay.test", "foo@open.test", "u", "nouser",
              "u@mx.gate.test", "u+x@mx.gate.test", "no@mx.gate.test", "u@va.test",
              "no@va.test", "u@vm.test", "no@vm.test", "a%b@relay.test",
              "a@relay.test@foo", "postmaster", "postmaster@mx.gate.test",
              "postmaster@vm.test", "double-bounce@mx.gate.test", "@relay.test:x@y",
              "NO+Tag@MX.gate.test", '"a b"@mx.gate.test', "no@[127.0.0.1]",
              "u@[127.0.0.1]", "no@localhost"]
ASK = ["EHLO h.x", "MAIL FROM:<a@b>", *[f"RCPT TO:<{r}>" for r in RECIPIENTS],
       *[f"VRFY {r}" for r in RECIPIENTS if " " not in r], "QUIT"]


@pytest.mark.parametrize("settings", [
    {"mynetworks": "192.0.2.0/24"},
    {"mynetworks": "127.0.0.0/8"},
    {"mynetworks": "192.0.2.0/24", "smtpd_relay_restrictions": "reject_unauth_destination",
     "recipient_delimiter": "+"},
    {"mynetworks": "192.0.2.0/24", "smtpd_recipient_restrictions":
     "permit_auth_destination, reject", "show_user_unknown_table_name": "no"},
    {"receive_override_options": "no_unknown_recipient_checks"},
    {"allow_untrusted_routing": "yes", "mynetworks": "192.0.2.0/24"},
], ids=["stranger", "friend", "reject, delimiter", "auth destination", "no checks", "routing"])
def test_recipient(like_peer, settings):
    like_peer(lambda m: replies_and_log(m, ASK), {**SITES, **settings})


def test_sender_must_exist(like_peer):
    script = ["EHLO h.x"]
    for sender in ("no@mx.gate.test", "no@vm.test", "u@vm.test", "no@va.test", "", "a@b"):
        script += [f"MAIL FROM:<{sender}>", "RCPT TO:<u>", "RSET"]
    like_peer(lambda m: replies_and_log(m, [*script, "QUIT"]),
              {**SITES, "smtpd_reject_unlisted_sender": "yes"})


def test_no_rewrite_service_no_decision(gatepost):
    """Nobody can say where mail would go: the client must come back."""
    m = gatepost({"mynetworks": "192.0.2.0/24"}, {"rewrite/unix": None})
    m.allow("rewrite")
    with m.smtp() as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@b>", 250)
        assert client.cmd("RCPT TO:<c@d>").text == (
            "451 4.3.0 <c@d>: Temporary lookup failure")


def test_changed_table_is_read_again(gatepost):
    """A process that holds the old index goes over to the new one, with its clients."""
    m = gatepost({**SITES, "mynetworks": "127.0.0.0/8"}, start=False)
    table = m.table("known", {"u": "x"}, "lmdb")
    m.configure({"local_recipient_maps": table})
    m.start()
    with m.smtp() as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@b>", 250)
        assert client.cmd("RCPT TO:<new@mx.gate.test>").code == 550
        m.table("known", {"u": "x", "new": "x"}, "lmdb")
        time.sleep(0.1)
        assert client.cmd("RCPT TO:<new@mx.gate.test>").code == 250


@pytest.mark.parametrize("parents", ["", "relay_domains"])
def test_subdomains_of_relay_domains(like_peer, parents):
    """Either "domain" covers its subdomains, or ".domain" does, never both."""
    lines = ["EHLO client.test", "MAIL FROM:<a@b.test>"] + [
        f"RCPT TO:<u@{domain}>" for domain in
        ("a.test", "x.a.test", "b.test", "x.b.test", "x.y.b.test", "xa.test")]
    def scenario(m):
        with m.smtp() as client:
            return gp.converse(client, lines)
    like_peer(scenario,
              {"relay_domains": "a.test .b.test", "parent_domain_matches_subdomains": parents,
               "smtpd_relay_restrictions": "permit_auth_destination, reject"})
