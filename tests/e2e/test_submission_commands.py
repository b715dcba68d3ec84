"""sendmail and postdrop while the mail system is down: what they print, how they exit,
and what they leave in the maildrop queue, beside the peer."""
import os
import re
import signal
import subprocess
import time

import pytest

from submission import (MESSAGE, RELAY, allow_users, empty_spool, like, maildrop, records,
                        take)

pytestmark = pytest.mark.root
TEXT = "Subject: x\n\nhi\n"

# Of the peer's complaints: what is printed twice, and what its library adds.
NOISE = re.compile(r"(?m)^(postdrop: warning: unable to look up public/pickup"
                   r"|sendmail: warning: mail_stream_cleanup"
                   r"|sendmail: name_mask|postdrop: warning: stdin: "
                   r"|\S*(sendmail|postdrop): (invalid option|option requires)).*\n?")


def outcome(m, *command, **options):
    done, ready, other = take(m, *command, **options)
    text = NOISE.sub("", done.stderr.decode()).replace(m.command_directory, "BIN")
    text = re.sub(r"is deprecated with \S+ [\d.]+;", "is deprecated;", text)
    return done.returncode, done.stdout.decode(), text, ready, len(other)


def both(gatepost, peer, run, main=None):
    """run(m) for each of both, stopped; asserts the same."""
    got = [run(empty_spool(make({**RELAY, **(main or {})}, start=False)))
           for make in (peer, gatepost)]
    assert got[1] == got[0]
    return got[1]


COMMANDS = {
    "recipients": [
        (["bob@far.test"], TEXT), (["a@b.test, c@d.test", "Bob <e@f.test>", "\"g h\"@i"], TEXT),
        ([], TEXT), (["-bv"], ""), (["-bv", "-t"], TEXT), (["--", "bob@far.test"], TEXT),
        (["a@b", "-f", "c@d"], TEXT)],
    "sender": [
        (["-f", "", "b@x"], TEXT), (["-f", "<>", "b@x"], TEXT), (["-f", "<a@x>", "b@x"], TEXT),
        (["-f", "Al <a@x>", "b@x"], TEXT), (["-f", "a@x, b@x", "b@x"], TEXT),
        (["-f", "a b@x", "b@x"], TEXT), (["-r", "r@x", "b@x"], TEXT),
        (["-F", "Jo Doe", "b@x"], TEXT), (["-F", "", "b@x"], TEXT)],
    "dsn": [
        (["-N", "success,delay", "-R", "hdrs", "-V", "xx+20", "b@x"], TEXT),
        (["-N", "FAILURE", "-R", "FULL", "a@x", "b@x"], TEXT), (["-R", "x", "b@x"], TEXT),
        (["-N", "x", "b@x"], TEXT), (["-N", "never,delay", "b@x"], TEXT),
        (["-V", "v" * 101, "b@x"], TEXT), (["-t", "-N", "success", "-XV"], "To: a@b, c@d\n\n"),
        (["-XV+=", "b@x"], TEXT), (["-V+=", "b@x"], TEXT), (["-XVab", "b@x"], TEXT)],
    "options": [
        (["-v", "b@x"], TEXT), (["-v", "-bv", "b@x"], TEXT), (["-G", "b@x"], TEXT),
        (["-B", "8BITMIME", "b@x"], TEXT), (["-B7BIT", "b@x"], TEXT), (["-B8", "b@x"], TEXT),
        (["-Z", "b@x"], TEXT), (["-f"], TEXT), (["-n", "b@x"], TEXT), (["-bx"], TEXT),
        (["-qSx"], ""), (["-qz"], ""), (["-qI"], ""), (["-qR"], ""), (["-q", "b@x"], TEXT),
        (["-bp", "b@x"], TEXT), (["-bp", "-t"], TEXT), (["-Xlog", "b@x"], TEXT),
        (["-bh"], ""), (["-q30m"], ""), (["-bi"], ""), (["-C", "/nonexistent", "b@x"], TEXT),
        (["-Ac", "-L", "t", "-h", "9", "-m", "-U", "-o7", "-oem", "-c", "b@x"], TEXT)],
    "content": [
        (["b@x"], ""), (["b@x"], "no end of line"), (["b@x"], "\n\n\nbody\n"),
        (["b@x"], "Subject: y\n\na\n.\nrest\n"), (["-i", "b@x"], "a\n.\n..\n.\r\nb\n"),
        (["-oi", "b@x"], "a\n.\nb\n"), (["b@x"], "a: b\n.\r\nmore\n"), (["b@x"], ". \n.x\n"),
        (["b@x"], "From joe Mon\n>From x\nSubject: y\nFrom z\n\nFrom body\n"),
        (["b@x"], "a\r\nb\r\r\nc\rd\n"), (["-i", "b@x"], b"nul\0byte\n\xff\xfe\n"),
        (["b@x"], "x" * 5000 + "\n" + "y" * 2048 + "\n" + "z" * 2046 + "\r\nend\n"),
        (["b@x"], "Subject: x\nno header\n\nb\n")],
    "headers": [
        (["-t"], "To: a@x, \"q b\"@y,\n\tc@z (To: no@x)\nCC: g: d@x, e@x;\nbcc: <f@x>\n\nTo: z@x\n"),
        (["-t"], "Resent-To: r1@x\nTo: t@x\nResent-Cc: r2@x\nCc: c@x\nResent-Bcc: r3@x\n\nb\n"),
        (["-t"], "To: t@x\nSubject: x\nResent-To: r@x\n\nb\n"), (["-t", "more@x"], "To: a@x\n\n"),
        (["-t"], "To: a@x, b@x\nSubject: y"), (["-t"], "\nTo: a@x\n\n"), (["-t"], ""),
        (["-t"], "To: g:;\n\nb\n"), (["-t"], "To: <>\n\n"), (["-t", "-i"], "To: a@x\n\n.\nb\n"),
        (["-t"], "From joe Mon\nTo: a@x\n\nb\n"), (["-t"], "To: a!b, c%d@e, f\n\n"),
        (["-t"], "To: " + ", ".join(f"u{n}@x.test" for n in range(300)) + "\n\nb\n"),
        (["-t"], "Subject: " + "s" * 3000 + "\nTo: a@x\n\nb\n"),
        (["-t"], "Errors-To: e@x\nReply-To: r@x\nFrom: f@x\nSender: s@x\nTo: a@x\n\n")],
}


@pytest.mark.parametrize("group", COMMANDS)
def test_sendmail(gatepost, peer, group):
    def run(m):
        return [(args, outcome(m, "sendmail", *args,
                               input=text if isinstance(text, bytes) else text.encode()))
                for args, text in COMMANDS[group]]

    got = both(gatepost, peer, run)
    assert any(ready for _, (_, _, _, ready, _) in got)


def test_environment_and_names(gatepost, peer):
    def run(m):
        aside = {"MAIL_CONFIG": "/nonexistent"}
        return [outcome(m, "sendmail", "b@x", input=TEXT.encode(), env={"NAME": "Env Name"}),
                outcome(m, "sendmail", "-C", m.etc, "b@x", input=TEXT.encode(), env=aside),
                outcome(m, "sendmail", "-C", f"{m.etc}/main.cf", "b@x", input=TEXT.encode(),
                        env=aside),
                outcome(m, "newaliases")]

    both(gatepost, peer, run)


@pytest.mark.nosan  # the leak check does not work in set-gid programs
@pytest.mark.users("alice", "bob")
def test_ordinary_users(gatepost, peer):
    """postdrop is set-gid; files belong to who sent them."""
    main = {"authorized_submit_users": "!bob, static:all", "recipient_delimiter": "+",
            "local_login_sender_maps": "inline:{{alice=alice, a@x, @y.test, <>} {root=*}}"}

    def run(m):
        allow_users(m)
        senders = ("alice", "a@x", "A@X", "a+b@x", "b@x", "any@Y.test", "any@z.y.test", "")
        got = [outcome(m, "sendmail", "-f", sender, "b@x", input=TEXT.encode(), user="alice")[:3]
               for sender in senders]
        got += [outcome(m, "sendmail", "b@x", input=TEXT.encode(), user="bob")[:3],
                outcome(m, "postdrop", "-r", input=records(*MESSAGE), user="bob")[:3]]
        m.run("sendmail", "b@x", input=TEXT, user="alice")
        (file,) = [f for f in m.queue("maildrop") if f.mode & 0o100]
        status = os.stat(file.path)
        return got, status.st_uid == m.sandbox.users["alice"].uid, status.st_gid, file.mode

    got, is_hers, gid, mode = both(gatepost, peer, run, main)
    assert [code for code, _, _ in got] == [0, 0, 0, 0, 75, 0, 75, 0, 75, 1]
    assert (is_hers, gid, mode) == (True, 18001, 0o744)


@pytest.mark.users("alice")
def test_users_choose_no_configuration(gatepost):
    m = allow_users(empty_spool(gatepost(start=False)))
    home = m.sandbox.users["alice"].home
    with open(f"{home}/main.cf", "w") as f:
        f.write(f"queue_directory = {home}\n")
    for where in ({"env": {"MAIL_CONFIG": home}}, {}):
        args = [] if where else ["-c", home]
        done, ready, other = take(m, "postdrop", *args, input=records(*MESSAGE), user="alice",
                                  **where)
        assert done.returncode == 1 and not ready and not other
        assert b"configuration directory" in done.stderr
        assert os.listdir(home) == ["main.cf"]


# Standard input of postdrop, and whether it is a message.
POSTDROP = {
    "plain": (MESSAGE, True),
    "end-with-data": (like((9, [("E", "data")])), True),
    "envid-notify-verp": (like((0, [("i", "id"), ("n", "2"), ("V", "+=")])), True),
    "attributes": (like((0, [("A", "encoding=8bit"), ("A", "encoding=x"), ("A", "foo=bar"),
                             ("A", "sasl_username=root"), ("A", "client_name=x"),
                             ("A", "no equals"), ("A", "trace_flags=512")])), True),
    "extracted": (like((8, [("X",), ("R", "late@x"), ("A", "notify_flags=1"),
                            ("A", "log_client_name=y")])), True),
    "no-sender": (like((2, [])), False),
    "no-recipient": (like((3, [])), False),
    "time": (like((0, [("T", "1 2")])), False),
    "size": (like((0, [("C", "1 2 3")])), False),
    "done": (like((0, [("D", "x@y")])), False),
    "filter": (like((0, [("L", "smtp:x")])), False),
    "redirect": (like((0, [(">", "x@y")])), False),
    "pointer": (like((0, [("p", "0")])), False),
    "pointer-in-content": (like((5, [("p", "0")])), False),
    "original": (like((8, [("X",), ("O", "x@y")])), False),
    "no-content": (like((4, [])), False),
    "no-extracted": (like((8, [])), False),
    "nothing": ((), False),
    "content-only": ((("M",),), False),
    "end-only": ((("E",),), False),
    "long-line": (like((5, [("N", "x" * 2049)])), False),
    "long-address": (like((3, [("R", "x" * 5000)])), False),
}


def test_postdrop(gatepost, peer):
    def run(m):
        got = {}
        for name, (rows, _) in POSTDROP.items():
            code, out, text, ready, _ = outcome(m, "postdrop", "-r", input=records(*rows))
            got[name] = code, re.sub(r"queue_id\0\w+", "queue_id", out), text, ready
        return got

    for name, (code, out, text, ready) in both(gatepost, peer, run).items():
        _, is_message = POSTDROP[name]
        assert (name, bool(ready), "status\0000" in out) == (name, is_message, is_message)


BROKEN = {
    "garbage": b"garbage",
    "endless-length": b"S\xff\xff\xff\xff\xff\xff\xff\xff\x01" + b"x" * 5000,
    "huge-length": b"S\xff\xff\xff\x7f" + b"x" * 5000,
    "cut-record": records(*MESSAGE)[:-3],
    "two-senders": records(("S", "a@b")) + records(*MESSAGE),
    "nul-in-address": records(*like((3, [("R", b"a\0b@x")]))),
    "bad-verp": records(*like((0, [("V", "+")]))),
}


def test_postdrop_leaves_nothing_of_broken_input(gatepost):
    m = empty_spool(gatepost(start=False))
    for name, text in BROKEN.items():
        done, ready, other = take(m, "postdrop", "-r", input=text)
        assert (name, done.returncode, ready, other) == (name, 1, [], [])


def test_every_cut_of_the_input_leaves_nothing(gatepost):
    m = empty_spool(gatepost(start=False))
    whole = records(*MESSAGE)
    for length in range(0, len(whole) - 1, 7):
        done, ready, other = take(m, "postdrop", "-r", input=whole[:length])
        assert not ready and not other, f"after {length} bytes"
        assert b"status" not in done.stdout


def wait_temporary(m):
    deadline = time.monotonic() + 10
    while not m.queue("maildrop"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (file,) = m.queue("maildrop")
    return file


def begin(m):
    process = m.popen("postdrop", "-r", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE)
    process.stdin.write(records(*MESSAGE[:6]))
    process.stdin.flush()
    return process, wait_temporary(m)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_removes_the_file(gatepost, number):
    m = empty_spool(gatepost(start=False))
    process, _ = begin(m)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == -number
    assert not m.queue("maildrop")


def test_crash_leaves_only_what_is_never_taken_for_mail(gatepost, sink):
    server = sink("127.0.0.2", 25)
    m = empty_spool(gatepost(RELAY, start=False))
    process, file = begin(m)
    assert re.fullmatch(r"\d+\.\d+", file.qid) and file.mode == 0o600
    process.kill()
    process.communicate(timeout=10)
    m.sendmail("-f", "a@client.test", "b@far.test", input=TEXT)
    m.start()
    server.wait(1)
    m.wait_log(": removed")
    assert len(server.messages) == 1


@pytest.mark.parametrize("limit", ["1000", "0"])
def test_message_size_limit(gatepost, peer, limit):
    def run(m):
        code, _, text, ready, other = outcome(m, "sendmail", "-f", "a@x", "b@x",
                                              input=b"x" * 3000)
        return code, text, [len(rows) for rows in ready]

    got = both(gatepost, peer, run, {"message_size_limit": limit, "mailbox_size_limit": "0"})
    assert bool(got[2]) == (limit == "0")


def test_full_disk(gatepost):
    """The submitter hears of it, and nothing is left."""
    m = empty_spool(gatepost({"message_size_limit": "0", "mailbox_size_limit": "0"},
                             start=False))
    m.sandbox.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", f"{m.spool}/maildrop"])
    listing = ["ls", f"{m.spool}/maildrop"]
    done = m.run("sendmail", "b@x", input="x\n" * 100000, check=False)
    assert done.returncode == 75
    assert "queue file write error" in done.stderr
    assert m.sandbox.run(listing).stdout == ""
    assert m.run("sendmail", "b@x", input=TEXT, check=False).returncode == 0
    assert m.sandbox.run(listing).stdout != ""


def test_no_maildrop_directory(gatepost):
    m = empty_spool(gatepost(start=False))
    os.rmdir(f"{m.spool}/maildrop")
    done = m.run("sendmail", "b@x", input=TEXT, check=False)
    assert done.returncode == 75
    assert "No such file or directory" in done.stderr


def test_closed_descriptors_and_foreign_ones(gatepost):
    """A program with its standard descriptors closed cannot make its file one of them,
    and what its caller has open stays out of its way."""
    m = empty_spool(gatepost(start=False))
    script = f'exec 7<>/dev/null 9<>/dev/null 1>&- 2>&-; {m.path("postdrop")} -r; echo $? >status'
    m.sandbox.run(["sh", "-c", script], env=m.environment(), input=records(*MESSAGE), text=False,
                  cwd=m.dir, check=False)
    assert open(f"{m.dir}/status").read() == "0\n"
    ready, other = maildrop(m)
    assert len(ready) == 1 and not other
    assert ready[0][-1] == ("E", b"")


def test_daemon_socket_that_nobody_serves(gatepost):
    """After a crash of the mail system, submission does not hang on its socket."""
    m = empty_spool(gatepost(start=False))
    m.sandbox.run(["python3", "-c", "import socket; s = socket.socket(socket.AF_UNIX); "
                   f"s.bind('{m.spool}/public/pickup')"])
    begun = time.monotonic()
    assert m.run("sendmail", "b@x", input=TEXT).stderr == ""
    assert time.monotonic() - begun < 5
    assert len(maildrop(m)[0]) == 1


def test_newaliases(gatepost):
    m = empty_spool(gatepost({"alias_database": "lmdb:$config_directory/aliases"}, start=False))
    m.write("aliases", "one: two@x.test\n")
    m.run("newaliases")
    assert m.run("postalias", "-q", "one", f"lmdb:{m.etc}/aliases").stdout.strip() == "two@x.test"
    m.write("other", "three: four@x.test\n")
    m.run("sendmail", f"-oAlmdb:{m.etc}/other", "-bi")
    assert m.run("postalias", "-q", "three", f"lmdb:{m.etc}/other").stdout.strip() == "four@x.test"
