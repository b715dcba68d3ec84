"""The same input to Gatepost and to the peer: same replies, same log, same mail. Only
names, ids and times may differ."""
import re

import pytest

import gp

RELAY = {"relayhost": "[127.0.0.2]:25"}
MESSAGE = ("From: a@client.test\nTo: b@far.test\nSubject: one\n"
           "Message-ID: <1@client.test>\nDate: Mon, 23 Nov 2026 06:00:00 +0000\n\nhello\n")


def settled(m):
    """Wait until the queue is empty and the log has been written."""
    m.wait_log(": removed")
    m.wait_empty()
    return m


def blank(text):
    """Message text without ids, dates, versions and the names of the two systems."""
    text = re.sub(r"(id )[0-9A-Za-z]{8,}", r"\1QID", text)
    text = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)", "DATE", text)
    text = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "DATE", text)
    text = re.sub(r"\d{14}\.[0-9A-Za-z]+@", "ID@", text)
    text = re.sub(r"\([\w ]*userid \d+\)|from userid \d+", "USERID", text)
    text = re.sub(r"[0-9A-F]+\.\d+/", "BOUNDARY/", text)
    text = re.sub(r"X-Postfix-Queue-ID: \w+", "X-Postfix-Queue-ID: QID", text)
    return re.sub(r"\(Postfix[^)]*\)|\(Gatepost[^)]*\)", "(MTA)", text)


def test_relayed_message(like_peer, sink):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        with m.smtp() as client:
            client.mail("a@client.test", ["b@far.test", "c@far.test"], MESSAGE)
            client.quit()
        settled(m)
        m.wait_log("disconnect from")
        message = server.messages[-1]
        return (m.normal_log(), message.sender, message.recipients, blank(message.text), server.sessions[-1].commands[1:])

    log, *_ = like_peer(scenario, RELAY)
    assert any("status=sent" in line for line in log)


def test_submitted_message(like_peer, sink):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        m.sendmail("-f", "a@client.test", "-t", input="To: b@far.test\nSubject: two\n\nhi\n")
        settled(m)
        return m.normal_log(), blank(server.messages[-1].text)

    like_peer(scenario, RELAY)


@pytest.mark.users("alice")
def test_local_delivery(like_peer):
    def scenario(m):
        before = len(m.maildir("alice"))
        with m.smtp() as client:
            client.mail("a@client.test", "alice@mx.gate.test", MESSAGE)
            client.quit()
        settled(m)
        m.wait_log("disconnect from")
        return m.normal_log(), [blank(text) for text in m.maildir("alice")[before:]]

    _, texts = like_peer(scenario, {"home_mailbox": "Maildir/"})
    assert len(texts) == 1


DIALOGUES = {
    "order": ["MAIL FROM:<a@client.test>", "HELO client.test", "RCPT TO:<b@far.test>", "DATA",
              "MAIL FROM:<a@client.test>", "MAIL FROM:<a@client.test>", "DATA", "RSET",
              "RCPT TO:<b@far.test>", "QUIT"],
    "syntax": ["EHLO", "EHLO client.test", "MAIL", "MAIL FROM:", "MAIL FROM:<a@client.test",
               "MAIL FROM:<a@client.test> NONSENSE=1", "MAIL FROM:<a@client.test> SIZE=x",
               "MAIL FROM:<>",
               "RCPT TO:<>", "RCPT TO:", "RCPT TO:<b@far.test> X=Y", "RSET",
               "MAIL FROM:<a@client.test> SIZE=99999999999", "QUIT"],
    "ehlo": ["EHLO client.test", "NOOP", "NOOP x", "VRFY b@far.test", "EXPN list",
             "FOO", "RSET", "RSET x", "QUIT x", "QUIT"],
    "sizes": ["EHLO client.test", "MAIL FROM:<a@client.test> SIZE=100 BODY=8BITMIME",
              "RCPT TO:<b@far.test>", "DATA", ("data", "Subject: x\n\n..\n.\nend\n"), "QUIT"],
    "dsn": ["EHLO client.test", "MAIL FROM:<a@client.test> RET=HDRS ENVID=x1",
            "RCPT TO:<b@far.test> NOTIFY=NEVER ORCPT=rfc822;b@far.test",
            "RCPT TO:<b@far.test> NOTIFY=NEVER,SUCCESS", "RCPT TO:<b@far.test> NOTIFY=X",
            "RSET", "MAIL FROM:<a@client.test> RET=X", "QUIT"],
    "addresses": ["EHLO client.test", "MAIL FROM:a@client.test",
                  "RCPT TO:b@far.test", "RCPT TO:<@x,@y:b@far.test>",
                  "RCPT TO:<\"b c\"@far.test>", "RCPT TO:<b>", "RCPT TO:<postmaster>",
                  "RCPT TO:<nobody-such@mx.gate.test>", "RCPT TO:<b@[127.0.0.1]>",
                  "RCPT TO:<b%far.test@mx.gate.test>", "RCPT TO:<b@far@test>", "QUIT"],
}


def without_later_keywords(reply):
    """An EHLO reply without what Gatepost does not do yet, and its last line marked
    like the others."""
    if "\n" not in reply:
        return reply
    return re.sub(r"\n250[- ](ETRN|SMTPUTF8|CHUNKING)\b.*", "", reply).replace("\n250 ", "\n250-")


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(like_peer, sink, name):
    sink("127.0.0.2", 25)

    def scenario(m):
        with m.smtp() as client:
            replies = gp.converse(client, DIALOGUES[name])
        m.wait_log("disconnect from")
        return list(map(without_later_keywords, replies)), m.normal_log("smtpd")

    like_peer(scenario, RELAY)


def test_bounce(like_peer, sink):
    """A refused recipient: the report to the sender."""
    server = sink("127.0.0.2", 25, replies={
        "RCPT": lambda _, arg: "550 5.1.1 no such user" if "nouser" in arg else None})

    def scenario(m):
        count = len(server.messages)
        with m.smtp() as client:
            client.mail("a@client.test", "nouser@far.test", MESSAGE)
            client.quit()
        server.wait(count + 1)
        m.wait_log(": removed", count=2)
        m.wait_log("disconnect from")
        report = server.messages[-1]
        head, human, *parts = blank(report.text).split("--BOUNDARY/")
        assert "<nouser@far.test>: host 127.0.0.2[127.0.0.2] said: 550 5.1.1" in human
        return m.normal_log(), report.sender, report.recipients, head, parts

    like_peer(scenario, RELAY)


def test_deferred(like_peer, sink):
    sink("127.0.0.2", 25, replies={"RCPT": "450 4.2.0 later"})

    def scenario(m):
        with m.smtp() as client:
            client.mail("a@client.test", "b@far.test", MESSAGE)
            client.quit()
        m.wait_log("status=deferred")
        m.wait_log("disconnect from")
        m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
        (entry,) = m.postqueue()
        entry = {k: v for k, v in entry.items() if k not in ("queue_id", "arrival_time")}
        return m.normal_log(), entry

    like_peer(scenario, RELAY)
