"""postqueue -p and -j: every state and odd address, from the service and without it; who
may; a large queue."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import gp
from gp import queuefile
from submission import allow_users

pytestmark = pytest.mark.root
HELD = {"defer_transports": "smtp", "relayhost": "[127.0.0.2]:25"}


def fill(m):
    rcpts = [b"r%d@x" % n for n in range(6)]
    put = queuefile.put
    put(m, "hold", "AAAAA1", b"", [b"x@y"])
    put(m, "hold", "AAAAA2", b"a\x01\x7f@b", [b"c\x03\xff\xfe@d", b""], mode=0o710)
    put(m, "hold", "AAAAA3", b"\xc3\xa9\xff@b",
        [b"same@x", b"same@x", b'q"uo te@x', b"noat", b"a@b@c", b"@x", b"x@", b"a..b@x",
         b"-a@x", b"a\\b@x", b"a\tb@x", b"(c)@x", b'"a b"@x', b".a@x", b"a.@x"])
    put(m, "hold", "ABCDE12345678901234567", b"long@x", [b"x@y"], mode=0o710)
    put(m, "hold", "AAAAA5", b"unfinished@x", [b"x@y"], mode=0o600)
    put(m, "deferred", "BAAAA6", b"s@x", rcpts, delays=[
        (0, b"reason A"), (1, b"reason A"), (2, b"reason B"), (3, b"reason A"),
        (4, b"tab\there \xc3\xa9 \xff \x1b[1m " + b"L" * 200)])
    put(m, "deferred", "BAAAA7", b"s@x", rcpts, delays=[
        (5, b"last"), (0, b"first of two"), (0, b"second"), (1, b'" \\ / <>')])
    put(m, "deferred", "BAAAA8", b"s@x", [b"a b@x", b"c@x"], mode=0o710, delays=[
        (1, b"why")])
    queuefile.write(m, "hold", "D888888", b"junk", 0o700)
    queuefile.write(m, "hold", "D888889", b"", 0o700)
    queuefile.write(m, "corrupt", "C000001", b"junk", 0o400)


def entries(text):
    """Those of one queue come in any order; the head and the last line stay."""
    blocks = text.strip("\n").split("\n\n")
    head, first = blocks[0].split("\n", 1)
    return [head, *sorted([first, *blocks[1:-1]]), blocks[-1]]


@pytest.mark.parametrize("long_ids", [False, True], ids=["short", "long"])
def test_without_the_service_like_the_peer(gatepost, peer, long_ids):
    got = []
    for make in (gatepost, peer):
        m = make({"enable_long_queue_ids": long_ids}, start=False)
        m.start().stop()
        fill(m)
        text, rows = m.run("postqueue", "-p"), m.run("postqueue", "-j")
        got.append((entries(text.stdout), sorted(rows.stdout.splitlines()),
                    re.sub(r".*/postqueue:|the \w+ showq", "", text.stderr)))
        assert len([json.loads(row) for row in rows.stdout.splitlines()]) == 7
    assert got[0] == got[1], gp.difference(got[1], got[0])
    marks = [line.split()[0] for line in got[0][0][1:-1] for line in [line.split("\n")[0]]]
    assert {"AAAAA1!", "AAAAA2!#", "BAAAA8#", "BAAAA6"} <= set(marks)


def test_service_says_the_same(gatepost, peer):
    """Our showq, asked by our postqueue, beside the direct look of the peer's."""
    ours = gatepost(HELD)
    while not ours.kill("qmgr", signal.SIGSTOP):  # it would start deliveries
        time.sleep(0.02)
    fill(ours)
    listed, rows = ours.run("postqueue", "-p"), ours.run("postqueue", "-j")
    assert "Mail system is down" not in listed.stderr + rows.stderr
    for path in ("hold", "deferred", "defer"):
        shutil.rmtree(f"{ours.spool}/{path}")
    ours.kill("qmgr", signal.SIGCONT)
    ours.stop()
    theirs = peer()
    theirs.stop()
    fill(theirs)
    assert entries(listed.stdout) == entries(theirs.run("postqueue", "-p").stdout)
    assert sorted(rows.stdout.splitlines()) == \
        sorted(theirs.run("postqueue", "-j").stdout.splitlines())


def test_empty_queue(mta):
    m = mta()
    assert m.run("postqueue", "-p").stdout == "Mail queue is empty\n"
    assert m.run("postqueue", "-j").stdout == ""
    m.stop()
    assert m.run("postqueue", "-p").stdout == "Mail queue is empty\n"


USES = [(), ("-x",), ("-p", "x"), ("-p", "-f"), ("-i",), ("-v",), ("-f",), ("-i", "../x"),
        ("-i", ""), ("-i", "ABCDEF1"), ("-s", "foo.test"), ("-s", "Foo.Test"), ("-s", "bar"),
        ("-s", "[192.0.2.9]"), ("-s", "[x]"), ("-s", "[::1]"), ("-s", "[IPv6:::1]"),
        ("-s", "192.0.2.9"), ("-s", "a b"), ("-s", ""), ("-s", "a..b"),
        ("-c", "/nonexistent", "-p")]


def test_complaints_like_the_peer(gatepost, peer):
    """Exit codes and words while the system is down."""
    got = []
    for make in (gatepost, peer):
        m = make({"fast_flush_domains": "foo.test, [192.0.2.9]"}, start=False)
        m.allow("fatal: ")
        m.start().stop()
        said = []
        for args in USES:
            done = m.run("postqueue", *args, check=False)
            words = [line for line in re.sub(r"\S*/postqueue: ", "postqueue: ",
                                             done.stderr).splitlines()
                     if not re.search("name_mask|inet_addr_local", line)]
            said.append((args, done.returncode, words))
        got.append(said)
    assert got[0] == got[1], gp.difference(got[1], got[0])


@pytest.mark.nosan  # not when set-gid for another user
@pytest.mark.users("alice", "bob")
def test_authorized_users(mta):
    m = mta({"authorized_mailq_users": "!bob, static:all", "fast_flush_domains": "far.test",
             "authorized_flush_users": "alice"})
    m.allow("User bob.* is not allowed")
    allow_users(m)
    for args in (["-p"], ["-j"], ["-f"], ["-i", "ABCDEF1"], ["-s", "far.test"]):
        m.run("postqueue", *args, user="alice")
        m.run("postqueue", *args)
        refused = m.run("postqueue", *args, user="bob", check=False)
        what = "view" if args[0] in ("-p", "-j") else "flush"
        assert refused.returncode == 69
        uid = m.sandbox.users["bob"].uid
        assert f"fatal: User bob({uid}) is not allowed to {what} the mail queue" in refused.stderr


@pytest.mark.nosan
@pytest.mark.users("alice")
def test_down_for_ordinary_users(like_peer):
    def scenario(m):
        m.allow("mail system is (down|not running)")
        allow_users(m)
        m.stop()
        m.running = False
        done = [m.run("postqueue", *args, user="alice", check=False)
                for args in (["-p"], ["-j"], ["-f"])]
        return [(d.returncode, d.stdout, re.sub(r"\S*/postqueue: ", "", d.stderr)) for d in done]

    like_peer(scenario)


@pytest.mark.users("alice")
@pytest.mark.parametrize("way", ["option", "environment"])
def test_foreign_configuration_is_refused(mta, way):
    """A set-gid program must not read what its caller wrote, unless the real main.cf
    lists that directory."""
    m = mta()
    home = m.sandbox.users["alice"].home
    main = open(f"{m.etc}/main.cf").read()
    with open(f"{home}/main.cf", "w") as f:
        f.write(main)

    def attempt():
        args = ["-c", home, "-p"] if way == "option" else ["-p"]
        env = {} if way == "option" else {"MAIL_CONFIG": home}
        return m.run("postqueue", *args, user="alice", check=False, env=env)

    m.allow("configuration directory|configuration director")
    allow_users(m)
    done = attempt()
    assert done.returncode != 0 and "Mail queue" not in done.stdout
    assert re.search(f"un(trusted|authorized) configuration directory name: {home}", done.stderr)
    m.sandbox.run(["sh", "-c", f"echo 'alternate_config_directories = {home}' "
                   ">>/etc/postfix/main.cf"])
    assert "Mail queue is empty" in attempt().stdout


@pytest.mark.nosan
def test_large_queue_in_bounded_memory(gatepost):
    """10,000 messages: each is shown as soon as it is read, from the service too."""
    m = gatepost(HELD)
    data, _ = queuefile.message(b"s@x", [b"r%d@x" % n for n in range(20)])
    for n in range(10000):
        path = f"{m.spool}/hold/AB{n:05X}9"
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, 0o700)
        os.chown(path, m.owner.uid, m.owner.gid)
    process = m.popen("postqueue", "-j", stdout=subprocess.PIPE)
    first = os.read(process.stdout.fileno(), 100)
    peak = 0
    for pid in [process.pid, *m.daemons("showq")]:
        status = open(f"/proc/{pid}/status").read()
        peak = max(peak, int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
    rest = process.stdout.read()
    assert process.wait() == 0
    assert (first + rest).count(b"\n") == 10000
    for pid in m.daemons("showq"):
        status = open(f"/proc/{pid}/status").read()
        peak = max(peak, int(re.search(r"VmHWM:\s+(\d+)", status)[1]))
    assert peak < 24000
