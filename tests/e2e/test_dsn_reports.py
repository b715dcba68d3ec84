"""Delivery status notifications: who gets one, of what form, and what it says, beside
the peer. The text for people is in our own words: it is left out."""
import re

import pytest

from test_like_peer import blank

HEAD = ("From: a@client.test\nTo: b@far.test\nSubject: one\nMessage-ID: <1@client.test>\n"
        "Date: Mon, 23 Nov 2026 06:00:00 +0000\n\n")
MESSAGE = HEAD + "hello\n"
RELAY = {"relayhost": "[127.0.0.2]:25"}
SCAN = {"qmgr/unix": "qmgr unix n - n 2 1 qmgr"}


def answer(_, argument):
    if "bad" in argument:
        return "550 5.1.1 no such user"
    return "450 4.2.0 later" if "<slow" in argument else None


@pytest.fixture
def server(sink):
    return sink("127.0.0.2", 25, replies={"RCPT": answer}, ehlo=("PIPELINING", "8BITMIME"))


def without_human_text(text):
    """Parts of a report but for the words of the first, where only the paragraphs about
    recipients are kept."""
    first, human, *rest = blank(text).split("\n--BOUNDARY/")
    human = "\n".join(p for p in map(str.strip, human.split("\n\n")) if p.startswith("<"))
    parts = [re.sub(r"\n {2,}", " ", part) for part in (first, human, *rest)]
    return [re.sub(r"queued as \w+", "queued as QID", part) for part in parts]


def submit(m, mail, rcpts, text=MESSAGE):
    """mail: "<a@b> RET=FULL"; rcpts: the same, one each."""
    with m.smtp() as client:
        client.ehlo()
        client.cmd("MAIL FROM:" + mail, 250)
        for rcpt in rcpts:
            client.cmd("RCPT TO:" + rcpt, 250)
        client.cmd("DATA", 354)
        client.data(text)
        client.quit()


def reports(m, server, count, mail, rcpts, text=MESSAGE, sent=0):
    """Send one message; the notifications that came of it, and the log of bounce."""
    before = len(server.messages)
    submit(m, mail, rcpts, text)
    server.wait(before + count + sent)
    m.wait_log("removed|status=deferred", count=count + 1)
    found = sorted((r for r in server.messages[before:] if r.sender != "a@client.test"
                    or r.recipients[0].startswith("post")), key=lambda r: r.recipients)
    assert len(found) == count, [r.recipients for r in found]
    return ([(r.sender, r.recipients, r.mail_args.split("SIZE")[0], without_human_text(r.text))
             for r in found],
            [row for row in m.normal_log("bounce") if "warning" not in row])


BAD = ["<bad@far.test>"]
FAILURES = {
    "plain": ("<a@client.test>", BAD),
    "full": ("<a@client.test> RET=FULL", BAD),
    "headers": ("<a@client.test> RET=HDRS", BAD),
    "envid": ("<a@client.test> ENVID=abc+2Bdef+3D1", BAD),
    "orcpt": ("<a@client.test>", ["<bad@far.test> ORCPT=rfc822;other+2B1@else.test"]),
    "several": ("<a@client.test>", ["<bad1@far.test>", "<bad2@far.test> NOTIFY=FAILURE",
                                    "<bad3@far.test> NOTIFY=SUCCESS,FAILURE"]),
    "some-quiet": ("<a@client.test>", ["<bad1@far.test>", "<bad2@far.test> NOTIFY=NEVER",
                                       "<bad3@far.test> NOTIFY=SUCCESS",
                                       "<bad4@far.test> NOTIFY=DELAY"]),
    "quoted": ('<"a b"@client.test>', ['<"bad one"@far.test> ORCPT=rfc822;x@y.test']),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failure(like_peer, server, name):
    mail, rcpts = FAILURES[name]
    like_peer(lambda m: reports(m, server, 1, mail, rcpts), RELAY)


def test_some_delivered(like_peer, server):
    like_peer(lambda m: reports(m, server, 1, "<a@client.test>",
                                ["<bad@far.test>", "<good@far.test>"], sent=1), RELAY)


def test_eight_bit_original(like_peer, server):
    text = HEAD.replace("\n\n", "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                                "Content-Transfer-Encoding: 8bit\n\n") + "gr\u00fc\u00dfe\n"
    like_peer(lambda m: reports(m, server, 1, "<a@client.test> BODY=8BITMIME", BAD, text), RELAY)


def test_large_original(like_peer, server):
    """Beyond bounce_size_limit only the headers go back."""
    like_peer(lambda m: reports(m, server, 1, "<a@client.test>", BAD,
                                HEAD + "0123456789\n" * 300),
              {**RELAY, "bounce_size_limit": "2000"})


def test_expanded_recipient(like_peer, server):
    def scenario(m):
        m.table("virtual", {"list@far.test": "bad1@far.test, bad2@far.test"})
        return reports(m, server, 1, "<a@client.test>", ["<list@far.test>"])
    like_peer(scenario, {**RELAY, "virtual_alias_maps": "texthash:$config_directory/virtual"})


def test_no_report_wanted(like_peer, server):
    def scenario(m):
        submit(m, "<a@client.test>", ["<bad@far.test> NOTIFY=NEVER"])
        m.wait_log("removed")
        m.wait_empty()
        return m.normal_log("bounce", "qmgr")
    like_peer(scenario, RELAY)


def test_null_sender(like_peer, server):
    def scenario(m):
        submit(m, "<>", BAD)
        m.wait_log("removed")
        m.wait_empty()
        return m.normal_log("bounce", "qmgr")
    like_peer(scenario, RELAY)


NOTIFY = {**RELAY, "notify_classes": "bounce, 2bounce, delay",
          "bounce_notice_recipient": "post1@far.test", "2bounce_notice_recipient": "post2@far.test",
          "delay_notice_recipient": "post3@far.test"}


def test_postmaster_copy(like_peer, server):
    like_peer(lambda m: reports(m, server, 2, "<a@client.test>", BAD), NOTIFY)


def test_double_bounce(like_peer, server):
    like_peer(lambda m: reports(m, server, 1, "<>", BAD), NOTIFY)


def test_undeliverable_postmaster_copy(like_peer, server):
    def scenario(m):
        submit(m, "<>", BAD)
        m.wait_log("removed", count=2)
        m.wait_empty()
        return m.normal_log("bounce", "qmgr", "smtp")
    like_peer(scenario, {**NOTIFY, "2bounce_notice_recipient": "bad@far.test"})


def test_bounce_of_bounce(like_peer, server):
    def scenario(m):
        submit(m, "<bad@client.test>", BAD)
        m.wait_log("removed", count=2)
        m.wait_empty()
        return m.normal_log("bounce", "qmgr", "smtp")
    like_peer(scenario, RELAY)


def test_success(like_peer, server):
    like_peer(lambda m: reports(m, server, 1, "<a@client.test> ENVID=x1",
                                ["<good@far.test> NOTIFY=SUCCESS"], sent=1), RELAY)


def test_success_is_left_to_a_server_with_dsn(like_peer, sink):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        before = len(server.messages)
        submit(m, "<a@client.test> ENVID=x1 RET=HDRS",
               ["<good@far.test> NOTIFY=SUCCESS ORCPT=rfc822;x+2By@z.test"])
        m.wait_log("removed")
        (message,) = server.messages[before:]
        return m.normal_log("bounce", "qmgr", "smtp"), message.mail_args, message.rcpt_args
    like_peer(scenario, RELAY)


@pytest.mark.users("alice")
def test_success_of_local_delivery(like_peer, server):
    like_peer(lambda m: reports(m, server, 1, "<a@client.test>",
                                ["<alice@mx.gate.test> NOTIFY=SUCCESS"]),
              {**RELAY, "home_mailbox": "Maildir/"})


def test_delay(like_peer, server):
    def scenario(m):
        before = len(server.messages)
        submit(m, "<a@client.test>", ["<slow@far.test>", "<slow2@far.test> NOTIFY=FAILURE"])
        m.wait_log("sender delay notification", timeout=30)
        report = server.wait(before + 1)[before]
        return without_human_text(report.text), report.sender, report.recipients
    like_peer(scenario, {**RELAY, "delay_warning_time": "1s", "queue_run_delay": "1s",
                         "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}, SCAN)


@pytest.mark.parametrize("option", ["-bv", "-v"])
def test_status_report(like_peer, server, option):
    """sendmail -bv and -v: what happened, by mail to the sender. -bv delivers nothing."""
    def scenario(m):
        before = len(server.messages)
        m.sendmail(option, "-f", "a@client.test", "good@far.test", "bad@far.test", input=MESSAGE)
        m.wait_log("sender delivery status notification")
        m.wait_log("removed", count=2)
        m.wait_empty()
        found = [r for r in server.messages[before:] if r.sender == ""]
        assert len(server.messages) == before + len(found) + (option == "-v")
        fields = (map(str.strip, without_human_text(r.text)[2].split("\n\n")) for r in found)
        return sorted(map(sorted, fields)), [
            row for row in m.normal_log("bounce", "qmgr", "smtp")]
    like_peer(scenario, RELAY)


def test_status_report_only_once(like_peer, sink):
    """Of the attempts of "sendmail -v" the first is reported."""
    closed = [True]
    server = sink("127.0.0.2", 25, replies={
        "RCPT": lambda _, arg: "450 4.2.0 later" if closed[0] and "slow" in arg else None})

    def scenario(m):
        before = len(server.messages)
        closed[0] = True
        m.sendmail("-v", "-f", "a@client.test", "slow@far.test", input=MESSAGE)
        m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
        server.wait(before + 1)
        closed[0] = False
        m.flush()
        server.wait(before + 2)
        m.wait_empty()
        return [r.recipients for r in server.messages[before:]]
    like_peer(scenario, RELAY)


TEMPLATE = """# comment
failure_template = <<EOF
Charset: utf-8
From: The Mailer <mailer@client.test>
Subject: No luck
Postmaster-Subject: Copy: no luck

Sorry from $myhostname, $mydomain: ${mail_name}
 $$ and $maximal_queue_lifetime_hours hours, $delay_warning_time_minutes minutes

EOF

delay_template = <<END
Charset: us-ascii
From: MAILER-DAEMON (Mail Delivery System)
Subject: Slow
Postmaster-Subject: Copy: slow

Waiting.
END
"""


def test_templates(like_peer, server):
    def scenario(m):
        m.write("bounce.cf", TEMPLATE)
        before = len(server.messages)
        submit(m, "<a@client.test>", BAD)
        m.wait_log("removed", count=2)
        report = server.messages[before]
        return blank(report.text)
    text = like_peer(scenario, {**RELAY, "bounce_template_file": "$config_directory/bounce.cf",
                                "delay_warning_time": "2h", "mail_name": "Postfix"})
    assert "Subject: No luck" in text and "Sorry from mx.gate.test" in text


def test_soft_bounce_returns_nothing(like_peer, server):
    def scenario(m):
        submit(m, "<a@client.test>", BAD)
        m.wait_log("status=")
        m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
        return m.normal_log("bounce", "qmgr", "smtp")
    like_peer(scenario, {**RELAY, "soft_bounce": "yes"})
