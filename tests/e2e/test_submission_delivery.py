"""Mail from sendmail through pickup and cleanup to its destination, beside the peer, and
when services fail."""
import os
import re
import signal
import time

import pytest

from submission import MESSAGE, RELAY, like, records


def blank(text):
    """Without ids, dates and the name of the product."""
    text = re.sub(r"(id )[0-9A-Z]{8,}", r"\1QID", text)
    text = re.sub(r"\w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)", "DATE", text)
    return re.sub(r"\d{14}\.[0-9A-Z]+@", "ID@", text)


def settled(m, count):
    m.wait_log(": removed", count=count)
    m.wait_empty()
    return m


ODD = {
    "nothing": (["b@far.test"], ""),
    "headers-only": (["b@far.test"], "Subject: y\nX-Other: z\n"),
    "no-end-of-line": (["b@far.test"], "Subject: y\n\nend"),
    "body-only": (["b@far.test"], "\n\nbody\n"),
    "no-header": (["b@far.test"], "just text\nmore: of it\n"),
    "control-bytes": (["b@far.test"], b"Subject: y\n\nnul \0 and \x7f \x01 \xe4\n"),
    "long-lines": (["b@far.test"], "Subject: y\n\n" + "x" * 5000 + "\n" + "y" * 900 + "\n"),
    "crlf": (["b@far.test"], "Subject: y\r\n\r\nline\r\n"),
    "from-line": (["b@far.test"], "From joe Mon\nSubject: y\n\nFrom here\n"),
    "dots": (["-i", "b@far.test"], "Subject: y\n\n.\n..\n.x\n"),
    "full-name": (["-F", "Jo (x) \"Doe\"", "b@far.test"], "Subject: y\n\nhi\n"),
    "null-sender": (["-f", "", "b@far.test"], "Subject: y\n\nhi\n"),
    "gateway": (["-G", "b@far.test"], "Subject: y\n\nhi\n"),
    "extract": (["-t"], "To: B <b@far.test>,\n c@far.test\nBcc: d@far.test\nFrom: Al <al>\n\nhi\n"),
    "resent": (["-t"], "To: no@far.test\nResent-To: b@far.test\nSubject: y\n\nhi\n"),
    "8bit": (["-B", "8BITMIME", "b@far.test"], "Subject: y\n\n\u00e4\n"),
    "dsn": (["-N", "success,failure", "-R", "hdrs", "-V", "id1", "b@far.test"], "\nhi\n"),
}


def test_odd_messages(like_peer, sink):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        got = {}
        for count, (name, (args, text)) in enumerate(ODD.items(), 1):
            before = len(server.messages)
            m.run("sendmail", "-f", "a@client.test", *args, text=False,
                  input=text if isinstance(text, bytes) else text.encode())
            settled(m, count)
            message = server.messages[before]
            got[name] = (message.sender, message.mail_args.split()[1:], message.recipients,
                         blank(message.text))
        lines = [re.sub(r"size=N", "", line) for line in m.normal_log()]
        return got, lines

    # SIZE= counts bytes of the queue file, in which a line may be one record or two.
    def without_size(m):
        got, lines = scenario(m)
        return {name: (s, [a for a in args if not a.startswith("SIZE=")], r, text)
                for name, (s, args, r, text) in got.items()}, lines

    like_peer(without_size, RELAY)


def test_large_message(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "message_size_limit": "20000000", "mailbox_size_limit": "0",
                  "smtp_discard_ehlo_keywords": "size"})
    body = "".join(f"line {n} {'x' * (n % 70)}\n" for n in range(230000))
    assert len(body) > 10_000_000
    m.sendmail("-f", "a@client.test", "b@far.test", input="Subject: large\n\n" + body)
    settled(m, 1)
    assert server.messages[0].text.partition("\n\n")[2].rstrip("\n") == body.rstrip("\n")


def test_submission_while_the_system_is_down(like_peer, sink):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        m.stop()
        before = len(server.messages)
        for n in range(5):
            m.sendmail("-f", f"a{n}@client.test", "b@far.test", input=f"Subject: {n}\n\nhi\n")
        assert len(m.queue("maildrop")) == 5
        m.start()
        settled(m, 5)
        return sorted(x.sender for x in server.messages[before:])

    like_peer(scenario, RELAY)


def test_many_at_the_same_time(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "default_destination_concurrency_limit": "5"})
    script = ("for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5 6 7 8 9 10; do "
              f"{m.path('sendmail')} -f a@client.test b$i-$j@far.test <{m.etc}/text || echo $i $j; "
              "done) & done; wait")
    m.write("text", "Subject: x\n\nhi\n")
    assert m.sandbox.run(["sh", "-c", script], env=m.environment()).stdout == ""
    settled(m, 80)
    got = sorted(r for x in server.messages for r in x.recipients)
    assert got == sorted(f"b{i}-{j}@far.test" for i in range(1, 9) for j in range(1, 11))


@pytest.mark.parametrize("service", ["pickup", "cleanup"])
def test_killed_service_loses_nothing(gatepost, sink, service):
    """Accepted messages arrive, whatever dies; a few may arrive twice."""
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "service_throttle_time": "1s", "ipc_timeout": "20s"},
                 {"pickup/unix": "pickup unix n - n 2 1 pickup",
                  "qmgr/unix": "qmgr unix n - n 2 1 qmgr"})
    m.allow("killed by signal 9")
    m.allow("bad command startup")
    m.write("text", "Subject: x\n\n" + "hello there\n" * 2000)
    script = ("i=0; while [ $i -lt 120 ]; do i=$((i+1)); "
              f"{m.path('sendmail')} -f a@client.test b$i@far.test <{m.etc}/text && echo $i; done")
    load = m.sandbox.popen(["sh", "-c", script], env=m.environment(), stdout=-1)
    killed = 0
    while load.poll() is None:
        time.sleep(0.15)
        killed += len(m.kill(service, signal.SIGKILL))
    accepted = {f"b{n}@far.test" for n in load.stdout.read().split(b"\n") if n
                for n in [n.decode()]}
    assert killed > 0 and len(accepted) == 120
    deadline = time.monotonic() + 60
    while accepted - (got := {r for x in list(server.messages) for r in x.recipients}):
        assert time.monotonic() < deadline, f"lost: {accepted - got}, queue: {m.queue()[:5]}"
        time.sleep(0.2)
    m.wait_queue(lambda files: not [f for f in files if f.mode & 0o100], timeout=60)
    assert len(server.messages) <= 120 + killed * 20, "more duplicates than crashes explain"


def test_cleanup_away(gatepost, sink):
    """Mail waits in maildrop and goes on when cleanup is back."""
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY, {"cleanup/unix": None})
    m.sendmail("-f", "a@client.test", "b@far.test", input="Subject: x\n\nhi\n")
    m.wait_log("service cleanup: ", program="pickup")
    assert len(m.queue("maildrop")) == 1
    m.stop()
    m.master.pop("cleanup/unix")
    m.configure()
    m.start()
    server.wait(1)
    settled(m, 1)


def test_requeued_message(like_peer, sink):
    """postsuper -r: recipients that are done stay so, the log names the old id."""
    refused = ["later"]
    server = sink("127.0.0.2", 25, replies={
        "RCPT": lambda _, arg: "450 4.2.0 later" if any(r in arg for r in refused) else None})

    def scenario(m):
        before = len(server.messages)
        m.sendmail("-f", "a@client.test", "-N", "failure", "-V", "id1", "b@far.test",
                   "later@far.test", input="Subject: x\n\nhi\n")
        old = m.wait_log("status=deferred").qid
        m.wait_queue(lambda files: [f.queue for f in files] == ["deferred"])
        refused.clear()
        m.run("postsuper", "-r", old)
        m.run("postkick", "public", "pickup", "W")
        line = m.wait_log("orig_id=", program="pickup")
        m.wait_empty()
        m.wait_log(": removed")
        first, second = server.messages[before:]
        assert f"orig_id={old}" in line.raw and line.qid != old
        refused.append("later")
        return first.recipients, second.recipients, blank(second.text), m.normal_log("pickup")

    got = like_peer(scenario, RELAY)
    assert got[:2] == (["b@far.test"], ["later@far.test"])


def put(m, name, text, mode=0o744, owner=0):
    path = f"{m.spool}/maildrop/{name}"
    with open(path, "wb") as f:
        f.write(text)
    os.chown(path, owner, 18001)
    os.chmod(path, mode)
    return path


def kick(m):
    m.run("postkick", "public", "pickup", "W")


def test_content_filter(like_peer, sink):
    filtered, relayed = sink("127.0.0.3", 25), sink("127.0.0.2", 25)

    def scenario(m):
        before = len(filtered.messages), len(relayed.messages)
        m.sendmail("-f", "a@client.test", "b@far.test", input="Subject: x\n\nhi\n")
        settled(m, 1)
        return len(filtered.messages) - before[0], len(relayed.messages) - before[1]

    assert like_peer(scenario, {**RELAY, "content_filter": "smtp:[127.0.0.3]:25"}) == (1, 0)


BROKEN = {
    "ABCDEF01": b"garbage",
    "ABCDEF02": records(("T", "1795417532 5"), *MESSAGE)[:-2],  # no end record
    "ABCDEF03": records(("T", "1795417532 5"), *MESSAGE[:5]),
    "ABCDEF04": records(("T", "1795417532 5"), *like((2, []))),  # no sender
    "ABCDEF05": records(("T", "1795417532 5"), *like((0, [("D", "x@y")]))),
    "ABCDEF06": records(("T", "1795417532 5"), *like((5, [("p", "0")]))),
    "ABCDEF07": b"",
}


@pytest.mark.root
def test_malformed_files_are_saved_as_corrupt(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    for name, text in BROKEN.items():
        put(m, name, text)
    put(m, "ABCDEF0F", records(("T", "1795417532 5"), *MESSAGE))  # none the worse for them
    kick(m)
    server.wait(1)
    m.wait_log("saving corrupt file", count=len(BROKEN))
    m.wait_queue(lambda files: {f.qid for f in files} == set(BROKEN))
    assert {f.queue for f in m.queue()} == {"corrupt"}
    for name, text in BROKEN.items():
        assert open(f"{m.spool}/corrupt/{name}", "rb").read() == text
    m.wait_log(f'saving corrupt file "ABCDEF01" from queue "maildrop" to queue "corrupt"')


@pytest.mark.root
def test_what_is_not_mail_is_left_alone(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    whole = records(("T", "1795417532 5"), *MESSAGE)
    put(m, "ABCDEF01", whole, mode=0o644)  # not complete
    put(m, "123456.789", whole)            # temporary name
    put(m, "ABCDEF02", whole, mode=0o700)  # not readable for pickup
    secret = put(m, "../secret", whole)
    os.symlink(secret, f"{m.spool}/maildrop/ABCDEF03")
    os.link(secret, f"{m.spool}/maildrop/ABCDEF04")
    os.mkfifo(f"{m.spool}/maildrop/ABCDEF05", 0o744)
    names = sorted(os.listdir(f"{m.spool}/maildrop"))
    kick(m)
    m.sendmail("-f", "a@client.test", "good@far.test", input="Subject: x\n\nhi\n")
    m.wait_log(": removed")
    m.wait_log("ABCDEF03: uid 0: not a regular file")
    m.wait_log("ABCDEF05: uid 0: not a regular file")
    m.wait_log("ABCDEF04: file has more than one hard link")
    m.wait_log("ABCDEF02: Permission denied")
    assert [x.recipients for x in server.messages] == [["good@far.test"]]
    assert sorted(os.listdir(f"{m.spool}/maildrop")) == names


def test_owner_is_logged_and_shown(like_peer, sink):
    server = sink("127.0.0.2", 25)

    def scenario(m):
        before = len(server.messages)
        put(m, "ABCDEF01", records(("T", "1795417532 5"), *MESSAGE), owner=18123)
        kick(m)
        line = m.wait_log("uid=18123", program="pickup")
        settled(m, 1)
        (message,) = server.messages[before:]
        assert "from userid 18123)" in message.text
        return line.text, blank(message.text)

    like_peer(scenario, RELAY)


@pytest.mark.root
def test_refused_content_goes_back_to_the_sender(gatepost, sink):
    """Too large for cleanup, though not for postdrop: a bounce, not a loop."""
    server = sink("127.0.0.2", 25)
    m = gatepost({**RELAY, "message_size_limit": "9000", "mailbox_size_limit": "0",
                  "bounce_size_limit": "1000"})
    lines = [("N", "x" * 500)] * 40
    put(m, "ABCDEF01", records(("T", "1795417532 5"), *like((7, lines))))
    kick(m)
    server.wait(1)
    m.wait_log("sender non-delivery notification")
    m.wait_log(": removed")
    m.wait_empty()
    assert [(x.sender, x.recipients) for x in server.messages] == [("", ["a@client.test"])]
    assert len(m.log("pickup", "uid=0")) == 1


def test_reload_while_mail_comes_in(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = gatepost(RELAY)
    for n in range(20):
        m.sendmail("-f", "a@client.test", f"b{n}@far.test", input="Subject: x\n\nhi\n")
        if n % 5 == 2:
            m.reload()
    server.wait(20, timeout=30)
    m.wait_empty()
    assert sorted(r for x in server.messages for r in x.recipients) == \
        sorted(f"b{n}@far.test" for n in range(20))
