"""Content in chunks (RFC 3030)."""
import pytest

import gp
from test_smtpd_policy import replies_and_log

HELD = {"relayhost": "[127.0.0.2]:25", "defer_transports": "smtp",
        "message_size_limit": "3000", "line_length_limit": "512"}
START = ["EHLO client.test", "MAIL FROM:<a@b>", "RCPT TO:<c@d>"]
GOOD = {
    "one": [b"BDAT 5 LAST\r\nabc\r\n"],
    "no line end": [b"BDAT 3 LAST\r\nabc"],
    "pieces of lines": [b"BDAT 3\r\nabc", b"BDAT 3\r\nd\r\n", b"BDAT 2 LAST\r\ne\n"],
    "CR and LF apart": [b"BDAT 4\r\nabc\r", b"BDAT 3 LAST\r\n\nd\n"],
    "empty last": [b"BDAT 5\r\nabc\r\n", b"BDAT 0 LAST\r\n"],
    "dots": [b"BDAT 9 LAST\r\n.\r\n..\r\n.\n"],
    "header": [b"BDAT 13\r\nSubject: hi\r\n", b"bdat 4 last\r\n\r\nx\n"],
    "long line": [b"BDAT 700\r\n" + b"x" * 700, b"BDAT 700 LAST\r\n" + b"y" * 700],
}


def lines(m):
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
    (entry,) = m.queue()
    text = b"".join(data + (b"\n" if kind == "N" else b"")
                    for kind, data in gp.records(entry.path) if kind in "NL")
    return [row for row in text.decode().split("\n")
            if not row.startswith(("Received:", "\t", "Message-Id:", "Date:"))]


@pytest.mark.parametrize("name", GOOD)
def test_accepted(like_peer, name):
    def scenario(m):
        replies, log = replies_and_log(m, [*START, *GOOD[name], "QUIT"])
        if name == "long line":  # the peer counts a line end for each piece of it
            replies = [text.partition(" bytes queued")[0][:10] for text in replies]
        return replies, log, lines(m)

    like_peer(scenario, HELD)


BAD = {
    "no recipient": [START[0], b"BDAT 3\r\nabc", "MAIL FROM:<a@b>", b"BDAT 3\r\nabc",
                     b"BDAT 3 LAST\r\nabc", "RSET", "MAIL FROM:<a@b>", b"BDAT 1\r\nx", "QUIT"],
    "out of order": [*START, b"BDAT 3\r\nabc", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA",
                     "NOOP", "RSET", "DATA", "QUIT"],
    "greeting in between": [*START, b"BDAT 3\r\nabc", "EHLO x", b"BDAT 1\r\na", "QUIT"],
    "quit in between": [*START, b"BDAT 3\r\nabc", "QUIT"],
    "nothing": [*START, "BDAT 0", "BDAT 0 LAST", "QUIT"],
    "chunk too big": [*START, b"BDAT 3001\r\n" + b"x" * 3001, b"BDAT 1 LAST\r\nx", "QUIT"],
    "sum too big": [*START, b"BDAT 2000\r\n" + (b"x" * 98 + b"\r\n") * 20, b"BDAT 1001\r\n" + b"x" * 1001,
                    b"BDAT 1 LAST\r\nx", "NOOP", "QUIT"],
    **{f"syntax {text!r}": [*START, f"BDAT{text}"]
       for text in ("", " x", " 3 FOO", " -1", " " + "9" * 23, " 3 LAST x")},
}


@pytest.mark.parametrize("name", BAD)
def test_refused(like_peer, name):
    like_peer(lambda m: replies_and_log(m, BAD[name]), HELD)


@pytest.mark.parametrize("tail", [b"", b"BDAT 10\r\nabc", b"BDAT 3\r\nabc",
                                  b"BDAT 3 LAST\r\nabc"])
def test_client_leaves(like_peer, tail):
    def scenario(m):
        with m.smtp() as client:
            for command in START:
                client.cmd(command, 250)
            client.send(tail)
            if tail.endswith(b"\nabc") and not tail.startswith(b"BDAT 10"):
                client.reply()
        m.wait_log("disconnect from")
        return sorted(line.replace("QID: lost", "lost") for line in m.normal_log("smtpd"))

    like_peer(scenario, HELD)


def test_line_ends_count(gatepost):
    """Bare newlines make a message larger than its chunks: it is refused, not cut."""
    m = gatepost(HELD)
    with m.smtp() as client:
        for command in START:
            client.cmd(command, 250)
        client.send(b"BDAT 2900 LAST\r\n" + b"x\n" * 1450)
        assert client.reply().text == "552 5.3.4 Error: message file too big"
        client.cmd("NOOP", 250)
    m.wait_log("disconnect from")
    m.wait_queue(lambda files: files == [])
