"""Handing recipients to other transports, and recipients that nobody knows."""
import pytest

import gp

DISCARD = "sent 2.0.0"


def discarded(m, qid):
    m.wait_log(f"{qid}: to=.*status=sent", program="discard")
    (line,) = [line for line in m.log("discard", qid=qid)]
    return f"{line.to} {line.reason}"


@pytest.mark.users("alice", "bob")
def test_mailbox_transport(mta):
    local = gp.Local(mta, {"mailbox_transport": "discard:all",
                           "mailbox_transport_maps": "inline:{bob=discard:mapped}"},
                     aliases="two: alice, bob\n")
    qid = local.send("alice")
    assert discarded(local.m, qid) == "<alice@mx.gate.test> all"
    assert local.m.log("local", "passing <alice@mx.gate.test> to transport=discard", qid)
    assert discarded(local.m, local.send("bob")) == "<bob@mx.gate.test> mapped"
    assert discarded(local.m, local.send("nouser")) == "<nouser@mx.gate.test> all"
    qid = local.send("two")
    local.m.wait_log(f"{qid}: removed")
    assert sorted(line.to for line in local.m.log("discard", qid=qid)) == \
        ["<alice@mx.gate.test>", "<bob@mx.gate.test>"]
    local.m.wait_empty()


@pytest.mark.users("alice")
def test_fallback_transport(mta):
    local = gp.Local(mta, {"fallback_transport": "discard:fb"})
    assert local.outcome("alice") == ["alice sent 2.0.0 delivered to mailbox"]
    assert discarded(local.m, local.send("nouser")) == "<nouser@mx.gate.test> fb"


@pytest.mark.users("alice")
def test_failed_transport_defers(gatepost):
    local = gp.Local(gatepost, {"mailbox_transport": "nosuch:x"})
    assert local.outcome("alice") == ["alice deferred 4.3.0 mail transport unavailable"]
    local.reconfigure(mailbox_transport="error:gone away")
    qid = local.send("alice")
    line = local.m.wait_log(f"{qid}: to=.*status=bounced", program="error")
    assert line.reason == "gone away"
    local.m.wait_log("sender non-delivery notification")


@pytest.mark.users("alice", "bob")
def test_luser_relay(mta):
    local = gp.Local(mta, {"luser_relay": "bob+$local", "recipient_delimiter": "+"})
    assert local.outcome("nouser+x") == [
        "bob+nouser+x<nouser+x sent 2.0.0 delivered to mailbox"]
    local.reconfigure(luser_relay="$user@far.test")
    assert local.outcome("nouser+x") == ["nouser+x sent 2.0.0 forwarded as QID"]
    assert local.m.wait_log("status=deferred").to == "<nouser@far.test>"


@pytest.mark.users("alice")
def test_names_that_must_not_bounce(mta):
    local = gp.Local(mta)
    for name in ("postmaster", "MAILER-DAEMON"):
        assert local.outcome(name) == [f"{name} sent 2.0.0 discarded"]
        local.m.wait_log(f"warning: required alias not found: {name.lower()}")
