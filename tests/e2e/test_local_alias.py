"""Aliases: what they expand to, whose sender and rights they use, where they end."""
import os

import pytest

import gp

ALIASES = """
one: alice
two: alice, bob
nested: two, carol
again: alice, ALICE, two, Alice@mx.gate.test
remote: x@far.test, alice, y@far.test
own: alice, bob
owner-own: carol
self: self
carol: carol, bob
backslash: \\alice
names: "Alice A." <alice>, bob (the other), alice@mx.gate.test
nosuch: nobody1, alice
ring1: ring2
ring2: ring1
ring3: ring4
ring4: ring5, alice
ring5: ring4
quoted: "odd name"
inc: :include:WORK/inc
incbad: :include:WORK/missing
incself: :include:WORK/incself
partly: bob, "|exit 75"
postmaster2: postmaster
""" + "".join(f"n{i}: n{i + 1}\n" for i in range(1, 40)) + "n40: alice\n"

MAILBOX = "sent 2.0.0 delivered to mailbox"
FORWARD = "sent 2.0.0 forwarded as QID"
EXPECTED = {
    "one": ["alice<one " + MAILBOX],
    "two": ["alice<two " + MAILBOX, "bob<two " + MAILBOX],
    "nested": [f"{u}<nested {MAILBOX}" for u in ("alice", "bob", "carol")],
    "again": ["alice<again " + MAILBOX, "bob<again " + MAILBOX],
    "remote": ["alice<remote " + MAILBOX, "remote " + FORWARD],
    "own": ["own " + FORWARD],
    "self": ['self bounced 5.1.1 unknown user: "self"'],
    "carol": ["carol " + MAILBOX, "bob<carol " + MAILBOX],
    "backslash": ["alice<backslash " + MAILBOX],
    "names": ["alice<names " + MAILBOX, "bob<names " + MAILBOX],
    "nosuch": ['nobody1<nosuch bounced 5.1.1 unknown user: "nobody1"',
               "alice<nosuch " + MAILBOX],
    "ring1": ["ring2<ring1 bounced 5.4.6 alias database loop for ring2"],
    "ring3": ["ring4<ring3 bounced 5.4.6 alias database loop for ring4",
              "alice<ring3 " + MAILBOX],
    "quoted": ['"odd name"<quoted bounced 5.1.1 unknown user: "odd name"'],
    "inc": ["inc bounced 5.7.1 mail to command is restricted",
            "inc bounced 5.7.1 mail to file is restricted", "inc " + FORWARD],
    "incbad": ["incbad bounced 5.3.5 mail system configuration error"],
    "incself": ["incself " + FORWARD],
    "partly": ["bob<partly " + MAILBOX, "partly deferred 4.3.0 temporary failure"],
    "postmaster2": ["postmaster<postmaster2 sent 2.0.0 discarded"],
    "n1": ["n26<n1 bounced 5.4.6 alias database loop for n26"],
    "NoUser": ['NoUser bounced 5.1.1 unknown user: "nouser"'],
    "ALICE": ["ALICE " + MAILBOX],
    "root": ["root " + MAILBOX],
}


@pytest.mark.users("alice", "bob", "carol")
def test_expansion(mta):
    local = gp.Local(mta, aliases=ALIASES)
    local.put("alice", f"{local.work}/inc", '# all\nalice (x)\n\n "|cat"\n bob <bob>, /tmp/x\n')
    local.put("alice", f"{local.work}/incself", "incself\n")
    found = {rcpt: local.outcome(rcpt) for rcpt in EXPECTED}
    for rcpt in EXPECTED:
        assert sorted(found[rcpt]) == sorted(EXPECTED[rcpt]), rcpt
    local.m.wait_log("mail forwarding loop for incself@mx.gate.test")


@pytest.mark.users("alice", "bob", "carol")
def test_forwarded_message(mta):
    local = gp.Local(mta, aliases=ALIASES)
    local.outcome("remote", message="Subject: t\n\nhello\n\n")
    fwd = local.forwarded("to=<remote@")
    assert local.m.log("qmgr", "from=<s@client.test>, size=\\d+, nrcpt=2", fwd)
    local.m.wait_queue(lambda files: any(f.qid == fwd for f in files if f.queue == "deferred"))
    (path,) = [f.path for f in local.m.queue("deferred") if f.qid == fwd]
    records = gp.records(path)
    assert [d for t, d in records if t == "R"] == [b"x@far.test", b"y@far.test"]
    assert [d for t, d in records if t == "O"] == [b"remote@mx.gate.test"] * 2
    lines = [d.decode() for t, d in records if t == "N"]
    assert lines[0] == "Received: by mx.gate.test (Postfix)"
    assert lines[1].startswith(f"\tid {fwd}; ")
    assert lines[2] == "Delivered-To: remote@mx.gate.test"
    assert lines[3].startswith("Received: from client.test")


@pytest.mark.users("alice", "bob", "carol")
def test_list_owner_becomes_the_sender(mta):
    local = gp.Local(mta, aliases=ALIASES)
    local.outcome("own")
    fwd = local.forwarded("to=<own@")
    local.m.wait_log("removed", program="qmgr", count=2)
    assert local.m.log("qmgr", "from=<owner-own@mx.gate.test>", fwd)
    assert local.told(fwd) and all("<" not in text for text in local.told(fwd))
    (message,) = gp.mbox(local.spool("alice"))
    assert message["Return-Path"] == "<owner-own@mx.gate.test>"
    assert message["X-Original-To"] == "alice@mx.gate.test"
    assert message.get_all("Delivered-To") == ["alice@mx.gate.test", "own@mx.gate.test"]


@pytest.mark.users("alice", "bob", "carol")
def test_expanded_owner_alias(mta):
    local = gp.Local(mta, {"expand_owner_alias": True}, aliases=ALIASES)
    local.outcome("own")
    assert local.m.log("qmgr", "from=<carol@mx.gate.test>", local.forwarded("to=<own@"))


@pytest.mark.users("alice", "bob")
def test_extensions(mta):
    local = gp.Local(mta, {"recipient_delimiter": "+"},
                     aliases="list: alice, bob+x, z@far.test\nlist+only: alice\n")
    assert local.outcome("list+only") == ["alice<list+only " + MAILBOX]
    assert local.outcome("alice+ext") == ["alice+ext " + MAILBOX]
    assert local.outcome("list+e") == [
        "alice<list+e " + MAILBOX, "bob+x<list+e " + MAILBOX, "list+e " + FORWARD]
    local.reconfigure(propagate_unmatched_extensions="alias")
    assert local.outcome("list+e") == [
        "alice+e<list+e " + MAILBOX, "bob+x+e<list+e " + MAILBOX, "list+e " + FORWARD]
    assert local.outcome("list+only") == ["alice<list+only " + MAILBOX]


@pytest.mark.users("alice", "bob")
def test_delivered_to_loops(mta):
    local = gp.Local(mta, aliases="one: alice\ntwo: one, bob\ntofile: WORK/file\n")

    def loop(rcpt, name):
        return local.outcome(rcpt, message=f"Delivered-To: {name}\nSubject: x\n\nfoo\n")

    def error(name):
        return f"bounced 5.4.6 mail forwarding loop for {name}@mx.gate.test"

    assert loop("one", "one@mx.gate.test") == ["one " + error("one")]
    assert loop("one", "alice@mx.gate.test") == ["alice<one " + error("alice")]
    assert loop("two", "one@mx.gate.test") == [
        "one<two " + error("one"), "bob<two " + MAILBOX]
    assert loop("tofile", "tofile@mx.gate.test") == ["tofile " + error("tofile")]
    assert loop("ALICE", "alice@mx.gate.test") == ["ALICE " + error("ALICE")]
    assert local.outcome("alice", message="Subject: x\n\nDelivered-To: "
                         "alice@mx.gate.test\n") == ["alice " + MAILBOX]


@pytest.mark.users("alice", "bob")
def test_success_report_says_expanded(mta):
    local = gp.Local(mta, aliases="two: alice, bob\n")
    with local.m.smtp() as c:
        c.ehlo()
        c.cmd("MAIL FROM:<bob@mx.gate.test>", 250)
        c.cmd("RCPT TO:<two@mx.gate.test> NOTIFY=SUCCESS,FAILURE", 250)
        c.cmd("DATA", 354)
        c.send("Subject: x\r\n\r\nhi\r\n.\r\n")
        qid = c.reply().text.rpartition(" ")[2]
    local.told(qid)
    local.m.wait_log("sender delivery status notification")
    local.m.wait_empty()
    report = gp.mbox(local.spool("bob"))[-1].get_payload()[1].as_string()
    assert report.count("Action: ") == 1 and "Action: expanded" in report
    assert "Final-Recipient: rfc822; two@mx.gate.test" in report
    assert "Diagnostic-Code: X-Postfix; delivery via local: alias expanded" in report


@pytest.mark.users("alice")
def test_missing_alias_table_defers(mta):
    local = gp.Local(mta, {"alias_maps": "texthash:/nonexistent"})
    local.m.allow("error: .*nonexistent")
    assert local.outcome("alice") == ["alice deferred 4.3.0 alias database unavailable"]


@pytest.mark.users("alice", "bob")
def test_address_probe_delivers_nothing(gatepost):
    local = gp.Local(gatepost, aliases='many: alice, x@far.test, "|touch WORK/ran", WORK/f\n')
    if not os.path.lexists(local.m.path("sendmail")):
        pytest.skip("no sendmail command")
    local.m.sendmail("-bv", "many")
    local.m.wait_log("delivers to file")
    briefs = sorted(f"{line.to} {line.status} {line.reason}" for line in
                    local.m.log("local", "deliverable"))
    assert briefs == sorted([
        "<alice@mx.gate.test> deliverable delivers to mailbox",
        f"<many@mx.gate.test> deliverable delivers to command: touch {local.work}/ran",
        f"<many@mx.gate.test> deliverable delivers to file: {local.work}/f",
        "<x@far.test> deliverable forwards to x@far.test"])
    assert not os.listdir(local.work) and not gp.mbox(local.spool("alice"))
