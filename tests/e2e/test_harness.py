"""The harness itself: proven on whatever mail system is there."""
import pytest

import gp

RELAY = {"relayhost": "[127.0.0.2]:25"}
MESSAGE = "From: a@client.test\nTo: b@far.test\nSubject: one\n\nhello\n.dot\n"


def test_relay_by_smtp(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    with m.smtp() as client:
        assert client.banner.text.startswith("220 mx.gate.test ESMTP")
        reply = client.mail("a@client.test", "b@far.test", MESSAGE)
        assert reply.text.startswith("250 2.0.0 Ok: queued as ")
        client.quit()
    (message,) = server.wait(1)
    assert message.sender == "a@client.test" and message.recipients == ["b@far.test"]
    assert message.text.endswith("\nhello\n.dot\n")
    line = m.wait_log("status=sent")
    assert line.program == "smtp" and line.to == "<b@far.test>" and line.status == "sent"
    assert line.relay == "127.0.0.2[127.0.0.2]:25"
    m.wait_log("removed")
    m.wait_empty()


def test_submission_by_sendmail(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    m.sendmail("-f", "a@client.test", "b@far.test", input="Subject: two\n\nhello\n")
    (message,) = server.wait(1)
    assert message.header("Subject") == ["two"] and message.text.endswith("\n\nhello\n")
    assert m.wait_log("removed").program == "qmgr"


@pytest.mark.users("alice")
def test_maildir_delivery(mta):
    m = mta({"home_mailbox": "Maildir/"})
    with m.smtp() as client:
        client.mail("a@client.test", "alice@mx.gate.test", MESSAGE)
    (text,) = m.wait_maildir("alice")
    assert text.startswith("Return-Path: <a@client.test>\n")
    assert m.wait_log("status=sent").reason == "delivered to maildir"


def test_mx_from_dns(mta, sink, dns):
    server = sink("192.0.2.9", 25)
    dns({"far.test": "@ MX 10 mail\nmail A 192.0.2.9\n"})
    m = mta()
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", MESSAGE)
    server.wait(1)
    assert m.wait_log("status=sent").relay == "mail.far.test[192.0.2.9]:25"


@pytest.mark.hosts("192.0.2.7 outside.test\n")
def test_outside_client_is_refused_relaying(mta):
    m = mta()
    with m.smtp(source="192.0.2.7") as client:
        client.ehlo()
        client.cmd("MAIL FROM:<a@outside.test>", 250)
        assert client.cmd("RCPT TO:<b@far.test>") == \
            "454 4.7.1 <b@far.test>: Relay access denied"
    line = m.wait_log("reject: RCPT")
    assert line.qid == "NOQUEUE" and "outside.test[192.0.2.7]" in line.text


def test_deferred_mail_is_listed(mta, sink):
    sink("127.0.0.2", 25, replies={"RCPT": "450 4.2.0 come back later"})
    m = mta(RELAY)
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", MESSAGE)
    line = m.wait_log("status=deferred")
    assert "450 4.2.0 come back later (in reply to RCPT TO command)" in line.reason
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
    (entry,) = m.postqueue()
    assert entry["queue_id"] == line.qid and entry["queue_name"] == "deferred"
    assert dict(gp.records(m.queue()[0].path))["S"] == b"a@client.test"


def test_trouble_is_noticed(sandbox):
    class Loud(gp.Gatepost):
        prepare = available = lambda self: None
        command_directory = daemon_directory = "/nonexistent"

    system = Loud(sandbox)
    with open(system.logfile, "w") as f:
        f.write("Nov 23 06:00:00 mx postfix/qmgr[1]: panic: the impossible\n")
    assert len(system.trouble()) == 1
    system.allow("panic: the imp")
    assert not system.trouble()
