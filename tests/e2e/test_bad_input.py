"""What broken or hostile clients send: a clear reply, no crash, nothing lost."""
import os
import re
import socket
import time

import pytest

RELAY = {"relayhost": "[127.0.0.2]:25"}
SESSION = (b"EHLO client.test\r\nMAIL FROM:<a@client.test> SIZE=100\r\nRCPT TO:<b@far.test>\r\n"
           b"DATA\r\nSubject: x\r\n\r\nhello\r\n..\r\n.\r\nQUIT\r\n")


def still_works(m, server):
    """A whole message goes through after whatever happened before."""
    count = len(server.messages)
    with m.smtp() as client:
        assert client.mail("a@client.test", "b@far.test", "Subject: y\n\nfine\n").code == 250
        client.quit()
    server.wait(count + 1)
    m.wait_empty()


def send_in_lockstep(m, data):
    """Send a session's bytes, waiting for each reply where a client has to."""
    with m.smtp() as client:
        in_content = False
        for row in data.splitlines(keepends=True):
            client.send(row)
            if not row.endswith(b"\r\n") or in_content and row != b".\r\n":
                continue
            reply = client.reply()
            in_content = reply.code == 354


def test_disconnect_at_every_byte(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    end = SESSION.index(b"QUIT") - len(b"\r\n")
    for length in range(end):
        send_in_lockstep(m, SESSION[:length])
    m.wait_log("disconnect from", count=end)
    still_works(m, server)
    assert len(server.messages) == 1, "a message that was never finished has been delivered"


def test_reset_at_every_command(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    for length in range(0, len(SESSION), 7):
        client = m.smtp(read_banner=False)
        client.send(SESSION[:length])
        client.reset()
    still_works(m, server)


def test_binary_junk(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    for junk in (b"\0\r\n", b"\xff\xfe\x80\r\n", b"\x1b[31m\r\n", b"EHLO \xff\r\n",
                 b"MAIL FROM:<\0@x>\r\n", b"   \r\n", b"\r\n", b"NOOP\0\r\n",
                 b"MAIL FROM:<a@" + b"x" * 900 + b">\r\n", b"GET / HTTP/1.0\r\n"):
        with m.smtp() as client:
            client.send(junk)
            assert 200 <= client.reply().code < 600
    still_works(m, server)
    for line in m.log():
        assert line.well_formed and line.raw.isprintable(), line


def test_command_line_too_long(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    with m.smtp() as client:
        client.send(b"NOOP " + b"x" * 300000 + b"\r\n")
        assert client.reply().code >= 250
    still_works(m, server)


def test_line_without_end_is_bounded(gatepost, sink):
    """Megabytes without a newline do not fill the memory of the server."""
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    with m.smtp() as client:
        before = sum(map(resident_kib, m.daemons("smtpd")))
        try:
            for _ in range(300):
                client.send(b"x" * 65536)
            after = sum(map(resident_kib, m.daemons("smtpd")))
            assert after - before < 8192
        except (ConnectionError, socket.timeout):
            pass
    still_works(m, server)


def resident_kib(pid):
    try:
        for row in open(f"/proc/{pid}/status"):
            if row.startswith("VmRSS:"):
                return int(row.split()[1])
    except OSError:
        pass
    return 0


def test_long_content_line(mta, sink):
    """A line of 100,000 bytes arrives whole, in pieces that SMTP allows."""
    server = sink("127.0.0.2", 25)
    m = mta(RELAY)
    with m.smtp() as client:
        assert client.mail("a@client.test", "b@far.test",
                           "Subject: long\n\n" + "x" * 100000 + "\nend\n").code == 250
    (message,) = server.wait(1)
    assert max(map(len, message.data.split(b"\r\n"))) <= 998
    assert message.text.split("\n\n", 1)[1].replace("\n ", "") == "x" * 100000 + "\nend\n"


def test_too_many_errors(mta):
    m = mta({"smtpd_error_sleep_time": 0, "smtpd_hard_error_limit": 3})
    with m.smtp() as client:
        for _ in range(3):
            assert client.cmd("FOO").code == 500
        assert client.cmd("FOO").code == 421 and client.at_eof()
    m.wait_log("too many errors after")


def test_message_too_large(mta, sink):
    server = sink("127.0.0.2", 25)
    m = mta({**RELAY, "message_size_limit": 20000, "mailbox_size_limit": 0})
    with m.smtp() as client:
        assert client.mail("a@client.test", "b@far.test", "x" * 70 * 1000 + "\n").code == 552
        client.cmd("RSET", 250)
        assert client.mail("a@client.test", "b@far.test", "small\n", ehlo=False).code == 250
        client.quit()
    assert "small" in server.wait(1)[0].text
    m.wait_empty()


@pytest.mark.parametrize("damage", ["cut", "junk", "type", "empty"])
def test_malformed_queue_file_goes_to_corrupt(gatepost, sink, damage):
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "defer_transports": "smtp"}, {"qmgr/unix": "qmgr unix n - n 1 1 qmgr"})
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", "Subject: x\n\nhello\n")
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
    m.wait_log("status=deferred")
    (file,) = m.queue()
    with open(file.path, "r+b") as f:
        raw = f.read()
        f.seek(0)
        f.truncate()
        f.write({"cut": raw[:len(raw) // 2], "junk": os.urandom(300), "empty": b"",
                 "type": raw.replace(b"S\x0da@client.test", b"\x01\x0da@client.test")}[damage])
    os.utime(file.path, (1, 1))
    m.configure({"defer_transports": ""})
    m.reload()
    m.flush()
    m.wait_queue(lambda files: [f.queue for f in files] == ["corrupt"])
    m.wait_log('saving corrupt file "')
    still_works_beside(m, server)


def still_works_beside(m, server):
    with m.smtp() as client:
        client.mail("a@client.test", "b@far.test", "Subject: y\n\nfine\n")
    server.wait(1)
    assert [f.queue for f in m.queue("corrupt")] == ["corrupt"]


@pytest.mark.parametrize("text,clue", [
    ("smtpd_timeout = soon\n", "smtpd_timeout"),
    ("message_size_limit = -1x\n", "message_size_limit"),
    ("soft_bounce = perhaps\n", "soft_bounce"),
    ("myhostname = $mydomain\nmydomain = $myhostname\n", "myhostname|mydomain|macro"),
    ("just some words\n", "missing '='|main.cf"),
])
def test_malformed_main_cf(gatepost, text, clue):
    """start refuses, and says which parameter and value."""
    m = gatepost(start=False)
    with open(f"{m.etc}/main.cf", "a") as f:
        f.write(text)
    m.allow("fatal: ")
    done = m.run("postfix", "start", check=False)
    assert done.returncode != 0
    assert re.search(clue, done.stdout + done.stderr + m.log_text())
    assert not m.master_pid()


@pytest.mark.parametrize("row,clue", [
    ("smtp2 inet n - n -", "master.cf"),
    ("smtp2 inat n - n - - smtpd", "inat"),
    ("smtp2 inet x - n - - smtpd", "x"),
    ("smtp2 unix n - n soon - smtpd", "soon"),
    ("smtp2 unix n - n - many smtpd", "many"),
])
def test_malformed_master_cf(gatepost, row, clue):
    m = gatepost(start=False)
    with open(f"{m.etc}/master.cf", "a") as f:
        f.write(row + "\n")
    m.allow("fatal: ")
    done = m.run("postfix", "start", check=False)
    deadline = time.monotonic() + 10
    while m.daemons() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not m.daemons()
    said = done.stdout + done.stderr + m.log_text()
    assert clue in said and "master.cf" in said


def test_broken_reload_keeps_running(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    m.allow("fatal: ")
    with open(f"{m.etc}/main.cf", "a") as f:
        f.write("smtpd_timeout = soon\n")
    m.run("postfix", "reload", check=False)
    time.sleep(0.5)
    m.configure()
    still_works(m, server)
