"""sendmail -bs: SMTP on standard input and output, for whoever runs it."""
import re

import pytest

import gp
from submission import allow_users

RELAY = {"relayhost": "[127.0.0.2]:25", "defer_transports": "smtp"}
SCRIPT = ("HELO client.test\nMAIL FROM:<a@b> BODY=8BITMIME RET=HDRS ENVID=x1\n"
          "RCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;q@d\nRCPT TO:<e@d>\nDATA\n"
          "Subject: hi\n\n..x\nlast\n.\nVRFY x\nNOOP\nMAIL FROM:<zz@b>\nRCPT TO:<c@d>\n"
          "RSET\nFOO\nQUIT\n").replace("\n", "\r\n")


def converse(m, script, **options):
    out = m.sendmail("-bs", input=script, check=False, **options)
    return re.sub(r"queued as \w+", "queued as QID", out.stdout), out.returncode


def message(m):
    m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
    (entry,) = m.queue()
    rows = [(kind, data.decode()) for kind, data in gp.records(entry.path)]
    return [(kind, re.sub(r"\b[0-9A-F]{8,}\b|\w{3}, \d.*|userid \d+", "X", text))
            for kind, text in rows
            if kind in "SRONL" or text.startswith(("dsn", "notify", "encoding"))]


@pytest.mark.nosan  # the leak check does not work in set-gid programs
@pytest.mark.users("alice")
def test_for_any_user(gatepost):
    m = gatepost(RELAY)
    allow_users(m)
    said, _ = converse(m, SCRIPT, user="alice")
    assert said.count("queued as QID") == 1
    m.wait_log("uid=.* from=<a@b>")


def test_session(like_peer):
    def scenario(m):
        said = converse(m, SCRIPT)
        got = message(m)
        return said, [row for row in got if not row[1].startswith(("Message-Id", "Date"))]

    said, rows = like_peer(scenario, RELAY)
    assert said[0].count("queued as QID") == 1
    assert ("N", ".x") in rows


def test_message_is_safe_while_the_system_is_down(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost({"relayhost": "[127.0.0.2]:25"})
    m.stop()
    said, status = converse(m, SCRIPT)
    assert "queued as QID" in said and status == 0
    m.start()
    (got,) = server.wait(1)
    assert sorted(got.recipients) == ["c@d", "e@d"]


def test_cut_off_session_leaves_nothing(gatepost):
    m = gatepost(RELAY)
    m.stop()
    for end in range(0, len(SCRIPT), 7):
        head = SCRIPT[:end]
        said, _ = converse(m, head)
        if "\r\n.\r\n" in head:
            break
        assert "queued" not in said
        assert m.queue() == []
