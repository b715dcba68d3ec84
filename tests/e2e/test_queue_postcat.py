"""postcat beside the peer's: every option, on whole, odd and broken queue files."""
import itertools
import re

import pytest

import gp
from gp.queuefile import envelope, lines, pointer, record

pytestmark = pytest.mark.root
M, X, E = record("M"), record("X"), record("E")
ENV = envelope()


def files():
    """Name -> content. Line ends after headers that come in pieces are left out: there
    the peer's -b shows headers."""
    added = len(ENV) + 17 + len(M + lines("A: b", "", "b") + X + E)
    return {
        "whole": ENV + M + lines("A: b", " c", "", "body", "") + X + E,
        "no-blank-line": ENV + M + lines("A: b", "C: d", "text", "E: f", "", "body") + X + E,
        "blank-first": ENV + M + lines("", "body") + X + E,
        "space-first": ENV + M + lines(" x", "A: b", "", "body") + X + E,
        "space-before-colon": ENV + M + lines("Foo : y", "\tc", "B:", ": y") + X + E,
        "long-lines": ENV + M + lines("A: b", "") + record("L", "aa") + record("L", "bb") +
        lines("cc", "dd") + X + E,
        "padding": ENV + record("w", "xx") + M + lines("A: b") + record("w") +
        lines("", "b") + X + record("w", "q") + E,
        "pointers": ENV + pointer(added) + M + lines("A: b", "", "b") + X + E +
        record("R", "added@x") + pointer(len(ENV) + 17),
        "dummy-pointers": ENV + pointer(0) + M + lines("A: b") + pointer(0) + X + pointer(0) + E,
        "odd-places": ENV + M + lines("A: b") + record("R", "in@content") + lines("") +
        record("A", "a=b") + X + lines("in extracted") + record("L", "f:x") + E,
        "all-types": envelope() + b"".join(record(c, "1234") for c in "cFISDRO/WVK>ion<dm")
        + M + lines("A: b") + X + record("A", "message_id=<x>") + record("r", "y") + E,
        "bytes": record("T", "17") + record("S", b"a\0b") + record("R", b"\x01@\xff") + M +
        lines(b"A\0: b", b"", b"x\0y\xff") + X + E,
        "no-end": ENV + M + lines("A: b", "", "x"),
        "no-extracted": ENV + M + lines("A: b", "", "x") + E,
        "no-content": ENV + X + E,
        "two-contents": ENV + M + lines("A: b") + M + lines("B: c", "", "d") + X + X + E,
        "cut-in-data": ENV + M + lines("A: b") + b"N\x20abc",
        "cut-in-length": ENV + M + lines("A: b") + b"N\x80",
        "cut-after-type": ENV + M + lines("A: b") + b"N",
        "negative-length": ENV + M + b"N\xff\xff\xff\xff\x7f" + X + E,
        "pointer-to-itself": ENV + pointer(len(ENV)) + M + X + E,
        "pointer-bad": ENV + record("p", "  abc") + M + X + E,
        "pointer-far": ENV + pointer(999999) + M + X + E,
        "starts-with-text": lines("a") + ENV, "starts-with-end": E,
        "starts-with-pointer": pointer(0) + ENV + M + X + E,
        "starts-with-content": M + lines("A: b") + X + E,
        "one-byte": b"x", "text": b"root:x:0:0:root:/root:/bin/sh\n",
        "bad-attribute": ENV + record("A", "novalue") + M + X + E,
        "bad-size": record("C", "5 0 3") + ENV + M + X + E,
    }


BROKEN = ["cut-in-data", "cut-in-length", "cut-after-type", "negative-length",
          "pointer-to-itself", "pointer-bad"]
OPTIONS = [(), *(("-" + "".join(c),) for n in (1, 2)
                 for c in itertools.combinations("behdov", n)),
           ("-r",), ("-rv",), ("-ehd",), ("-ebo",), ("-s", "19"), ("-s", "0"), ("-os", "19"),
           ("-s", "99999"), ("-s", "-1"), ("-s", "1x")]
# The peer: follows pointers in spite of -r unless -v is given, tells the offset of what
# it skipped in front of a record, and reads on where -e skips over a broken size record.
SKIPPED = {("padding", "o"), ("dummy-pointers", "o"), ("pointers", "o"), ("pointers", "r"),
           ("pointer-bad", "r"), ("pointer-far", "r"), ("pointer-to-itself", "r"),
           ("pointer-bad", "v"), ("pointer-to-itself", "v"), ("bad-attribute", "o"),
           ("bad-attribute", "d"), ("bad-size", "e"), ("bad-size", "h"), ("bad-size", "b")}


def differs_on_purpose(name, options):
    return any(name == file and letter in "".join(options) and "-rv" not in options
               for file, letter in SKIPPED)


def plain(text):
    return "\n".join(line for line in re.sub(r"\S*/postcat: ", "postcat: ", text).split("\n")
                     if not re.search("name_mask|inet_addr_local|usage:", line))


def run_both(both, options, names):
    """[(status, output, complaints)] of each of both."""
    for m in both:
        process = m.sandbox.popen([m.path("postcat"), *options, *names],
                                  env=m.environment(), stdout=-1, stderr=-1)
        out, err = process.communicate(timeout=60)
        yield process.returncode, out.decode("latin1"), plain(err.decode("latin1"))


def difference(ours, theirs):
    return [gp.difference(*(str(x).split("\n") for x in pair))
            for pair in zip(theirs, ours) if pair[0] != pair[1]]


def test_options_like_the_peer(gatepost, peer, sandbox):
    both = gatepost(start=False), peer(start=False)
    wrong = []
    for name, content in files().items():
        with open(f"{sandbox.dir}/{name}", "wb") as f:
            f.write(content)
    for options in OPTIONS:
        names = [name for name in files()
                 if name not in BROKEN and not differs_on_purpose(name, options)]
        ours, theirs = run_both(both, options, names)
        if ours != theirs:
            wrong.append((options, difference(ours, theirs)))
    for name, options in itertools.product(BROKEN, [(), ("-eo",)]):
        if not differs_on_purpose(name, options):
            ours, theirs = run_both(both, options, [name])
            if ours != theirs:
                wrong.append((name, options, difference(ours, theirs)))
    assert not wrong, "\n".join(map(str, wrong))


def test_physical_order(gatepost):
    """-r shows what is there: pointers, and what stands behind the end."""
    m = gatepost(start=False)
    path = m.write("pointers", "")
    with open(path, "wb") as f:
        f.write(files()["pointers"])
    out = m.run("postcat", "-r", path).stdout
    assert out.index("MESSAGE FILE END") < out.index("recipient: added@x")
    out = m.run("postcat", path).stdout
    assert out.index("recipient: added@x") < out.index("MESSAGE CONTENTS")


def test_long_header_is_no_body(gatepost):
    m = gatepost(start=False)
    path = m.write("long", "")
    with open(path, "wb") as f:
        f.write(ENV + M + record("L", "A: " + "h" * 2045) + lines("iii", "B: c", "", "body") +
                X + E)
    assert m.run("postcat", "-b", path).stdout == "\nbody\n"
    assert m.run("postcat", "-h", path).stdout == "A: " + "h" * 2045 + "iii\nB: c\n"


def test_pipe_and_names(gatepost):
    m = gatepost(start=False)
    path = m.write("whole", "")
    with open(path, "wb") as f:
        f.write(files()["whole"])
    shell = m.sandbox.run(["sh", "-c", f"cat {path} | {m.path('postcat')}"],
                          env=m.environment())
    assert shell.stdout == m.run("postcat", path).stdout.replace(path, "stdin")
    named = m.run("postcat", "-fh", path).stdout
    assert named == f"{path}: A: b\n{path}:  c\n"


def test_queue_ids_like_the_peer(like_peer):
    def scenario(m):
        got = []
        for args in (["-q", "XYZ"], ["-q", "../x"], ["-q", "ABC", "-e"], ["/nonexistent"],
                     ["-c", "/nonexistent", "-q", "X"], ["/etc/passwd"]):
            done = m.run("postcat", *args, check=False)
            got.append((args, done.returncode, done.stdout, plain(done.stderr)))
        return got

    like_peer(scenario)
