""".forward files: where they are looked for, which are believed, what they do."""
import os

import pytest

import gp

MAILBOX = "sent 2.0.0 delivered to mailbox"
FORWARD = "sent 2.0.0 forwarded as QID"


@pytest.mark.users("alice", "bob", "carol", "dave", "erin", "fay")
def test_destinations(mta):
    local = gp.Local(mta, {"recipient_delimiter": "+"}, aliases="both: alice, bob\n")
    local.put("alice", ".forward", "\\alice, bob\n")
    assert local.outcome("alice") == ["alice " + MAILBOX, "alice " + FORWARD]
    local.put("bob", ".forward", "~/own, WORK/file\nx@far.test\n")
    short = local.home("bob").replace(local.m.dir, "DIR")
    assert local.outcome("bob") == [f"bob sent 2.0.0 delivered to file: {short}/own",
                                    "bob sent 2.0.0 delivered to file: WORK/file",
                                    "bob " + FORWARD]
    local.put("carol", ".forward", "carol+x, both\n")
    assert local.outcome("carol") == ["carol+x<carol " + MAILBOX, "carol " + FORWARD]
    local.put("dave", ".forward", "")
    assert local.outcome("dave") == ["dave " + MAILBOX]
    local.put("erin", ".forward", "x@far.test\n")
    local.put("erin", ".forward+ext", ":include:HOME/inc\n")
    local.put("erin", "inc", "fay\nerin\n")
    assert local.outcome("erin+other") == ["erin+other " + FORWARD]
    assert local.outcome("erin+ext") == ["erin+ext " + FORWARD]


@pytest.mark.users("alice", "bob")
def test_what_is_not_believed(mta):
    local = gp.Local(mta)
    path = local.put("alice", ".forward", "x@far.test\n", mode=0o666)
    assert local.outcome("alice") == ["alice " + MAILBOX]
    local.m.wait_log(f"warning: file {path} is world writable")
    os.chmod(path, 0o644)
    os.chown(path, local.box.users["bob"].uid, -1)
    assert local.outcome("alice") == ["alice " + MAILBOX]
    local.m.wait_log(f"warning: file {path} has bad owner uid {local.box.users['bob'].uid}")
    os.chown(path, 0, 0)
    assert local.outcome("alice") == ["alice " + FORWARD]
    os.remove(path)
    os.mkdir(path)
    assert local.outcome("alice") == ["alice " + MAILBOX]


@pytest.mark.users("alice", "bob")
def test_secrets_are_read_with_the_users_rights_only(mta):
    local = gp.Local(mta)
    secret = local.put("bob", "secret", "x@far.test\n", mode=0o600)
    os.symlink(secret, local.home("alice") + "/.forward")
    assert local.outcome("alice") == ["alice " + MAILBOX]
    os.remove(local.home("alice") + "/.forward")
    local.put("alice", ".forward", f":include:{secret}\n")
    assert local.outcome("alice") == ["alice bounced 5.3.5 mail system configuration error"]


@pytest.mark.users("alice")
def test_forward_path(mta):
    local = gp.Local(mta, {"forward_path": "$home/${user}.fw${extension?-$extension}, "
                           "$home/${user}.fw", "recipient_delimiter": "+"})
    local.put("alice", "alice.fw", "~/plain\n")
    local.put("alice", "alice.fw-a_b", "~/ext\n")
    assert local.outcome("alice")[0].endswith("/home/alice/plain")
    assert local.outcome("alice+z")[0].endswith("/home/alice/plain")
    assert local.outcome("alice+a/b")[0].endswith("/home/alice/ext") or \
        local.outcome("alice+a/b")[0].endswith("/home/alice/plain")


@pytest.mark.users("alice", "bob")
def test_two_users_forwarding_to_each_other(mta):
    local = gp.Local(mta)
    local.put("alice", ".forward", "bob\n")
    local.put("bob", ".forward", "alice\n")
    assert local.outcome("alice") == ["alice " + FORWARD]
    line = local.m.wait_log("mail forwarding loop")
    assert line.to == "<alice@mx.gate.test>" and line.dsn == "5.4.6"


@pytest.mark.users("alice")
def test_nonsense_does_no_harm(gatepost):
    """Whatever a user writes into the file, each message gets an answer."""
    local = gp.Local(gatepost)
    texts = [b"\0\1\2\xff\xfe" * 40, b'"' * 1000, b"(" * 1000 + b"\n", b"<" * 500, b"@,;:@\n",
             b"|\n", b'"|"\n', b":include:\n", b":include:relative\n", b":include:/dev/zero\n",
             b"/\n", b"~/\n", b"\\\n", b"a" * 100000, b"x@" + b"y." * 5000 + b"z\n",
             b",".join(b"u%d@far.test" % n for n in range(3000)), b"alice, " * 2000]
    for text in texts:
        path = local.put("alice", ".forward", "")
        with open(path, "wb") as f:
            f.write(text)
        assert local.outcome("alice"), text[:40]
    os.remove(path)
    assert local.outcome("alice") == ["alice " + MAILBOX]
