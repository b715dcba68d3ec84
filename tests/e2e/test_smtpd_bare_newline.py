"""Lines that end in LF alone, in commands and in content."""
import re

import pytest

import gp

EHLO = b"EHLO x\r\n"
START = [EHLO, b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n"]
QUIT = b"QUIT\r\n"
CONTENTS = [
    b"hi\nthere\n..x\r\n.\r\n",
    b"hi\r\nfoo\n..\nz\r.\r\nz\r\n.\r\n",
    b"hi\nthere\n.\nfoo\r\n.\nbar\n.\r\nbaz\r\n.\r\n",
    b"hi\r\nthere\r\n..\r\n...x\r\n.foo\r\nb\rc\r\n\r\r\nd\r\n.\r\n",
    b".\r\n",
    b"..\r\n.\r\n",
]


def body(m):
    m.wait_queue(lambda files: len(files) == 1)
    (entry,) = m.queue()
    rows = [data.decode() for kind, data in gp.records(entry.path) if kind in "NL"]
    return [row for row in rows if not re.match(r"Received:|\t|Message-Id:|Date:|From:", row)]


def settings(mode):
    return {"smtpd_forbid_bare_newline": mode, "smtpd_forbid_bare_newline_exclusions": "",
            "relayhost": "[127.0.0.2]:25", "defer_transports": "smtp"}


@pytest.mark.parametrize("content", range(len(CONTENTS)))
@pytest.mark.parametrize("mode", ["yes", "normalize"])
def test_content_normalized(like_peer, mode, content):
    def scenario(m):
        with m.smtp() as client:
            replies = gp.converse(client, [*START, CONTENTS[content], QUIT])
        m.wait_log("disconnect from")
        return replies, body(m), m.normal_log("smtpd")

    like_peer(scenario, settings(mode))


@pytest.mark.parametrize("content", [0, 1, 3])
def test_content_as_of_old(like_peer, content):
    def scenario(m):
        with m.smtp() as client:
            replies = gp.converse(client, [*START, CONTENTS[content], QUIT])
        return replies, body(m)

    like_peer(scenario, settings("no"))


def test_commands_without_cr(like_peer):
    script = [line.replace(b"\r", b"") for line in [*START, b"", QUIT]]
    script[4] = b"hi\n.\r\n\r\n.\r\n"

    def scenario(m):
        with m.smtp() as client:
            replies = gp.converse(client, script)
        m.wait_log("disconnect from")
        return replies, m.normal_log("smtpd")

    like_peer(scenario, settings("normalize"))


@pytest.mark.parametrize("script", [
    [b"NOOP\r\n", b"EHLO x\n", QUIT],
    [EHLO, b"MAIL FROM:<a@b>\n", QUIT],
    [*START, b"a\nb\r\n.\r\n", b"NOOP\r\n", QUIT],
    [*START, b"a\r\n.\nQUIT\r\n.\r\n", QUIT],
    [*START, b"a\r\nb\r\n.\r\n", QUIT],
])
def test_rejected(like_peer, script):
    def scenario(m):
        with m.smtp() as client:
            replies = gp.converse(client, script)
        m.wait_log("disconnect from")
        return replies, m.normal_log("smtpd")

    like_peer(scenario, settings("reject"))


def test_networks_are_excepted(like_peer):
    def scenario(m):
        with m.smtp() as client:
            return gp.converse(client, [*START, b"a\n.\n", QUIT])

    like_peer(scenario, {**settings("reject"),
                         "smtpd_forbid_bare_newline_exclusions": "127.0.0.0/8"})


def test_smuggled_message_stays_one(gatepost):
    """The default: LF . CRLF hides no second message from anybody."""
    m = gatepost({"relayhost": "[127.0.0.2]:25", "defer_transports": "smtp",
                  "mynetworks": "127.0.0.0/8"})
    attack = (b"Subject: one\r\n\r\nhello\n.\r\nMAIL FROM:<evil@b>\r\nRCPT TO:<x@y>\r\n"
              b"DATA\r\nSubject: two\r\n\r\n.\r\n")
    m.configure({"smtpd_forbid_bare_newline_exclusions": ""})
    m.reload()
    with m.smtp() as client:
        replies = gp.converse(client, [*START, attack, QUIT])
    assert replies[-2].startswith("250 2.0.0 Ok: queued as")
    assert replies[-1] == "221 2.0.0 Bye"
    m.wait_queue(lambda files: files)
    assert len(m.queue()) == 1


def test_noted(gatepost):
    m = gatepost({**settings("note")})
    with m.smtp() as client:
        gp.converse(client, [EHLO, b"NOOP\n", QUIT])
    m.wait_log("commands=3 notes=bare_lf")
