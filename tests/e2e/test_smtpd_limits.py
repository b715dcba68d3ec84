"""Limits on what a client may send, how often, and how long it may take."""
import os
import re
import signal
import time

import pytest

import gp
from test_smtpd_policy import RELAY, replies_and_log

HELD = {**RELAY, "defer_transports": "smtp"}


def limited(**settings):
    return {**HELD, **{k: str(v) for k, v in settings.items()}}


CASES = {
    "hard error limit": (dict(smtpd_hard_error_limit=4), ["FOO"] * 5),
    "junk commands": (dict(smtpd_junk_command_limit=2, smtpd_hard_error_limit=3),
                      ["NOOP", "NOOP", "RSET", "NOOP", "VRFY c@d", "NOOP", "NOOP"]),
    "mail makes good": (dict(smtpd_hard_error_limit=3, smtpd_junk_command_limit=2),
                        ["FOO", "NOOP", "NOOP", "NOOP", "MAIL FROM:<a@b>", "RCPT TO:<c@d>",
                         "DATA", ("data", "x\n"), "FOO", "NOOP", "FOO", "QUIT"]),
    "recipients": (dict(smtpd_recipient_limit=2, smtpd_recipient_overshoot_limit=1,
                        smtpd_hard_error_limit=3),
                   ["EHLO x", "MAIL FROM:<a@b>", *["RCPT TO:<c@d>"] * 7]),
    "declared size": (dict(message_size_limit=3000),
                      ["EHLO x", "MAIL FROM:<a@b> SIZE=3001", "MAIL FROM:<a@b> SIZE=3000",
                       "RSET", "MAIL FROM:<a@b> SIZE=" + "9" * 30, "QUIT"]),
    "size": (dict(message_size_limit=3000),
             ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", ("data", "x" * 70 + "\n" +
                                                                     "y" * 80 + "\n" * 3000),
              "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", ("data", "x\n"), "QUIT"]),
    "no size limit": (dict(message_size_limit=0),
                      ["EHLO x", "MAIL FROM:<a@b> SIZE=99999999", "QUIT"]),
    "space": (dict(queue_minfree=10 ** 15), ["EHLO x", "MAIL FROM:<a@b>", "QUIT"]),
    "helo required": (dict(smtpd_helo_required="yes"),
                      ["VRFY c@d", "ETRN x", "RCPT TO:<x>", "RSET", "MAIL FROM:<a@b>",
                       "AUTH x", "HELO x", "MAIL FROM:<a@b>", "QUIT"]),
    "no vrfy": (dict(disable_vrfy_command="yes"), ["EHLO x", "VRFY", "VRFY a@b", "QUIT"]),
    "noop commands": (dict(smtpd_noop_commands="frob, etrn"),
                      ["FROB a b", "ETRN", "frob", "NOOP", "QUIT"]),
    "forbidden": ({}, ["EHLO x", "CONNECT x"]),
    "forbidden by form": ({}, ["Subject: x"]),
    "forbidden by table": ({}, ["12"]),
    "forbidden elsewhere": (dict(smtpd_forbidden_commands="FROB"), ["GET /", "FROB"]),
    "hidden keywords": (dict(smtpd_discard_ehlo_keywords="size, etrn"),
                        ["EHLO x", "ETRN x", "MAIL FROM:<a@b> SIZE=3", "QUIT"]),
    "most keywords": (dict(smtpd_discard_ehlo_keywords="dsn, 8bitmime, smtputf8, "
                           "silent-discard, pipelining, vrfy, chunking, enhancedstatuscodes"),
                      ["EHLO x", "MAIL FROM:<a@b> RET=HDRS", "MAIL FROM:<a@b> BODY=8BITMIME",
                       "RCPT TO:<x@y> NOTIFY=NEVER", "RCPT TO:<x@y>", "QUIT"]),
    "keywords by client": (dict(smtpd_discard_ehlo_keyword_address_maps="inline:{127.0.0.1=size}",
                                smtpd_discard_ehlo_keywords="etrn"), ["EHLO x", "QUIT"]),
    "filtered command": (dict(smtpd_command_filter="regexp:{{/^FROB (.*)/ NOOP} {/^HELO (y.*)/ EHLO $1}}"),
                         ["FROB x", "frob x", "HELO y", "NOOP", "QUIT"]),
    "banner": (dict(smtpd_banner="$myhostname ESMTP hello"), ["QUIT"]),
    "strict syntax": (dict(strict_rfc821_envelopes="yes"),
                      ["EHLO x", "MAIL FROM:a@b", "MAIL FROM:<@x:a@b>", "RCPT TO:c@d",
                       "RCPT TO: <c@d>", "RCPT TO:<c (x)@d>", "QUIT"]),
    "unicode": ({}, ["EHLO x", "MAIL FROM:<é@x> SMTPUTF8", "RCPT TO:<ü@d>", "RSET",
                     "MAIL FROM:<é@x>", "RSET", "MAIL FROM:<a@b> SMTPUTF8=1",
                     b"NOOP \xff\xfe\r\n", "QUIT"]),
    "no unicode": (dict(smtputf8_enable="no"), ["EHLO x", "MAIL FROM:<a@b> SMTPUTF8",
                                                "VRFY", "QUIT"]),
}


@pytest.mark.parametrize("name", CASES)
def test_limit(like_peer, name):
    settings, script = CASES[name]

    def scenario(m):
        replies, log = replies_and_log(m, script)
        return replies, [re.sub(r"queue: \d+ bytes", "queue: N bytes", line) for line in log]

    like_peer(scenario, limited(smtpd_soft_error_limit=100, **settings))


def test_long_lines(like_peer):
    """Commands are cut, content is not."""
    def scenario(m):
        with m.smtp() as client:
            client.ehlo()
            got = [client.cmd("NOOP " + "x" * n).text
                   for n in (505, 506, 507, 508, 600, 3000, 100000)]
            client.cmd("MAIL FROM:<a@b>", 250)
            client.cmd("RCPT TO:<c@d>", 250)
            client.cmd("DATA", 354)
            lines = [b"a" * n for n in (0, 1, 511, 512, 513, 1023, 1024, 1025, 5000)]
            lines += [b"." + line for line in lines] + [b"..", b"\t" * 600]
            client.send(b"\r\n".join(lines) + b"\r\n.\r\n")
            got.append(client.reply().text.split(" queued")[0])
        m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
        m.wait_log("disconnect from")
        (entry,) = m.queue()
        text, whole = b"", []
        for kind, data in gp.records(entry.path):
            if kind in "LN":
                text += data
            if kind == "N":
                whole.append(len(text))
                text = b""
        return got, whole[-20:], m.normal_log("smtpd")

    like_peer(scenario, limited(line_length_limit=512))


def pace(m, lines):
    took = []
    with m.smtp() as client:
        for line in lines:
            start = time.monotonic()
            client.cmd(line)
            took.append(round(time.monotonic() - start))
    return took


def test_tarpit(like_peer):
    """From smtpd_soft_error_limit on each reply takes smtpd_error_sleep_time."""
    got = like_peer(lambda m: pace(m, ["FOO", "FOO", "NOOP", "FOO", "HELO x", "QUIT"]),
                    limited(smtpd_soft_error_limit=2))
    assert got == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("script", [
    [], ["EHLO x"], ["EHLO x", "MAIL FROM:<a@b>"],
    ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", b"x\r\ny"],
    ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", b"x\r\n.\r\n"],
    ["EHLO x", b"NOO"],
], ids=["silent", "EHLO", "MAIL", "DATA", "after DATA", "half a command"])
def test_timeout(like_peer, script):
    def scenario(m):
        said = []
        with m.smtp() as client:
            for item in script:
                if isinstance(item, bytes):
                    client.send(item)
                else:
                    said.append(client.cmd(item).text)
            while row := client.line():
                said.append(re.sub(r"queued as \w+", "queued as QID", row.decode()))
        m.wait_log("disconnect from")
        return said, sorted(re.sub("(QID|NOQUEUE): timeout", "timeout", line)
                            for line in m.normal_log("smtpd"))

    said, _ = like_peer(scenario, limited(smtpd_timeout="1s"))
    assert said[-1] == "421 4.4.2 mx.gate.test Error: timeout exceeded\r\n"


def test_slow_drip_hits_the_deadline(gatepost):
    """Under stress the limit holds for a whole command, not for each byte."""
    m = gatepost(limited(smtpd_timeout="2s", smtpd_per_request_deadline="yes"))
    with m.smtp() as client:
        start = time.monotonic()
        client.sock.settimeout(0.3)
        said = b""
        while not said and time.monotonic() - start < 10:
            client.send(b"x")
            try:
                said = client.sock.recv(1000)
            except TimeoutError:
                pass
        assert said.startswith(b"421 4.4.2 ") and time.monotonic() - start < 4


def test_stop_says_goodbye(gatepost):
    """Clients that wait learn that the system stops; a reload does not disturb them."""
    m = gatepost(HELD)
    with m.smtp() as client:
        client.ehlo()
        m.reload()
        client.cmd("NOOP", 250)
        m.stop()
        assert client.line() == b"421 4.7.0 Server closing connection\r\n"
        assert client.at_eof()


COUNTED = {"smtpd_client_event_limit_exceptions": ""}
RATES = {
    "messages": (dict(smtpd_client_message_rate_limit=1),
                 [["MAIL FROM:<a@b>", "RSET", "MAIL FROM:<a@b>", "QUIT"]]),
    "recipients": (dict(smtpd_client_recipient_rate_limit=1),
                   [["MAIL FROM:<a@b>", "RCPT TO:<a@b>", "RCPT TO:<a@b>", "QUIT"]]),
    "connections": (dict(smtpd_client_connection_rate_limit=1), [["QUIT"], []]),
}


@pytest.mark.parametrize("name", RATES)
def test_rate(like_peer, name):
    settings, sessions = RATES[name]

    def scenario(m):
        got = []
        for script in sessions:
            with m.smtp() as client:
                got.append(gp.converse(client, script))
        m.wait_log("disconnect from", count=len(sessions))
        return got, sorted(line for line in m.normal_log("smtpd")
                           if "lost connection" not in line)

    like_peer(scenario, limited(**COUNTED, **settings))


def test_concurrency(like_peer):
    """Counted over all processes, and no longer when a client has left."""
    def scenario(m):
        with m.smtp() as one, m.smtp() as two:
            with m.smtp() as three:
                refused = three.banner.text
            assert one.cmd("NOOP").code == two.cmd("NOOP").code == 250
        m.wait_log("disconnect from", count=3)
        time.sleep(0.3)
        with m.smtp() as four:
            return refused, four.banner.text

    refused, _ = like_peer(scenario, limited(smtpd_client_connection_count_limit=2, **COUNTED))
    assert refused == "421 4.7.0 mx.gate.test Error: too many connections from 127.0.0.1"


def test_crashed_server_leaves_no_count(gatepost):
    m = gatepost(limited(smtpd_client_connection_count_limit=2, **COUNTED))
    m.allow("killed by signal 9|signal 9")
    with m.smtp(), m.smtp():
        # Not one that is only starting: master would wait before it tries again.
        serving = set(re.findall(r"smtpd\[(\d+)\]: connect", m.log_text()))
        killed = [os.kill(pid, signal.SIGKILL) for pid in m.daemons("smtpd")
                  if str(pid) in serving]
    assert killed
    time.sleep(1.5)
    with m.smtp() as client:
        assert client.banner.code == 220


def test_anvil_away_means_no_limit(gatepost):
    m = gatepost(limited(smtpd_client_connection_count_limit=1, **COUNTED),
                 {"anvil/unix": None})
    with m.smtp() as one, m.smtp() as two:
        assert one.banner.code == two.banner.code == 220
    m.wait_log("problem talking to service anvil")


def test_networks_are_not_limited(gatepost):
    m = gatepost(limited(smtpd_client_connection_count_limit=1,
                         smtpd_client_message_rate_limit=1))
    with m.smtp() as one, m.smtp() as two:
        assert one.banner.code == two.banner.code == 220
        for _ in range(3):
            two.cmd("MAIL FROM:<a@b>", 250)
            two.cmd("RSET", 250)


def test_statistics(like_peer):
    def scenario(m):
        with m.smtp() as client:
            for _ in range(2):
                client.cmd("MAIL FROM:<a@b>", 250)
                client.cmd("RCPT TO:<c@d>", 250)
                client.cmd("RSET", 250)
        m.wait_log("max message rate 2/60s")
        m.wait_log("max recipient rate 2/60s")
        m.wait_log("max cache size")
        found = re.findall(r"anvil\[\d+\]: (statistics: .*) (\d+)(\D.*)? at \w{3} ",
                           m.log_text())
        return sorted({what: (number, rest) for what, number, rest in sorted(found)}.items())

    got = like_peer(scenario, limited(smtpd_client_message_rate_limit=9,
                                      smtpd_client_recipient_rate_limit=9,
                                      anvil_status_update_time="2s", **COUNTED))
    assert len(got) == 5
