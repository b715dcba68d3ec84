"""What is said in a good session: addresses, content, reuse of connections, LMTP, the
parameters of the dialogue: byte for byte as the peer."""
import socket
import threading
import time

import pytest

import gp
from test_smtp_client_trouble import MESSAGE

HEAD, BODY = MESSAGE.split("\n\n", 1)
RELAY = {"relayhost": "[127.0.0.2]:25"}


def send(m, text, sender="a@client.test", to=("b@far.test",), mail=""):
    with m.smtp() as client:
        client.ehlo()
        client.cmd(f"MAIL FROM:<{sender}>{mail}", 250)
        for rcpt in to:
            client.cmd("RCPT TO:" + (rcpt if rcpt.startswith("<") else f"<{rcpt}>"), 250)
        client.cmd("DATA", 354)
        client.data(text)
        client.quit()


def said(server, count=0):
    server.wait_for(lambda: all(session.ended for session in server.sessions))
    return [session.commands for session in server.sessions[count:]]


CONTENTS = {
    "dots": HEAD + "\n\n.\n..\n.x\n...\nend\n",
    "no-final-newline": HEAD + "\n\nno newline",
    "empty-body": HEAD + "\n\n",
    "no-body": HEAD + "\n",
    "long-line": HEAD + "\n\n" + "x" * 998 + "\n" + "y" * 999 + "\n" + "z" * 5000 + "\nend\n",
    "long-line-of-dots": HEAD + "\n\n" + "." * 3000 + "\n",
    "lines": HEAD + "\n\n" + "line\n" * 5000,
    "controls": HEAD + "\n\n\tx\x01\x02 \x7f\n",
}


def body(message):
    """The content from the From: header on: what comes before has ids and times."""
    return message.data[message.data.index(b"\r\nFrom:"):]


@pytest.mark.parametrize("name", CONTENTS)
def test_content(like_peer, sink, name):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        send(m, CONTENTS[name])
        m.wait_log("removed")
        return body(server.messages[-1]), m.normal_log("smtp")
    like_peer(scenario, {**RELAY, "smtp_line_length_limit": "998"})


EIGHT = (HEAD + "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
         "Content-Transfer-Encoding: 8bit\n\ngr\u00fc\u00dfe\n")


@pytest.mark.parametrize("declared", ["", " BODY=8BITMIME", " BODY=7BIT"])
def test_eight_bit_content(like_peer, sink, declared):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        send(m, EIGHT, mail=declared)
        m.wait_log("removed")
        return body(server.messages[-1]), server.messages[-1].mail_args.split("SIZE")[0], said(server)[-1]
    like_peer(scenario, RELAY)


ADDRESSES = ['<"b c"@far.test>', '<"b@c"@far.test>', '<b+ext@far.test>', '<"b.."@far.test>',
             '<b=c/d@far.test>', '<"\\"q\\""@far.test>', '<B.C@FAR.test>', '<b@[192.0.2.1]>']


@pytest.mark.parametrize("quote", ["yes", "no"])
def test_addresses(like_peer, sink, quote):
    server = sink("127.0.0.2", 25, ehlo=())

    def scenario(m):
        count = len(server.sessions)
        send(m, MESSAGE, '"x y"@client.test', ADDRESSES)
        m.wait_log("status=sent", count=len(ADDRESSES))
        return sorted(row for rows in said(server, count) for row in rows)
    like_peer(scenario, {**RELAY, "smtp_quote_rfc821_envelope": quote})


@pytest.mark.parametrize("main", [
    {"smtp_helo_name": "other.test"}, {"smtp_never_send_ehlo": "yes"},
    {"smtp_always_send_ehlo": "no"}, {"smtp_discard_ehlo_keywords": "pipelining, dsn, size"},
    {"smtp_skip_quit_response": "no"}, {"smtp_skip_5xx_greeting": "no"}],
    ids=lambda main: next(iter(main)))
@pytest.mark.parametrize("greeting", ["220 sink ESMTP", "220 sink", "554 5.7.1 no",
                                      "220 ****************"])
def test_hello(like_peer, sink, main, greeting):
    server = sink("127.0.0.2", 25, replies={"CONNECT": greeting})

    def scenario(m):
        count = len(server.sessions)
        send(m, MESSAGE)
        m.wait_log("status=")
        m.wait_queue(lambda files: all(f.queue in ("deferred", "defer") for f in files))
        return m.normal_log("smtp"), said(server, count)
    like_peer(scenario, {**RELAY, **main})


def burst(m, server, count):
    """Many messages at once, so that connections are worth keeping."""
    with m.smtp() as client:
        client.ehlo()
        for n in range(count):
            client.mail("a@client.test", f"u{n}@far.test", MESSAGE, ehlo=False)
        client.quit()
    server.wait(count)
    m.wait_log("status=sent", count=count)


def test_connections_are_reused(gatepost, sink):
    server = sink("127.0.0.2", 25, delays={"DATA": 0.02})
    m = gatepost({**RELAY, "smtp_destination_concurrency_limit": "2"})
    burst(m, server, 60)
    assert len(server.sessions) < 20, len(server.sessions)
    assert any("conn_use=" in line.raw for line in m.log("smtp"))
    said(server)
    assert all(session.commands[-1] == "QUIT" for session in server.sessions)


def test_reuse_count_limit(gatepost, sink):
    server = sink("127.0.0.2", 25, delays={"DATA": 0.02})
    m = gatepost({**RELAY, "smtp_destination_concurrency_limit": "1",
                  "smtp_connection_reuse_count_limit": "4"})
    burst(m, server, 30)
    assert max(len(session.messages) for session in server.sessions) <= 5
    assert 6 <= len(server.sessions) <= 20


def test_no_reuse(mta, sink):
    server = sink("127.0.0.2", 25, delays={"DATA": 0.01})
    m = mta({**RELAY, "smtp_connection_cache_on_demand": "no"})
    burst(m, server, 20)
    assert all(len(session.messages) == 1 for session in server.sessions)


def test_reused_connection_that_died(gatepost, sink):
    """The server closes after each message: nobody notices but the server."""
    server = sink("127.0.0.2", 25, delays={"DATA": 0.01}, replies={
        "MAIL": lambda session, _: "" if session.messages else None})
    m = gatepost({**RELAY, "smtp_destination_concurrency_limit": "1"})
    burst(m, server, 20)
    assert not m.log("smtp", "status=deferred")
    m.wait_empty()


def test_recipients_are_asked_in_windows(gatepost, sink):
    """Far more recipients than a server's buffers hold, to one that answers slowly."""
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "smtp_destination_recipient_limit": "3000",
                  "smtpd_recipient_limit": "3000"})
    rows = [f"{'u' * 40}{n}@far.test" for n in range(2500)]
    with m.smtp() as client:
        client.mail("a@client.test", rows, MESSAGE)
    m.wait_empty(timeout=60)
    assert [r for message in server.messages for r in message.recipients] == rows
    assert len(server.messages[0].recipients) > 500


LMTP = {"lmtp_data_done_timeout": "3s"}
LMTP_ANSWERS = {".": lambda _, rcpt: {"r": "550 5.2.2 full", "u": "451 4.2.0 later"}.get(rcpt[0])}


@pytest.mark.parametrize("kind", ["inet:127.0.0.4:24", "inet:[127.0.0.4]:24", "127.0.0.4",
                                  "inet:127.0.0.4", "unix:"])
def test_lmtp(like_peer, sandbox, sink, kind):
    where = {"path": f"{sandbox.dir}/lmtp.sock"} if kind == "unix:" else \
        {"host": "127.0.0.4", "port": 24}
    server = sink(**where, lmtp=True, replies=LMTP_ANSWERS)
    if kind == "unix:":
        import os
        os.chmod(where["path"], 0o777)

    def scenario(m):
        count = len(server.sessions)
        send(m, MESSAGE, "", ["fine@far.test", "refused@far.test", "unlucky@far.test"])
        m.wait_log("status=", count=3)
        return [row.replace(sandbox.dir, "DIR") for row in m.normal_log("lmtp")], said(server, count)
    like_peer(scenario, {**LMTP, "default_transport": "lmtp:" + kind + where.get("path", "")})


def test_lmtp_without_server(like_peer, sandbox):
    def scenario(m):
        send(m, MESSAGE, "")
        m.wait_log("status=")
        return [row.replace(sandbox.dir, "DIR") for row in m.normal_log("lmtp", "smtp")]
    like_peer(scenario, {"default_transport": f"lmtp:unix:{sandbox.dir}/nothing.sock"})


def test_lmtp_greets_badly(like_peer, sink):
    server = sink("127.0.0.4", 24, lmtp=True, replies={"LHLO": "502 5.5.1 what"})

    def scenario(m):
        send(m, MESSAGE, "")
        m.wait_log("status=")
        return m.normal_log("lmtp"), said(server)[-1]
    like_peer(scenario, {"default_transport": "lmtp:inet:127.0.0.4"})


@pytest.mark.parametrize("at", ["fine", "unlucky"])
def test_lmtp_server_hangs_up_between_replies(like_peer, sink, at):
    sink("127.0.0.4", 24, lmtp=True, replies={".": lambda _, rcpt: "" if rcpt.startswith(at) else None})

    def scenario(m):
        send(m, MESSAGE, "", ["fine@far.test", "unlucky@far.test"])
        m.wait_log("status=", count=2)
        return m.normal_log("lmtp")
    like_peer(scenario, {"default_transport": "lmtp:inet:127.0.0.4"})


def test_dribbled_replies(gatepost):
    """Replies that come byte by byte, and several in one packet."""
    def script(sock, _):
        def say(text):
            for byte in text.encode():
                sock.sendall(bytes([byte]))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        say("220-x\r\n220 x ESMTP\r\n")
        sock.recv(999)
        say("250-x\r\n250-PIPELINING\r\n250 \r\n")
        got = b""
        while b"DATA\r\n" not in got:
            got += sock.recv(999)
        sock.sendall(b"250 2.1.0 a\r\n250 2.1.5 b\r\n354 c\r\n")
        got = b""
        while not got.endswith(b"\r\n.\r\n"):
            got += sock.recv(9999)
        say("250-2.0.0 one\r\n250 2.0.0 two\r\n")
        sock.recv(99)

    with gp.ScriptServer(script, "127.0.0.2", 25):
        m = gatepost(RELAY)
        send(m, MESSAGE)
        line = m.wait_log("status=")
    assert (line.status, line.reason) == ("sent", "250-2.0.0 one 250 2.0.0 two")


def test_endless_reply(gatepost):
    """A server that never ends its reply is given up, and mail is put off."""
    stop = threading.Event()

    def script(sock, _):
        sock.sendall(b"220 x ESMTP\r\n")
        sock.recv(999)
        while not stop.is_set():
            sock.sendall(b"250-" + b"x" * 5000 + b"\r\n")

    with gp.ScriptServer(script, "127.0.0.2", 25):
        m = gatepost(RELAY)
        send(m, MESSAGE)
        line = m.wait_log("status=")
        stop.set()
    assert line.status == "deferred" and "endless" in line.reason
    time.sleep(0.1)
