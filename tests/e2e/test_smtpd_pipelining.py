"""Clients that talk when they should listen, and those that rightly do not wait."""
import socket

import pytest

from test_smtpd_policy import RELAY

EHLO = b"EHLO x\r\n"
SESSIONS = {
    "EHLO": [b"EHLO x\r\nMAIL FROM:<a@b>\r\n", b"QUIT\r\n"],
    "HELO client": [b"HELO x\r\n", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"QUIT\r\n"],
    "no HELO": [b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n"],
    "content before 354": [EHLO, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhi\r\n.\r\n"],
    "two messages": [EHLO, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
                     b"hi\r\n.\r\nMAIL FROM:<c@d>\r\nRCPT TO:<x@y>\r\nDATA\r\n",
                     b".\r\nQUIT\r\n"],
    **{f"after {text}": [EHLO, text.encode() + b"\r\nRSET\r\n", b"QUIT\r\n"] for text in (
        "NOOP", "QUIT", "RSET", "VRFY x@y", "VRFY", "FOO", "ETRN x", "STARTTLS", "AUTH x",
        "EHLO", "HELO x", "DATA", "MAIL FROM", "XCLIENT a", "GET x",
        "MAIL FROM:<a@b>\r\nDATA")},
    **{f"no EHLO, after {text}": [text.encode() + b"\r\nRSET\r\n", b"QUIT\r\n"] for text in (
        "QUIT", "RSET", "FOO", "ETRN x", "AUTH x", "GET x")},
}


def talk(m, pieces):
    """Send each piece once the server has fallen silent; all that it said."""
    with m.smtp() as client:
        client.sock.settimeout(0.4)
        said = [client.banner.text.encode()]
        for piece in pieces:
            try:
                client.send(piece)
                heard = b""
                while part := client.sock.recv(65536):
                    heard += part
                said.append(heard + b"(closed)")
                break
            except socket.timeout:
                said.append(heard)
            except ConnectionError:
                said.append(b"(closed)")
                break
    m.wait_log("disconnect from")
    return said


def without_ids(said):
    out = []
    for text in said:
        head, sep, tail = text.partition(b"queued as ")
        out.append(head + sep + tail.partition(b"\r\n")[2] if sep else text)
    return out


@pytest.mark.parametrize("name", SESSIONS)
def test_out_of_turn(like_peer, name):
    def scenario(m):
        said = without_ids(talk(m, SESSIONS[name]))
        return said, [line.replace("QID: lost", "lost") for line in m.normal_log("smtpd")]

    like_peer(scenario, {**RELAY, "smtpd_forbid_unauth_pipelining": "yes",
                         "defer_transports": "smtp"})


def test_only_logged_where_allowed(like_peer):
    def scenario(m):
        return without_ids(talk(m, SESSIONS["content before 354"])), m.normal_log("smtpd")

    like_peer(scenario, {**RELAY, "smtpd_forbid_unauth_pipelining": "no",
                         "defer_transports": "smtp"})


def test_before_the_greeting(gatepost):
    m = gatepost(RELAY, {"smtp/inet": "-o smtpd_client_restrictions=permit"})
    with m.smtp(read_banner=False) as client:
        client.send(b"EHLO x\r\nQUIT\r\n")
        first = client.reply().text
    assert first.startswith(("220 ", "554 5.5.0 "))


def test_replies_come_in_few_packets(gatepost):
    """One group of commands, one write of all the replies."""
    m = gatepost({**RELAY, "defer_transports": "smtp"})
    with m.smtp() as client:
        client.ehlo()
        client.send(b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@d>\r\n" * 50 + b"RSET\r\n")
        reads, total = 0, b""
        while total.count(b"\r\n") < 52:
            total += client.sock.recv(65536)
            reads += 1
        assert reads < 20  # each reply on its own would be 52
